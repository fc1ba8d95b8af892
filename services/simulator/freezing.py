"""Plans for snapshots: taking one, going back to it, deleting it."""

from collections.abc import Callable

from services.simulator.contents import media_disk
from services.simulator.figures import Machine
from services.simulator.powering import Powering, locked
from services.simulator.snapshots import Snapshot
from services.simulator.tasks import Line
from services.simulator.work import Plan
from services.simulator.world import World


class Freezing:
    """What each gives is the plan for the moment `at`."""

    def __init__(self, world: World, powering: Powering) -> None:
        self._world = world
        self._powering = powering

    def take(self, machine: Machine, at: float, name: str, description: str, *, vmstate: bool) -> Plan:
        """The guest's memory comes along only where it runs."""
        vmid, lock, line = machine.vmid, self._world.lock(machine.vmid, at), self._world.snapshots.of(machine.vmid)
        if machine.entry.template:
            return Plan(seconds=0, status="you can't take a snapshot if it's a template")
        if lock:
            return locked(machine, lock)
        if name in line.by_name:
            return Plan(seconds=0, status=f"snapshot name '{name}' already used")
        if not machine.keeps_snapshots:
            return Plan(seconds=0, status="snapshot feature is not available")
        vmstate = vmstate and self._world.power.since(vmid) is not None
        snaptime = int(self._world.began + at)
        line.take(Snapshot(name=name, snaptime=snaptime, description=description, vmstate=vmstate, state="prepare"))
        log, seconds = taken_log(machine, name, vmstate=vmstate)
        return Plan(
            seconds=seconds, log=log, lock="snapshot", guests=(vmid,), done=lambda _: line.commit(name),
            undone=lambda: line.remove(name),
        )  # fmt: skip

    def roll_back(self, machine: Machine, at: float, name: str, *, start: bool) -> Plan:
        """The guest is stopped first; afterwards it runs if its memory was saved, or if that was asked for."""
        vmid, lock, line = machine.vmid, self._world.lock(machine.vmid, at), self._world.snapshots.of(machine.vmid)
        snapshot = line.by_name.get(name)
        if machine.entry.template:
            return Plan(seconds=0, status="you can't rollback if vm is a template")
        if snapshot is None:
            return _missing(name)
        if snapshot.state:
            return Plan(seconds=0, status=f"unable to rollback to incomplete snapshot (snapstate = {snapshot.state})")
        if lock:
            return locked(machine, lock)
        self._world.power.stop(vmid, at)

        def done(then: float) -> None:
            line.parent = name
            if snapshot.vmstate:
                self._world.power.start(vmid, then)
            elif start:
                self._powering.chain(machine, "start", then)

        return Plan(
            seconds=4, log=_rolled_back_log(machine), lock="rollback", guests=(vmid,), done=done,
            undone=self._leaving_lock(vmid, "rollback"),
        )  # fmt: skip

    def delete(self, machine: Machine, at: float, name: str) -> Plan:
        vmid, lock, line = machine.vmid, self._world.lock(machine.vmid, at), self._world.snapshots.of(machine.vmid)
        if name not in line.by_name:
            return _missing(name)
        if lock:
            return locked(machine, lock)
        line.by_name[name].state = "delete"
        return Plan(
            seconds=3, log=deleted_log(machine, name), lock="snapshot-delete", guests=(vmid,),
            done=lambda _: line.remove(name), undone=self._leaving_lock(vmid, "snapshot-delete"),
        )  # fmt: skip

    def _leaving_lock(self, vmid: int, lock: str) -> Callable[[], object]:
        """Whoever stops this midway leaves the guest locked, in Proxmox too."""
        return lambda: self._world.locks.put(vmid, lock)


def taken_log(machine: Machine, name: str, *, vmstate: bool) -> tuple[tuple[Line, ...], float]:
    """What taking one writes, and how many seconds it takes."""
    log: list[Line] = []
    seconds = 1.0
    if vmstate:
        saved = machine.entry.memory * 0.6
        seconds += 2 * machine.entry.memory
        log = [(0, "saving VM state and RAM using storage 'local-lvm'")]
        log += [(2 * turn, f"{min(saved, turn * 0.8):.2f} GiB in {2 * turn}s") for turn in range(1, int(seconds / 2))]
        log += [(seconds, f"completed saving the VM state in {int(seconds)}s, saved {saved:.2f} GiB")]
    for drive, volume in _drives(machine):
        log += [] if machine.contained else [(seconds, f"snapshotting '{drive}' ({volume})")]
        if volume.startswith("local-lvm:"):
            log += [(seconds + 1, f'  Logical volume "snap_vm-{machine.vmid}-disk-0_{name}" created.')]
    return tuple(log), seconds + 2


def deleted_log(machine: Machine, name: str) -> tuple[Line, ...]:
    return ((1, f'  Logical volume "snap_vm-{machine.vmid}-disk-0_{name}" successfully removed.'),)


def _rolled_back_log(machine: Machine) -> tuple[Line, ...]:
    volume = f'  Logical volume "vm-{machine.vmid}-disk-0"'
    return (1, f"{volume} successfully removed."), (2, f"{volume} created.")


def _drives(machine: Machine) -> list[tuple[str, str]]:
    second = [("drive-scsi1", f"media:{media_disk(machine)}")] if machine.has_media else []
    return [("drive-scsi0", f"local-lvm:vm-{machine.vmid}-disk-0"), *second]


def _missing(name: str) -> Plan:
    return Plan(seconds=0, status=f"snapshot '{name}' does not exist")
