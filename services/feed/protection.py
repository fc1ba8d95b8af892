"""Which guests are without a recent backup, from what is known of jobs and storages: pure reckoning, nothing asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from services.feed.picture import Unprotected
from services.proxmox import BackupJob, Guest, Permissions

LATE = 2
"""A backup that is older than so many intervals of its job is none."""

EVERYWHERE = ""
"""In the place of a node: a storage that all nodes share."""

Latest = Mapping[int, int]
"""When each guest's latest backup was made, by vmid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What is known: the jobs that run, their intervals by schedule, and what was read of which storage on which node.

    A storage that could not be read is not in `latest`, and a schedule that never comes again not in `intervals`.
    """

    jobs: tuple[BackupJob, ...] = ()
    intervals: Mapping[str, int] = field(default_factory=dict[str, int])
    latest: Mapping[tuple[str, str], Latest] = field(default_factory=dict[tuple[str, str], Latest])


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The guests without a backup in time, by vmid; None when of no guest that has a job its backups may be known.

    A guest of which nobody can tell is left out; then this is not the `whole`.
    """

    unprotected: tuple[Unprotected, ...] | None = None
    whole: bool = True


def find(guests: Iterable[Guest], known: Knowledge, permissions: Permissions, now: float) -> Found:
    """Those without a backup in time. `now` is in Unix seconds."""
    judge = _Judge(known, permissions, now)
    verdicts = [judge.of(guest) for guest in guests if not guest.template]
    late = [verdict for verdict in verdicts if isinstance(verdict, Unprotected)]
    told = Verdict.WELL in verdicts or any(one.interval is not None for one in late)
    whole = Verdict.UNKNOWN not in verdicts
    if not (whole or told):
        return Found(whole=False)
    return Found(unprotected=tuple(sorted(late, key=lambda one: one.vmid)), whole=whole)


class Verdict(Enum):
    """What can be said of a guest that is not known to be without a backup."""

    WELL = auto()
    UNKNOWN = auto()


class _Judge:
    def __init__(self, known: Knowledge, permissions: Permissions, now: float) -> None:
        self._known = known
        self._permissions = permissions
        self._now = now
        self._latest = _merged(known.latest)
        self._of_unseen_pools = [
            job for job in known.jobs if job.pool and not permissions.allows(f"/pool/{job.pool}", "Pool.Audit")
        ]

    def of(self, guest: Guest) -> Unprotected | Verdict:
        jobs = [job for job in self._known.jobs if job.covers(guest)]
        verdicts = [self._by(job, guest) for job in jobs]
        if self._may_be_pooled(guest):
            verdicts.append(Verdict.UNKNOWN)
        if not verdicts:
            return Unprotected(vmid=guest.vmid)
        sure = next((verdict for verdict in (Verdict.WELL, Verdict.UNKNOWN) if verdict in verdicts), None)
        late = [verdict for verdict in verdicts if isinstance(verdict, Unprotected)]
        return sure or max(late, key=lambda one: one.latest or 0)

    def _may_be_pooled(self, guest: Guest) -> bool:
        """Whether a job for a pool may have it without our knowing: which pool it is in takes Pool.Audit to be told."""
        return not guest.pool and any(guest.node == (job.node or guest.node) for job in self._of_unseen_pools)

    def _by(self, job: BackupJob, guest: Guest) -> Unprotected | Verdict:
        interval = self._known.intervals.get(job.schedule)
        if interval is None or not self._can_tell(job.target, guest):
            return Verdict.UNKNOWN
        latest = self._latest[job.target].get(guest.vmid)
        if latest is not None and self._now - latest <= LATE * interval:
            return Verdict.WELL
        return Unprotected(vmid=guest.vmid, latest=latest, interval=interval)

    def _can_tell(self, storage: str, guest: Guest) -> bool:
        """Whether this guest's backups there were read: of those that an account may not see Proxmox says nothing."""
        read = any((storage, node) in self._known.latest for node in (EVERYWHERE, guest.node))
        return read and may_see_backups(self._permissions, storage, guest.vmid)


def may_see_backups(permissions: Permissions, storage: str, vmid: int) -> bool:
    """Whether a guest's backups on a storage are shown to the account (pve-storage, `check_volume_access`)."""
    place = f"/storage/{storage}"
    return permissions.allows(place, "Datastore.Allocate") or (
        permissions.allows(place, "Datastore.AllocateSpace") and permissions.allows(f"/vms/{vmid}", "VM.Backup")
    )


def _merged(latest: Mapping[tuple[str, str], Latest]) -> dict[str, dict[int, int]]:
    """By storage, whichever node a backup lies on: a guest that moved has its older ones where it came from."""
    merged: dict[str, dict[int, int]] = {}
    for (storage, _), backups in latest.items():
        there = merged.setdefault(storage, {})
        for vmid, made in backups.items():
            there[vmid] = max(made, there.get(vmid, 0))
    return merged
