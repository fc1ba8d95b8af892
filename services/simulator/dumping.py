"""Plans for backups by hand, as vzdump makes them, and what it writes meanwhile."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import gmtime, strftime

from services.simulator.backups import UNLUCKY, Backup, Run
from services.simulator.catalogue import GIB
from services.simulator.contents import media_disk
from services.simulator.figures import Machine
from services.simulator.noise import dice
from services.simulator.powering import label
from services.simulator.stores import Store
from services.simulator.tasks import Line
from services.simulator.work import Plan
from services.simulator.world import CLUSTER, World

_FORMS = {"0": "", "1": ".lzo", "lzo": ".lzo", "gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for; `line` is the command that would do the same, as it begins the log."""

    line: str
    storage: str
    guests: tuple[int, ...]
    mode: str = "snapshot"
    compress: str = "0"
    notes: str = ""
    protected: bool = False


class Dumping:
    def __init__(self, world: World) -> None:
        self._world = world

    def plan(self, order: Order, at: float) -> Plan:
        """One guest after the other; those that fail make the whole one fail at its end."""
        store = self._world.stores.get(order.storage)
        why = _unfit(order.storage, store)
        if why:
            return Plan(seconds=0, status=f"could not get storage information for '{order.storage}': {why}")
        begun, log = at, [(0.0, f"INFO: starting new backup job: {order.line}")]
        made: list[Backup] = []
        for vmid in order.guests:
            backup = self._backup(order, vmid, begun)
            told = [*self._told(order, vmid, backup, begun)]
            log += [(begun - at + when, line) for when, line in told]
            begun += told[-1][0]
            made += [backup] if backup else []
        failed = len(made) < len(order.guests)
        log.append((begun - at, f"INFO: Backup job finished {'with errors' if failed else 'successfully'}"))
        return Plan(
            seconds=begun - at, status="job errors" if failed else "OK", log=tuple(log), lock="backup",
            guests=tuple(one.machine.vmid for one in made), done=lambda _: self._keep(made),
        )  # fmt: skip

    def _backup(self, order: Order, vmid: int, begun: float) -> Backup | None:
        """What comes of it; None when nothing does."""
        machine = self._world.machines.get(vmid)
        if machine is None or vmid == UNLUCKY or self._world.lock(vmid, begun):
            return None
        notes = order.notes.replace("\\n", "\n")
        for name, value in {
            "cluster": CLUSTER, "guestname": machine.entry.name, "node": machine.node, "vmid": str(vmid)
        }.items():  # fmt: skip
            notes = notes.replace(f"{{{{{name}}}}}", value)
        return Backup(
            machine=machine, storage=order.storage, ctime=int(self._world.began + begun), form=_FORMS[order.compress],
            notes=notes, protected=order.protected,
        )  # fmt: skip

    def _told(self, order: Order, vmid: int, backup: Backup | None, at: float) -> Iterator[Line]:
        machine = self._world.machines.get(vmid)
        if machine is None:
            yield 1, f"ERROR: Backup of VM {vmid} failed - unable to find VM '{vmid}'"
            return
        lock, running = self._world.lock(vmid, at), self._world.power.since(vmid) is not None
        start = self._world.began + at
        yield from _begun(machine, start, running=running)
        if lock:
            yield 1, f"ERROR: Backup of VM {vmid} failed - {label(machine)} is locked ({lock})"
        elif backup is None:
            yield from broken_off(machine, order.mode)
        else:
            yield from _written(backup, order, running=running)
        if backup is None:
            yield 9, f"INFO: Failed at {_stamp(start + 9)}"

    def story(self, run: Run) -> tuple[Line, ...]:
        """What a job of the past wrote, guest by guest, each in its time."""
        order = Order(line=f"vzdump --storage {run.job.storage} --mode snapshot --compress zstd --quiet 1",
                      storage=run.job.storage, guests=run.guests)  # fmt: skip
        log: list[Line] = [(0, f"INFO: starting new backup job: {order.line}")]
        for turn, machine in enumerate(
            self._world.machines[vmid] for vmid in run.guests if vmid in self._world.machines
        ):
            start = run.start + run.each * turn
            backup = Backup(machine=machine, storage=order.storage, ctime=int(start))
            bad = machine.vmid == UNLUCKY
            told = [*_begun(machine, start, running=True)]
            told += broken_off(machine, order.mode) if bad else _written(backup, order, running=True)
            log += [(run.each * turn + when / told[-1][0] * run.each, line) for when, line in told]
        ending = "with errors" if run.status != "OK" else "successfully"
        return (*log, (run.seconds, f"INFO: Backup job finished {ending}"))

    def _keep(self, made: Iterable[Backup]) -> None:
        for backup in made:
            self._world.backups.add(backup)


