"""One node: how it is now and was lately, what is wrong with it, what runs on it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from nicegui import ui

from services.feed import Feed, Picture
from services.proxmox import Node, NodeStatus, ProxmoxClient, Series, Service, Task, Timeframe, Update, failed_since
from services.proxmox.nodes import Space
from ui import text
from ui.curves import FRESH, Curves, ask_node, node_charts
from ui.facts import Facts, Notice, section
from ui.first_picture import first_picture
from ui.lacking import draw_grant
from ui.layout import frame
from ui.links import guests_of, tasks_address
from ui.meters import Meter
from ui.part import Part
from ui.proxmox_links import proxmox_link
from ui.sight import regularly, watch
from ui.strays import stray
from ui.task_table import TaskTable, by_vmid
from ui.theme import Tag, dot
from ui.trouble import Trouble
from ui.units import cpus_of, decimal, share, uptime, used_of
from ui.visit import current_session

STATUS_SECONDS, SLOW_SECONDS = 10, 120
"""How fresh load and memory are, and all that moves more slowly."""

MOST_FAILED, MOST_COUNTED, MOST_UPDATES = 5, 500, 500

T = TypeVar("T")


def create(feed: Feed) -> None:
    """Register the page."""

    @ui.page("/nodes/{node:path}")
    async def node_page(node: str, span: str = "") -> None:
        async with first_picture(feed) as picture:
            if picture.taken and find_node(picture, node) is None:
                return stray(text.NO_SUCH_NODE_TITLE, text.NO_SUCH_NODE.format(node=node))
            with frame(node, "charts.js", "tables.js"):
                board = Board(Questions(feed, node), span)
            watch(feed, board.show)
        return None


class Questions:
    """What the page asks of one node, for whoever is signed in.

    What but it can tell only while it is `online`, which is None while nobody can tell.
    """

    def __init__(self, feed: Feed, node: str) -> None:
        self._feed = feed
        self.node = node
        self.online: bool | None = None

    @property
    def there(self) -> bool | None:
        """Whether others can be asked about it; None while nobody can tell."""
        return None if self.online is None else True

    async def status(self) -> NodeStatus:
        return await self._ask(("node_status",), lambda proxmox: proxmox.node_status(self.node), STATUS_SECONDS)

    async def services(self) -> tuple[Service, ...]:
        return await self._ask(("services",), lambda proxmox: proxmox.services(self.node), SLOW_SECONDS)

    async def updates(self) -> tuple[Update, ...]:
        return await self._ask(("updates",), lambda proxmox: proxmox.updates(self.node), SLOW_SECONDS)

    async def failed(self) -> tuple[Task, ...]:
        wanted = failed_since(time.time(), limit=MOST_COUNTED)
        return await self._ask(("failed",), lambda proxmox: proxmox.node_tasks(self.node, wanted), SLOW_SECONDS)

    async def curves(self, span: Timeframe) -> Series:
        return await ask_node(self._feed, current_session(), self.node, span)

    async def _ask(self, what: tuple[str, ...], question: Callable[[ProxmoxClient], Awaitable[T]], period: float) -> T:
        """As fresh as a page that asks once in a period wants it."""
        return await self._feed.ask(current_session(), ("node", self.node, *what), question, FRESH * period)


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, ask: Questions, span: str) -> None:
        self._ask = ask
        self._head = Head(ask.node)
        self._trouble = Trouble()
        self._notice = Notice()
        with ui.element("div").classes("pg-board") as self._room:
            self._little = _little(ask.node)
            self._gauges = Gauges()
            curves = Curves(span, ask.curves, node_charts, about=lambda: ask.there, of_node=lambda: ask.node)
            with ui.element("div").classes("pg-columns"):
                self._system = SystemPart(ask, self._gauges)
                with ui.element("div"):
                    self._guests = GuestsCard(ask.node)
                    self._services = ServicesPart(ask, after=self._system)
                    self._updates = UpdatesPart(ask, after=self._system)
            self._failed = FailedPart(ask, after=self._system)
        self._refresh_soon = (
            regularly(STATUS_SECONDS, self._refresh_system),
            regularly(SLOW_SECONDS, self._refresh_slowly),
            curves.refresh_soon,
        )

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew."""
        self._trouble.show(picture)
        node = find_node(picture, self._ask.node)
        self._notice.say(_notice(picture, node, self._ask.node))
        gone = node is None and picture.taken > 0
        stale = gone or picture.error is not None
        self._room.set_visibility(picture.taken > 0 or picture.error is None)
        self._room.classes(**{"add" if stale else "remove": "pg-stale"})
        self._head.show(node)
        self._failed.know(picture)
        if node is not None:
            self._gauges.show(node)
            self._guests.show(picture)
        self._ask_while(online=None if stale or node is None else node.status == "online")

    def _ask_while(self, *, online: bool | None) -> None:
        """Nothing is asked while it would be in vain, nor of a node that is away; once that is over, all at once."""
        before, self._ask.online = self._ask.online, online
        if online not in {None, before}:
            for refresh_soon in self._refresh_soon:
                refresh_soon()

    async def _refresh_system(self) -> None:
        await self._system.refresh()
        self._little.set_visibility(self._system.forbidden)

    async def _refresh_slowly(self) -> None:
        for part in (self._system, self._services, self._updates, self._failed):
            await part.refresh()


