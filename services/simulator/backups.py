"""Backup jobs, when they run, and what they leave behind: as `vzdump` does it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import gmtime, strftime

from services.simulator.catalogue import GIB, vmid_of
from services.simulator.figures import Machine
from services.simulator.schedule import Schedule

_SLOWEST, _LONGEST = 70, 3 * 3_600  # seconds for one guest, and for a whole run
_FAILS_SINCE = 12 * 86_400
_UNPROTECTED = ("debian-13-template", "windows11", "old-fileserver", "ubuntu-desktop", "octoprint")
UNLUCKY = vmid_of("frigate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of `GET /cluster/backup`: all guests but `exclude`, those of a pool, or those in `vmid`."""

    id: str
    schedule: str
    comment: str
    storage: str = "nas"
    enabled: bool = True
    all: bool = False
    exclude: tuple[int, ...] = ()
    pool: str = ""
    vmid: tuple[int, ...] = ()
    keep: int = 3

    @property
    def times(self) -> Schedule:
        return Schedule.read(self.schedule)

    def takes(self, machine: Machine) -> bool:
        if self.all:
            return machine.vmid not in self.exclude
        return machine.entry.pool == self.pool if self.pool else machine.vmid in self.vmid

    def row(self, now: float) -> dict[str, object]:
        chosen: dict[str, object] = {
            "all": 1 if self.all else None, "pool": self.pool, "vmid": _listed(self.vmid),
            "exclude": _listed(self.exclude),
        }  # fmt: skip
        return {
            "id": self.id, "type": "vzdump", "schedule": self.schedule, "enabled": int(self.enabled),
            "storage": self.storage, "mode": "snapshot", "compress": "zstd", "comment": self.comment,
            "notes-template": "{{guestname}}", "prune-backups": {"keep-last": self.keep},
            "next-run": next(self.times.after(now)),
            **{name: value for name, value in chosen.items() if value},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One job at one time on one node: its guests one after the other, each `each` seconds long."""

    job: Job
    node: str
    start: int
    guests: tuple[int, ...]

    @property
    def each(self) -> float:
        return min(_SLOWEST, _LONGEST / len(self.guests))

    @property
    def seconds(self) -> float:
        return self.each * len(self.guests)

    @property
    def status(self) -> str:
        return "job errors" if UNLUCKY in self.guests else "OK"

    def busy_with(self, now: float) -> int | None:
        """The guest whose turn it is; None before and after."""
        turn = (now - self.start) / self.each
        return self.guests[int(turn)] if 0 <= turn < len(self.guests) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What is left of one guest; `form` is how it is compressed. Without `protected` chance decides."""

    machine: Machine
    storage: str
    ctime: int
    form: str = ".zst"
    notes: str | None = None
    protected: bool | None = None

    @property
    def extension(self) -> str:
        return ("tar" if self.machine.contained else "vma") + self.form

    @property
    def file(self) -> str:
        stamp = strftime("%Y_%m_%d-%H_%M_%S", gmtime(self.ctime))
        return f"vzdump-{self.machine.entry.type}-{self.machine.vmid}-{stamp}.{self.extension}"

    @property
    def size(self) -> int:
        """In bytes; what is not compressed is half as large again."""
        share = 0.21 + self.machine.vmid * self.ctime % 97 / 4_000
        return int(self.machine.entry.disk * GIB * share * (1 if self.form else 1.5))

    def row(self) -> dict[str, str | int]:
        chance = (self.machine.vmid + self.ctime // 86_400) % 11 == 0
        notes = self.machine.entry.name if self.notes is None else self.notes
        return {
            "volid": f"{self.storage}:backup/{self.file}", "content": "backup", "format": self.extension,
            "subtype": self.machine.entry.type, "vmid": self.machine.vmid, "size": self.size, "ctime": self.ctime,
            **({"notes": notes} if notes else {}),
            **({"protected": 1} if (chance if self.protected is None else self.protected) else {}),
        }  # fmt: skip


class Backups:
    """All jobs, and everything that follows from them and from the clock alone."""

    def __init__(self, machines: Mapping[int, Machine], began: float) -> None:
        self._machines = machines
        self._failing_since = began - _FAILS_SINCE
        self._lately: dict[str, tuple[float, list[Backup]]] = {}
        self._made: list[Backup] = []
        self.jobs = _jobs(machines)

    def runs(self, job: Job, start: int) -> Iterator[Run]:
        """A job's run on every node that has guests for it."""
        by_node: dict[str, list[int]] = {}
        for machine in self._machines.values():
            if job.takes(machine):
                by_node.setdefault(machine.node, []).append(machine.vmid)
        for node, guests in by_node.items():
            yield Run(job=job, node=node, start=start, guests=tuple(guests))

    def due(self, begin: float, end: float) -> Iterator[Run]:
        """Every run that starts after `begin` and up to `end`."""
        for job in self.jobs:
            for start in job.times.between(begin, end) if job.enabled else ():
                yield from self.runs(job, start)

    def busy(self, now: float) -> Iterator[int]:
        """The guests that are being backed up."""
        for job in self.jobs:
            start = next(job.times.until(now))
            if job.enabled and now - start <= _LONGEST:
                turns = (run.busy_with(now) for run in self.runs(job, start))
                yield from (vmid for vmid in turns if vmid is not None)

    def add(self, backup: Backup) -> None:
        """Somebody has made one by hand."""
        self._made.append(backup)

    def kept(self, storage: str, now: float) -> list[Backup]:
        """What lies on a storage: the last few of each guest. Looked through every ten seconds."""
        known = self._lately.get(storage)
        if known is None or known[0] != now // 10:
            jobs = [job for job in self.jobs if job.storage == storage and job.enabled]
            known = now // 10, [backup for job in jobs for backup in self._kept_of(job, now)]
            self._lately[storage] = known
        return [*known[1], *(backup for backup in self._made if backup.storage == storage)]

    def _kept_of(self, job: Job, now: float) -> Iterator[Backup]:
        times = [start for start, _ in zip(job.times.until(now), range(30), strict=False)]
        for run in self.runs(job, 0):
            for turn, vmid in enumerate(run.guests):
                done = now if vmid != UNLUCKY else min(now, self._failing_since)
                begun = (start + int(run.each * turn) for start in times)
                good = [start for start in begun if start + run.each <= done][: job.keep]
                yield from (Backup(machine=self._machines[vmid], storage=job.storage, ctime=start) for start in good)


def _jobs(machines: Mapping[int, Machine]) -> tuple[Job, ...]:
    spared = [vmid_of(name) for name in _UNPROTECTED]
    media = [machine.vmid for machine in machines.values() if machine.entry.pool == "media"]
    lab = [vmid_of(name) for name in ("k3s-server", "k3s-agent-1", "k3s-agent-2")]
    return (
        Job(
            id="backup-6f1c2a90-3b7e", schedule="02:30", comment="Every night", all=True,
            exclude=tuple(vmid for vmid in sorted((*spared, *media)) if vmid in machines),
        ),
        Job(id="backup-0d94e5b1-77aa", schedule="sun 04:00", comment="Media, weekly", pool="media", keep=2),
        Job(
            id="backup-c3358f02-19d4", schedule="sat 03:15", comment="Before the move", storage="local", enabled=False,
            vmid=tuple(vmid for vmid in lab if vmid in machines),
        ),
    )  # fmt: skip


def _listed(vmids: Iterable[int]) -> str:
    return ",".join(map(str, vmids))
