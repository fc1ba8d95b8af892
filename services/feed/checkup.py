"""Whether all is well: asked more slowly than the pictures, and each part only where this account may know it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from services.errors import PrivilegeMissing, ProxmoxError, TicketRejected
from services.feed.lender import Lender, part
from services.feed.picture import Health
from services.feed.protection import EVERYWHERE, Found, Knowledge, Latest, find
from services.proxmox import (
    BackupJob,
    Cluster,
    Permissions,
    ProxmoxClient,
    Resources,
    Storage,
    Task,
    Volume,
    failed_since,
)

PERIOD, BACKUPS_PERIOD = 30.0, 300.0
"""Seconds between two looks at quorum and tasks, and between two at the backups; the latter while all is hidden."""

MOST_FAILED = 500
"""Failed tasks of one node that are counted."""

AT_ONCE = 4
"""Nodes or storages that are asked at the same time."""

_RUNS = 100  # of a schedule, to see its longest gap: a weekend, or a night

A = TypeVar("A")
B = TypeVar("B")


class Checkup:
    """Keeps what was found, so that a question that fails once takes nothing away."""

    def __init__(self, lender: Lender, forget_members: Callable[[], None]) -> None:
        self._lender = lender
        self._forget_members = forget_members
        self._health = Health()
        self._permissions = Permissions()
        self._cluster: Cluster | None = None
        self._failed: dict[str, tuple[Task, ...] | None] = {}  # by node; None of one that has never told
        self._known: Knowledge | None = None
        self._backups_due = 0.0

    @staticmethod
    def period(*, hidden: bool) -> float:
        """Seconds to the next look."""
        return BACKUPS_PERIOD if hidden else PERIOD

    @property
    def backups_due(self) -> bool:
        """Whether it is time to look at the backups."""
        return time.monotonic() >= self._backups_due

    async def look(self, resources: Resources) -> Health | None:
        """Quorum, failed tasks, and what is known of backups seen by today's guests. None with no session left.

        Raises ProxmoxError and StoreError.
        """
        return await self._lender.ask(lambda proxmox: self._look(proxmox, resources))

    async def look_at_backups(self, resources: Resources) -> Health | None:
        """Read jobs and storages anew, which may take a while. None with no session left.

        Raises ProxmoxError and StoreError.
        """
        self._backups_due = time.monotonic() + BACKUPS_PERIOD * 0.95  # so that it falls to a look and not past it
        return await self._lender.ask(lambda proxmox: self._look_at_backups(proxmox, resources))

    async def _look(self, proxmox: ProxmoxClient, resources: Resources) -> Health:
        self._permissions = await part(proxmox.permissions(), self._permissions)
        self._cluster = await self._learn_cluster(proxmox)
        self._failed = await self._learn_failed(proxmox, resources)
        backups = await self._backups(resources)
        failed = self._failed_together()
        self._health = Health(
            quorate=self._cluster and self._cluster.quorate,
            alone=self._cluster is not None and self._cluster.alone,
            failed=failed,
            failed_whole=None not in self._failed.values(),
            unprotected=backups.unprotected,
            unprotected_whole=backups.whole,
        )
        return self._health

    async def _look_at_backups(self, proxmox: ProxmoxClient, resources: Resources) -> Health:
        self._known = await self._learn(proxmox, resources)
        found = await self._backups(resources)
        self._health = replace(self._health, unprotected=found.unprotected, unprotected_whole=found.whole)
        return self._health

    # below: quorum and tasks

    async def _learn_cluster(self, proxmox: ProxmoxClient) -> Cluster | None:
        """None where it is not this account's to know.

        Asking makes the cluster's nodes known, too, for the day on which the configured ones are down.
        """
        with suppress(PrivilegeMissing):
            if self._permissions.allows("/", "Sys.Audit"):
                return await self._ask_cluster(proxmox)
        self._forget_members()
        return None

    async def _ask_cluster(self, proxmox: ProxmoxClient) -> Cluster | None:
        """As before where it cannot be asked just now. Raises PrivilegeMissing and TicketRejected."""
        try:
            return await proxmox.cluster()
        except (PrivilegeMissing, TicketRejected):
            raise
        except ProxmoxError:
            return self._cluster

    async def _learn_failed(self, proxmox: ProxmoxClient, resources: Resources) -> dict[str, tuple[Task, ...] | None]:
        """As each node told last. One that is down is not asked: what has failed there has failed all the same."""
        nodes = [node for node in resources.nodes if self._may_audit(node.node)]
        online = [node.node for node in nodes if node.status == "online"]
        wanted = failed_since(time.time(), limit=MOST_FAILED)
        told = await _each(online, lambda node: part(proxmox.node_tasks(node, wanted), self._failed.get(node)))
        down = {node.node: before for node in nodes if (before := self._failed.get(node.node))}
        return {
            node: answer and tuple(task for task in answer if task.failed and task.starttime >= (wanted.since or 0))
            for node, answer in (down | dict(zip(online, told, strict=True))).items()
        }

    def _failed_together(self) -> tuple[Task, ...] | None:
        """Of all nodes, latest first; that none has failed is known only once each node has told."""
        failed = [task for tasks in self._failed.values() for task in tasks or ()]
        if not failed and (not self._failed or None in self._failed.values()):
            return None
        return tuple(sorted(failed, key=lambda task: task.endtime or 0, reverse=True))

    def _may_audit(self, node: str) -> bool:
        return self._permissions.allows(f"/nodes/{node}", "Sys.Audit")

    # below: backups

    async def _backups(self, resources: Resources) -> Found:
        """In a thread, since ten thousand guests take a while."""
        known, permissions = self._known, self._permissions
        if known is None or not permissions.allows("/", "Sys.Audit"):
            return Found()
        return await asyncio.to_thread(find, resources.guests, known, permissions, time.time())

    async def _learn(self, proxmox: ProxmoxClient, resources: Resources) -> Knowledge | None:
        """What is known now; as before where the jobs cannot be read just now."""
        if not self._permissions.allows("/", "Sys.Audit"):
            return None
        jobs = await part(proxmox.backup_jobs(), None)
        if jobs is None:
            return self._known
        running = tuple(job for job in jobs if job.enabled)
        intervals = await self._intervals(proxmox, running)
        latest = await self._latest(proxmox, running, resources)
        return Knowledge(jobs=running, intervals=intervals, latest=latest)

    async def _intervals(self, proxmox: ProxmoxClient, jobs: Iterable[BackupJob]) -> dict[str, int]:
        """The longest time between two runs of each schedule; each is asked once."""
        known = (self._known or Knowledge()).intervals
        schedules = sorted({job.schedule for job in jobs if job.schedule})
        found = await _each(schedules, lambda one: _interval(proxmox, one, known.get(one)))
        return {schedule: seconds for schedule, seconds in zip(schedules, found, strict=True) if seconds}

    async def _latest(
        self, proxmox: ProxmoxClient, jobs: Iterable[BackupJob], resources: Resources
    ) -> dict[tuple[str, str], Latest]:
        """What each of the jobs' storages holds, as far as it can be read."""
        targets = {job.target for job in jobs}
        online = {node.node for node in resources.nodes if node.status == "online"}
        places = {
            (storage.storage, EVERYWHERE if storage.shared else storage.node): storage
            for storage in resources.storages
            if storage.storage in targets and storage.node in online and self._may_read(storage.storage)
        }
        found = await _each(tuple(places.values()), lambda storage: _backups(proxmox, storage))
        return {place: _newest(volumes) for place, volumes in zip(places, found, strict=True) if volumes is not None}

    def _may_read(self, storage: str) -> bool:
        allows = self._permissions.allows
        return any(allows(f"/storage/{storage}", one) for one in ("Datastore.Audit", "Datastore.AllocateSpace"))


async def _interval(proxmox: ProxmoxClient, schedule: str, known: int | None) -> int | None:
    if known is not None:
        return known
    runs = await part(proxmox.runs(schedule, _RUNS), ())
    return max((later - sooner for sooner, later in pairwise(runs)), default=None)


async def _backups(proxmox: ProxmoxClient, storage: Storage) -> tuple[Volume, ...] | None:
    return await part(proxmox.volumes(storage.node, storage.storage, "backup"), None)


def _newest(volumes: Iterable[Volume]) -> Latest:
    newest: dict[int, int] = {}
    for volume in volumes:
        if volume.vmid is not None and volume.ctime is not None and volume.content == "backup":
            newest[volume.vmid] = max(volume.ctime, newest.get(volume.vmid, 0))
    return newest


async def _each(things: Sequence[A], ask: Callable[[A], Awaitable[B]]) -> list[B]:
    """The answers, a few questions at a time. The first error ends them all."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(thing: A) -> B:
        async with gate:
            return await ask(thing)

    tasks = [asyncio.create_task(one(thing)) for thing in things]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
