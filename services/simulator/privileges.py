"""Proxmox's privileges, the roles used here, and the `cap` of a login answer."""

from collections.abc import Iterable, Mapping

_ADMINISTRATOR = """
Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit
Group.Allocate Mapping.Audit Mapping.Modify Mapping.Use Permissions.Modify Pool.Allocate Pool.Audit
Realm.Allocate Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use
Sys.AccessNetwork Sys.Audit Sys.Console Sys.Incoming Sys.Modify Sys.PowerMgmt Sys.Syslog User.Modify
VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk
VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console VM.GuestAgent.Audit
VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted
VM.Migrate VM.PowerMgmt VM.Replicate VM.Snapshot VM.Snapshot.Rollback
"""

_POOL_USER = """
Pool.Audit Datastore.Audit Datastore.AllocateSpace VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console
VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.PowerMgmt
"""

ADMINISTRATOR = frozenset(_ADMINISTRATOR.split())
AUDITOR = frozenset(name for name in ADMINISTRATOR if name.endswith(".Audit"))
POOL_USER = frozenset(_POOL_USER.split())
DATASTORE_ADMIN = frozenset(name for name in ADMINISTRATOR if name.startswith("Datastore."))

# Which privileges each part of the web UI asks about, by the first part of their path; `/` is the datacenter's.
_ROOMS = {
    "vms": ("VM.", "Permissions.Modify"),
    "access": ("User.", "Group.", "Permissions.Modify"),
    "storage": ("Datastore.", "Permissions.Modify"),
    "nodes": ("Sys.", "Permissions.Modify"),
    "sdn": ("SDN.", "Permissions.Modify"),
    "dc": ("Sys.Audit", "Sys.Modify", "SDN."),
    "mapping": ("Mapping.", "Permissions.Modify"),
}
_OF_POOLS = ("vms", "storage")


def capabilities(held: Mapping[str, Iterable[str]]) -> dict[str, dict[str, int]]:
    """The `cap` of a login answer: seven rooms, each with the privileges held somewhere in it, as 1."""
    rooms: dict[str, dict[str, int]] = {room: {} for room in _ROOMS}
    for path, names in held.items():
        top = path.split("/")[1] or "dc"
        for room in _OF_POOLS if top == "pool" else (top,):
            asked = _ROOMS.get(room, ())
            rooms[room] |= {name: 1 for name in names if name.startswith(asked)} if asked else {}
    return rooms