class Head:
    """Whether the node is there, since when, and the way to it in Proxmox."""

    def __init__(self, node: str) -> None:
        with ui.element("div").classes("pg-head"):
            with ui.element("p").classes("pg-head-state") as self._place:
                self._dot = Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                self._state = Tag("span", "")
                self._uptime = Tag("span", "", classes="pg-count")
            proxmox_link("node", node)
        self._place.set_visibility(False)

    def show(self, node: Node | None) -> None:
        """Draw its state."""
        self._place.set_visibility(node is not None)
        if node is None:
            return
        self._dot.classes(replace=dot(node.status))
        self._state.set_text(text.state(node.status))
        up = node.uptime if node.status == "online" else None
        self._uptime.set_text(text.UP_FOR.format(uptime=uptime(up)) if up else "")


class Gauges:
    """How much of the node is in use."""

    def __init__(self) -> None:
        with ui.element("div").classes("pg-gauges") as self._all:
            self._cpu = Meter(text.CHART_CPU)
            self._memory = Meter(text.CHART_MEMORY)
            self._swap = Meter(text.SWAP)
            self._disk = Meter(text.ROOT_DISK)
        self._all.set_visibility(False)
        self._swap.show(None, "")

    def show(self, node: Node) -> None:
        """Draw what the list of resources tells; what is not known is left out."""
        there = node.status == "online"
        self._all.set_visibility(there and node.cpu is not None)
        cpus = cpus_of(node.cpu, node.maxcpu)
        self._cpu.show(node.cpu, cpus)
        self._memory.show(share(node.mem, node.maxmem), used_of(node.mem, node.maxmem))
        self._disk.show(share(node.disk, node.maxdisk), used_of(node.disk, node.maxdisk))

    def show_swap(self, swap: Space) -> None:
        """Draw what only the node itself tells."""
        self._swap.show(share(swap.used, swap.total), used_of(swap.used, swap.total))


class SystemPart(Part[NodeStatus]):
    """Load, processor, versions."""

    def __init__(self, ask: Questions, gauges: Gauges) -> None:
        super().__init__(self._draw_status, ask.status, about=lambda: ask.online, of_node=lambda: ask.node)
        self._gauges = gauges
        with self:
            section(text.SYSTEM)
            self._facts = Facts(text.LOAD, text.PROCESSOR, text.VERSION, text.KERNEL, text.BOOT)

    def _draw_status(self, status: NodeStatus) -> None:
        self._gauges.show_swap(status.swap)
        self._facts.show({
            text.LOAD: _load(status.loadavg),
            text.PROCESSOR: _processor(status),
            text.VERSION: status.version or status.pveversion,
            text.KERNEL: status.kernel.release,
            text.BOOT: _boot(status),
        })  # fmt: skip


class GuestsCard:
    """How many guests the node has, and the way to them."""

    def __init__(self, node: str) -> None:
        self._node = node
        with Tag("section", "", classes="pg-part") as self._all:
            section(text.GUESTS)
            with ui.element("div").classes("pg-box pg-box-line"):
                self._count = Tag("p", "")
                Tag("a", text.SHOW_GUESTS, {"href": guests_of(node)}, classes="pg-link-button")
        self._all.set_visibility(False)

    def show(self, picture: Picture) -> None:
        """Count them; templates are none, and where there are none for this account it is told nothing."""
        own = [guest for guest in picture.resources.guests if guest.node == self._node and not guest.template]
        running = sum(guest.status == "running" for guest in own)
        self._count.set_text(text.NODE_GUESTS.format(running=running, count=len(own)))
        self._all.set_visibility(bool(own))


class ServicesPart(Part[tuple[Service, ...]]):
    """The services that should run and do not."""

    def __init__(self, ask: Questions, after: SystemPart) -> None:
        super().__init__(
            self._draw_services, ask.services, about=lambda: ask.online, of_node=lambda: ask.node, after=after
        )
        with self:
            self._count = section(text.SERVICES)
            with ui.element("div").classes("pg-box"):
                self._well = Tag("p", text.SERVICES_WELL)
                self._list = Tag("ul", "", {"role": "list"}, classes="pg-plain-list")
        self._well.set_visibility(False)

    def _draw_services(self, services: tuple[Service, ...]) -> None:
        down = [one for one in services if one.down]
        self._count.set_text(_counted(down, text.SERVICE_DOWN, text.SERVICES_DOWN))
        self._well.set_visibility(not down)
        self._list.clear()
        with self._list:
            for one in down:
                with Tag("li", "", classes="pg-down"):
                    Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot pg-offline")
                    Tag("b", one.service)
                    Tag("span", one.desc, classes="pg-count")


