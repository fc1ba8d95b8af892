"""What the page of one guest asks Proxmox, for whoever is signed in."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from services.errors import RequestRefused
from services.feed import Feed
from services.proxmox import GuestStatus, GuestType, Interfaces, ProxmoxClient, Series, Task, TaskFilter, Timeframe
from ui.curves import FRESH, REFRESH_SECONDS
from ui.visit import current_session

STATUS_SECONDS, SLOW_SECONDS = 10, 30
"""How fresh its own state is, and its addresses and tasks."""

MOST_TASKS = 10

T = TypeVar("T")


class About(NamedTuple):
    """A guest where and as it is: what was answered of it elsewhere, or in another state, is no answer any more."""

    node: str
    type: GuestType
    vmid: int
    status: str


class Questions:
    """What the page asks of one guest, for whoever is signed in; `about` is None while nobody can tell where it is."""

    def __init__(self, feed: Feed, vmid: int) -> None:
        self._feed = feed
        self.vmid = vmid
        self.about: About | None = None

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

    async def curves(self, span: Timeframe) -> Series:
        return await self._ask(span, lambda proxmox, at: proxmox.guest_curves(*at[:3], span), REFRESH_SECONDS)

    async def _ask(self, what: str, question: Callable[[ProxmoxClient, About], Awaitable[T]], period: float) -> T:
        at = self.about
        if at is None:
            raise RequestRefused(404)
        return await self._feed.ask(
            current_session(), ("guest", at, what), lambda proxmox: question(proxmox, at), FRESH * period
        )