def _unfit(name: str, store: Store | None) -> str | None:
    if store is None:
        return f"storage '{name}' does not exist"
    if "backup" not in store.content.split(","):
        return f"can't use storage '{name}' for backups - wrong content type"
    return None


def _begun(machine: Machine, start: float, *, running: bool) -> Iterator[Line]:
    yield 0, f"INFO: Starting Backup of VM {machine.vmid} ({machine.entry.type})"
    yield 0, f"INFO: Backup started at {_stamp(start)}"
    yield 0, f"INFO: status = {'running' if running else 'stopped'}"


def broken_off(machine: Machine, mode: str) -> Iterator[Line]:
    """What is written of a guest whose disk cannot be read."""
    yield 1, f"INFO: backup mode: {mode}"
    yield 1, f"INFO: VM Name: {machine.entry.name}"
    yield 1, f"INFO: include disk 'scsi0' 'local-lvm:vm-{machine.vmid}-disk-0' {machine.entry.disk}G"
    yield 8, "ERROR: job failed with err -5 - Input/output error"
    yield 8, "INFO: aborting backup job"
    yield 9, f"ERROR: Backup of VM {machine.vmid} failed - job failed with err -5 - Input/output error"


def _written(backup: Backup, order: Order, *, running: bool) -> Iterator[Line]:
    """A good backup from its mode to its end."""
    machine = backup.machine
    seconds = max(6, min(45, machine.entry.disk // 4))
    mode = order.mode if running else "stop"
    yield 1, f"INFO: backup mode: {mode}"
    yield 1, "INFO: ionice priority: 7"
    yield 1, f"INFO: {'CT' if machine.contained else 'VM'} Name: {machine.entry.name}"
    yield from _container(backup, mode, seconds) if machine.contained else _machine(backup, seconds, running=running)
    yield seconds, f"INFO: archive file size: {_size(backup.size)}"
    if backup.notes:
        yield seconds, "INFO: adding notes to backup"
    if backup.protected:
        yield seconds, "INFO: marking backup as protected"
    yield seconds + 1, f"INFO: Finished Backup of VM {machine.vmid} (00:00:{seconds + 1:02})"
    yield seconds + 1, f"INFO: Backup finished at {_stamp(backup.ctime + seconds + 1)}"


def _machine(backup: Backup, seconds: int, *, running: bool) -> Iterator[Line]:
    machine, total = backup.machine, backup.machine.entry.disk
    yield 1, f"INFO: include disk 'scsi0' 'local-lvm:vm-{machine.vmid}-disk-0' {total}G"
    if machine.has_media:
        yield 1, f"INFO: exclude disk 'scsi1' 'media:{media_disk(machine)}' (backup=no)"
    yield 2, f"INFO: creating vzdump archive '{_path(backup)}'"
    if not running:
        yield 2, "INFO: starting kvm to execute backup task"
    yield 2, f"INFO: started backup task '{uuid.UUID(int=dice(backup.file).getrandbits(128), version=4)}'"
    if running:
        yield 2, "INFO: resuming VM again"
    for turn in range(3, seconds, 3):
        share = turn / seconds
        rate = f"read: {total / seconds:.1f} GiB/s, write: {backup.size / GIB / seconds:.1f} GiB/s"
        yield turn, f"INFO: {int(share * 100):3}% ({share * total:.1f} GiB of {total}.0 GiB) in {turn}s, {rate}"
    yield seconds, f"INFO: 100% ({total}.0 GiB of {total}.0 GiB) in {seconds}s"
    yield seconds, f"INFO: transferred {total}.00 GiB in {seconds} seconds ({total / seconds:.1f} GiB/s)"
    if not running:
        yield seconds, "INFO: stopping kvm after backup task"


def _container(backup: Backup, mode: str, seconds: int) -> Iterator[Line]:
    yield 1, "INFO: including mount point rootfs ('/') in backup"
    if backup.machine.has_media:
        yield 1, "INFO: excluding volume mount point mp0 ('/media') from backup (disabled)"
    if mode == "snapshot":
        yield 1, "INFO: create storage snapshot 'vzdump'"
    yield 2, f"INFO: creating vzdump archive '{_path(backup)}'"
    written = backup.size * (2 if backup.form else 1)
    yield seconds, f"INFO: Total bytes written: {written} ({_size(written)})"
    if mode == "snapshot":
        yield seconds, "INFO: cleanup temporary 'vzdump' snapshot"


def _path(backup: Backup) -> str:
    where = "/var/lib/vz" if backup.storage == "local" else f"/mnt/pve/{backup.storage}"
    return f"{where}/dump/{backup.file}"


def _size(count: int) -> str:
    return f"{count / GIB:.2f}GB" if count >= GIB else f"{count // 1024**2}MB"


def _stamp(moment: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%S", gmtime(moment))
