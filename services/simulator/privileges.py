"""Proxmox's privileges, the two roles used here, and the `cap` of a login answer."""

from collections.abc import Iterable

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

ADMINISTRATOR = frozenset(_ADMINISTRATOR.split())
AUDITOR = frozenset(name for name in ADMINISTRATOR if name.endswith(".Audit"))

# Which privileges each part of the web UI asks about; the seven keys are those of a real login answer.
_ROOMS = {
    "vms": ("VM.", "Permissions."),
    "access": ("User.", "Group.", "Permissions.", "Realm."),
    "storage": ("Datastore.", "Permissions."),
    "nodes": ("Sys.", "Permissions."),
    "sdn": ("SDN.", "Permissions."),
    "dc": ("Sys.Audit", "Sys.Modify", "SDN."),
    "mapping": ("Mapping.", "Permissions."),
}


def capabilities(privileges: Iterable[str]) -> dict[str, dict[str, int]]:
    """The `cap` of a login answer: seven rooms, each with the privileges held somewhere, as 1."""
    held = sorted(set(privileges))
    return {room: {name: 1 for name in held if name.startswith(prefixes)} for room, prefixes in _ROOMS.items()}