class UpdatesPart(Part[tuple[Update, ...]]):
    """The packages that wait, behind a fold."""

    def __init__(self, ask: Questions, after: SystemPart) -> None:
        super().__init__(
            self._draw_updates, ask.updates, about=lambda: ask.online, of_node=lambda: ask.node, after=after
        )
        self._drawn_updates: tuple[Update, ...] | None = None
        with self:
            self._count = section(text.UPDATES)
            with ui.element("div").classes("pg-box"):
                self._none = Tag("p", text.NO_UPDATES)
                with Tag("details", "", classes="pg-fold") as self._fold:
                    Tag("summary", text.UPDATES_SHOWN)
                    self._list = Tag("ul", "", {"role": "list", "tabindex": "0"}, classes="pg-plain-list pg-updates")
        self._none.set_visibility(False)
        self._fold.set_visibility(False)

    def _draw_updates(self, updates: tuple[Update, ...]) -> None:
        if updates == self._drawn_updates:
            return
        self._drawn_updates = updates
        self._count.set_text(_counted(updates, text.UPDATE_WAITS, text.UPDATES_WAIT))
        self._none.set_visibility(not updates)
        self._fold.set_visibility(bool(updates))
        self._list.clear()
        with self._list:
            for one in updates[:MOST_UPDATES]:
                with Tag("li"):
                    Tag("b", one.package)
                    Tag("span", _versions(one), classes="pg-count")


class FailedPart(Part[tuple[Task, ...]]):
    """What went wrong there in the last day: with all of it known, and not one's own tasks alone."""

    def __init__(self, ask: Questions, after: SystemPart) -> None:
        super().__init__(
            self._draw_failed,
            ask.failed,
            about=lambda: ask.online and after.known,
            of_node=lambda: ask.node,
            after=after,
        )
        self._picture = Picture()
        with self:
            self._count = section(text.NODE_FAILED_TASKS)
            self._none = Tag("p", text.NO_FAILED_TASKS, classes="pg-box")
            self._table = TaskTable("node")
            address = tasks_address(failed=True, node=ask.node)
            self._more = Tag("a", "", {"href": address}, classes="pg-button pg-quiet pg-inline")
        self._none.set_visibility(False)
        self._more.set_visibility(False)

    def know(self, picture: Picture) -> None:
        """Guests have names only in a picture."""
        self._picture = picture

    def _draw_failed(self, tasks: tuple[Task, ...]) -> None:
        self._count.set_text(str(len(tasks)) if tasks else "")
        self._none.set_visibility(not tasks)
        self._table.show(tasks[:MOST_FAILED], by_vmid(self._picture.resources.guests))
        self._more.set_text(text.SHOW_ALL_FAILED.format(count=len(tasks)))
        self._more.set_visibility(len(tasks) > MOST_FAILED)


def find_node(picture: Picture, name: str) -> Node | None:
    """The node as this account sees it, None where there is none for it."""
    return next((node for node in picture.resources.nodes if node.node == name), None)


def _little(node: str) -> ui.element:
    """For those who may see no more of a node than its name."""
    with ui.element("div").classes("pg-box pg-little") as room:
        Tag("p", text.NODE_LITTLE)
        draw_grant(current_session().principal, f"/nodes/{node}", "Sys.Audit")
    room.set_visibility(False)
    return room


def _notice(picture: Picture, node: Node | None, name: str) -> str:
    if node is None:
        return text.NODE_GONE.format(node=name) if picture.taken else ""
    return text.NODE_OFFLINE.format(node=name) if node.status == "offline" else ""


def _load(loads: Sequence[float]) -> str:
    return " · ".join(decimal(load) for load in loads)


def _processor(status: NodeStatus) -> str:
    info = status.cpuinfo
    return text.PROCESSOR_OF.format(count=info.cpus, model=info.model) if info.cpus and info.model else info.model


def _boot(status: NodeStatus) -> str:
    mode = text.boot_mode(status.boot.mode)
    return text.SECURE_BOOT.format(mode=mode) if mode and status.boot.secureboot else mode


def _versions(update: Update) -> str:
    return (
        text.UPDATE_FROM_TO.format(old=update.old_version, new=update.version) if update.old_version else update.version
    )


def _counted(things: Sequence[object], one: str, many: str) -> str:
    """How many, nothing for none."""
    return (one if len(things) == 1 else many.format(count=len(things))) if things else ""
