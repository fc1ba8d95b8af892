"""What people may have done with a guest: which rights each order needs, and how it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.actions.rights import Need
from services.proxmox import Guest, PowerAction, ProxmoxClient, is_of, node_of

_SNAPSHOT = ("VM.Snapshot",)
_ROLLBACK = ("VM.Snapshot", "VM.Snapshot.Rollback")


class Order(Protocol):
    """One thing to be done with one guest."""

    @property
    def name(self) -> str:
        """What is done, for the log: no secret, and no text that somebody typed."""
        ...

    def needs(self, guest: Guest) -> Sequence[Need]:
        """The rights that Proxmox asks for, all of them."""
        ...

    async def send(self, proxmox: ProxmoxClient, guest: Guest) -> str:
        """Send it once; the UPID of the task that does it. Raises ProxmoxError."""
        ...


@dataclass(frozen=True, slots=True)
class Power:
    """Start, shut down, stop, reboot, suspend or resume; to stop may `overrule` a shutdown that goes on."""

    action: PowerAction
    overrule: bool = False

    @property
    def name(self) -> str:
        return self.action

    def needs(self, guest: Guest) -> Sequence[Need]:
        return (Need(_of(guest), ("VM.PowerMgmt",)),)

    async def send(self, proxmox: ProxmoxClient, guest: Guest) -> str:
        return await proxmox.power(guest.node, guest.type, guest.vmid, self.action, overrule=self.overrule)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot:
    """Take a snapshot, of a virtual machine's `memory` too."""

    snapshot: str
    description: str = ""
    memory: bool = False
    name = "snapshot"

    def needs(self, guest: Guest) -> Sequence[Need]:
        return (Need(_of(guest), _SNAPSHOT),)

    async def send(self, proxmox: ProxmoxClient, guest: Guest) -> str:
        return await proxmox.take_snapshot(
            guest.node, guest.type, guest.vmid, self.snapshot, description=self.description, memory=self.memory
        )


@dataclass(frozen=True, slots=True)
class RollBack:
    """Go back to a snapshot: all since is lost."""

    snapshot: str
    name = "rollback"

    def needs(self, guest: Guest) -> Sequence[Need]:
        return (Need(_of(guest), _ROLLBACK),)

    async def send(self, proxmox: ProxmoxClient, guest: Guest) -> str:
        return await proxmox.roll_back(guest.node, guest.type, guest.vmid, self.snapshot)


@dataclass(frozen=True, slots=True)
class DeleteSnapshot:
    """Delete a snapshot."""

    snapshot: str
    name = "delete-snapshot"

    def needs(self, guest: Guest) -> Sequence[Need]:
        return (Need(_of(guest), _SNAPSHOT),)

    async def send(self, proxmox: ProxmoxClient, guest: Guest) -> str:
        return await proxmox.delete_snapshot(guest.node, guest.type, guest.vmid, self.snapshot)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUp:
    """Back it up now, to a storage."""

    storage: str
    notes: str = ""
    protected: bool = False
    name = "backup"

    def needs(self, guest: Guest) -> Sequence[Need]:
        return (
            Need(_of(guest), ("VM.Backup",)),
            Need(f"/storage/{self.storage}", ("Datastore.AllocateSpace", "Datastore.Allocate")),
        )

    async def send(self, proxmox: ProxmoxClient, guest: Guest) -> str:
        return await proxmox.back_up(guest.node, guest.vmid, self.storage, notes=self.notes, protected=self.protected)


def orders_for(guest: Guest) -> Sequence[Power]:
    """What makes sense in the state that it is in; nothing for a template."""
    if guest.template:
        return ()
    match guest.status:
        case "stopped":
            actions: Sequence[PowerAction] = ("start",)
        case "paused" | "suspended" | "prelaunch":
            actions = ("resume", "stop")
        case "running":
            actions = ("shutdown", "reboot", "suspend", "stop")
        case "unknown":  # its node is away
            return ()
        case _:
            actions = ("resume", "stop") if guest.type == "qemu" else ("stop",)
    return [Power(action) for action in actions]


def needs_to_stop(upid: str, principal: str) -> Sequence[Need]:
    """The rights that Proxmox asks for to stop a task: none for one's own (pve-manager, `PVE::API2::Tasks`)."""
    return () if is_of(upid, principal) else (Need(f"/nodes/{node_of(upid)}", ("Sys.Modify",)),)


def _of(guest: Guest) -> str:
    return f"/vms/{guest.vmid}"
