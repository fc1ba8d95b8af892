"""What the page of one guest asks Proxmox, for whoever is signed in."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

from services.errors import PrivilegeMissing, ProxmoxError, RequestRefused, StoreError
from services.feed import Feed
from services.feed.protection import may_see_backups
from services.proxmox import (
    Backup,
    Config,
    GuestStatus,
    GuestType,
    Interfaces,
    ProxmoxClient,
    Series,
    Snapshots,
    Task,
    TaskFilter,
    Timeframe,
)
from services.sessions import Session
from ui.curves import FRESH, REFRESH_SECONDS
from ui.visit import current_session

STATUS_SECONDS, SLOW_SECONDS, BACKUPS_SECONDS = 10, 30, 120
"""How fresh its own state is, and what moves more slowly: to list a large storage takes Proxmox a while."""

MOST_TASKS = 10

T = TypeVar("T")


class About(NamedTuple):
    """A guest where and as it is: what was answered of it elsewhere, or in another state, is no answer any more.

    `ended` is the task about it that has ended last: one changes more than the state.
    """

    node: str
    type: GuestType
    vmid: int
    status: str
    template: bool
    ended: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """A guest's backups, newest first, and the storages that gave no answer: there may be more of them there."""

    all: tuple[Backup, ...] = ()
    silent: tuple[str, ...] = ()


class Questions:
    """What the page asks of one guest, for whoever is signed in; `about` is None while nobody can tell where it is."""

    def __init__(self, feed: Feed, vmid: int) -> None:
        self._feed = feed
        self.vmid = vmid
        self.about: About | None = None
        self.storages: tuple[str, ...] = ()
        """Where its node has backups, as far as this account may see."""

    @property
    def node(self) -> str:
        """Whose answer is waited for."""
        return self.about.node if self.about else ""

    async def status(self) -> GuestStatus:
        return await self._ask("status", lambda proxmox, at: proxmox.guest_status(*at[:3]), STATUS_SECONDS)

    async def interfaces(self) -> Interfaces | None:
        return await self._ask("interfaces", lambda proxmox, at: proxmox.interfaces(*at[:3]), SLOW_SECONDS)

    async def tasks(self) -> tuple[Task, ...]:
        wanted = TaskFilter(vmid=self.vmid, limit=MOST_TASKS, source="all")
        return await self._ask("tasks", lambda proxmox, at: proxmox.node_tasks(at.node, wanted), SLOW_SECONDS)

    async def config(self) -> Config:
        return await self._ask("config", lambda proxmox, at: proxmox.config(*at[:3]), SLOW_SECONDS)

    async def snapshots(self) -> Snapshots:
        return await self._ask("snapshots", lambda proxmox, at: proxmox.snapshots(*at[:3]), SLOW_SECONDS)

    async def backups(self) -> Backups | None:
        """None where they may be seen on no storage, which is not the same as none."""
        session = current_session()  # which is not to be had in what runs beside the page
        permissions = await self._feed.permissions(session)
        asked = [storage for storage in self.storages if may_see_backups(permissions, storage, self.vmid)]
        answers = await asyncio.gather(*(self._backups_on(storage, session) for storage in asked))
        told = [answer for answer in answers if answer is not None]
        if not told:
            return None
        every = chain.from_iterable(one.all for one in told)
        return Backups(
            all=tuple(sorted(every, key=lambda one: one.ctime or 0, reverse=True)),
            silent=tuple(chain.from_iterable(one.silent for one in told)),
        )

    async def curves(self, span: Timeframe) -> Series:
        return await self._ask(span, lambda proxmox, at: proxmox.guest_curves(*at[:3], span), REFRESH_SECONDS)

    async def _backups_on(self, storage: str, session: Session) -> Backups | None:
        """Those on one storage; None where they may not be seen."""

        async def volumes(proxmox: ProxmoxClient, at: About) -> tuple[Backup, ...]:
            return await proxmox.volumes(at.node, storage, "backup", at.vmid)

        try:
            return Backups(all=await self._ask(f"backups on {storage}", volumes, BACKUPS_SECONDS, session))
        except PrivilegeMissing:
            return None
        except (ProxmoxError, StoreError):
            return Backups(silent=(storage,))

    async def _ask(
        self,
        what: str,
        question: Callable[[ProxmoxClient, About], Awaitable[T]],
        period: float,
        session: Session | None = None,
    ) -> T:
        at = self.about
        if at is None:
            raise RequestRefused(404)
        key = ("guest", at, what)
        return await self._feed.ask(
            session or current_session(), key, lambda proxmox: question(proxmox, at), FRESH * period
        )
