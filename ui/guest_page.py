"""One guest: how it is now and was lately, how to reach it, what was done with it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeVar

from nicegui import ui

from services.actions import Actions
from services.errors import RequestRefused
from services.feed import Feed, Picture
from services.proxmox import (
    Guest,
    GuestStatus,
    GuestType,
    Interface,
    Interfaces,
    ProxmoxClient,
    Series,
    Task,
    TaskFilter,
    Timeframe,
)
from ui import text
from ui.curves import FRESH, REFRESH_SECONDS, Curves, guest_charts
from ui.facts import Facts, Notice, section
from ui.first_picture import first_picture
from ui.guest_search import state_of
from ui.layout import frame
from ui.links import node_address, tasks_address
from ui.meters import Meter
from ui.order_bar import OrderBar
from ui.orders import Orders
from ui.part import Part
from ui.proxmox_links import point, proxmox_link
from ui.sight import regularly, watch
from ui.strays import stray
from ui.task_table import TaskTable, by_vmid
from ui.theme import Tag, dot
from ui.trouble import Trouble
from ui.units import cpus_of, share, size, uptime, used_of
from ui.visit import current_session

STATUS_SECONDS, SLOW_SECONDS = 10, 30
"""How fresh its own state is, and its addresses and tasks."""

MOST_TASKS, MOST_ADDRESSES = 10, 50

VMID = re.compile(r"[1-9][0-9]{0,8}")

T = TypeVar("T")


class About(NamedTuple):
    """A guest where and as it is: what was answered of it elsewhere, or in another state, is no answer any more."""

    node: str
    type: GuestType
    vmid: int
    status: str


def create(feed: Feed, actions: Actions) -> None:
    """Register the page."""

    @ui.page("/guests/{vmid}")
    async def guest_page(vmid: str, span: str = "") -> None:
        if not VMID.fullmatch(vmid):
            return stray(text.NOT_FOUND_TITLE, text.NOT_FOUND)
        number = int(vmid)
        async with first_picture(feed) as picture:
            guest = find_guest(picture, number)
            if picture.taken and guest is None:
                return stray(text.NO_SUCH_GUEST_TITLE, text.NO_SUCH_GUEST.format(vmid=vmid))
            with frame(guest.name or vmid if guest else vmid, "charts.js", "times.js", "tables.js"):
                board = Board(Questions(feed, number), actions, span)
            watch(feed, board.show)
        return None


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


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, ask: Questions, actions: Actions, span: str) -> None:
        self._ask = ask
        self._guest: Guest | None = None
        self._node = self._moved = ""
        self._head = Head(ask.vmid)
        self._trouble = Trouble()
        self._notice = Notice()
        orders = Orders(actions, lambda: self._guest)
        self._orders = OrderBar(orders)
        with ui.element("div").classes("pg-board") as self._room:
            self._gauges = Gauges()
            curves = Curves(span, ask.curves, guest_charts, about=lambda: ask.about, of_node=lambda: ask.node)
            with ui.element("div").classes("pg-columns"):
                self._details = Details(ask)
                self._addresses = AddressesPart(ask, after=self._details)
            self._tasks = TasksPart(ask, after=self._details)
        self._refresh_soon = (
            regularly(STATUS_SECONDS, self._details.refresh),
            regularly(SLOW_SECONDS, self._refresh_slowly),
            curves.refresh_soon,
        )

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew. A guest that moves is followed."""
        self._trouble.show(picture)
        guest = self._guest = find_guest(picture, self._ask.vmid)
        gone = guest is None and picture.taken > 0
        stale = gone or picture.error is not None
        self._room.set_visibility(picture.taken > 0 or picture.error is None)
        self._room.classes(**{"add" if stale else "remove": "pg-stale"})
        self._notice.say(text.GUEST_GONE if gone else self._whether_moved(guest))
        if guest is not None:
            self._head.show(guest)
            self._orders.show(guest, picture)
            self._gauges.show(guest)
            self._details.show(guest)
        self._ask_about(None if stale else guest)

    def _whether_moved(self, guest: Guest | None) -> str:
        """That it has is said for as long as the page is open."""
        if guest is not None:
            before, self._node = self._node, guest.node
            if before not in {"", guest.node}:
                self._moved = text.GUEST_MOVED.format(before=before, now=guest.node)
        return self._moved

    def _ask_about(self, guest: Guest | None) -> None:
        """Nothing is asked in vain; what was asked in another state of it, or at another node, is asked anew."""
        before, now = self._ask.about, guest and About(guest.node, guest.type, guest.vmid, guest.status)
        self._ask.about = now
        if now not in {None, before}:
            for refresh_soon in self._refresh_soon:
                refresh_soon()

    async def _refresh_slowly(self) -> None:
        for part in (self._details, self._addresses, self._tasks):
            await part.refresh()


class Head:
    """Whether it runs, since when, where, and the way to it in Proxmox."""

    def __init__(self, vmid: int) -> None:
        with ui.element("div").classes("pg-head"):
            with Tag("p", "", classes="pg-head-state") as self._place:
                self._dot = Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                self._state = Tag("span", "")
                self._uptime = Tag("span", "", classes="pg-count")
                self._lock = Tag("span", "", classes="pg-chip")
                with ui.element("span").classes("pg-where"):
                    self._what = Tag("span", "", classes="pg-count")
                    self._node = Tag("a", "", {"href": ""}, classes="pg-name pg-target")
            self._link = proxmox_link("qemu", str(vmid))
        self._place.set_visibility(False)

    def show(self, guest: Guest) -> None:
        """Draw what is known of it."""
        self._place.set_visibility(True)
        state = state_of(guest)
        self._dot.classes(replace=dot(state))
        self._state.set_text(text.state(state))
        self._uptime.set_text(_uptime(guest))
        self._lock.set_text(text.LOCKED.format(lock=guest.lock) if guest.lock else "")
        self._lock.set_visibility(bool(guest.lock))
        self._what.set_text(text.GUEST_ON.format(kind=text.kind(guest.type), vmid=guest.vmid))
        self._node.set_text(guest.node)
        address = node_address(guest.node)
        if self._node.props["href"] != address:
            self._node.props["href"] = address
            self._node.update()
        point(self._link, guest.type, str(guest.vmid))


class Gauges:
    """How much of what it has is in use."""

    def __init__(self) -> None:
        with ui.element("div").classes("pg-gauges") as self._all:
            self._cpu = Meter(text.CHART_CPU)
            self._memory = Meter(text.CHART_MEMORY)
            self._disk = Meter(text.CHART_DISK)
        self._all.set_visibility(False)

    def show(self, guest: Guest) -> None:
        """Draw them; of a guest that is off, and where nobody can look inside, nothing is known."""
        inside = guest.type == "lxc"
        self._all.set_visibility(guest.on and guest.cpu is not None)
        cpus = cpus_of(guest.cpu, guest.maxcpu)
        self._cpu.show(guest.cpu, cpus)
        self._memory.show(share(guest.mem, guest.maxmem), used_of(guest.mem, guest.maxmem))
        self._disk.show(share(guest.disk, guest.maxdisk) if inside else None, used_of(guest.disk, guest.maxdisk))


class Details(Part[GuestStatus]):
    """What it is and to whom it belongs. Most is in a picture; a few things its node is asked for."""

    def __init__(self, ask: Questions) -> None:
        super().__init__(self._draw_status, ask.status, about=lambda: ask.about, of_node=lambda: ask.node)
        with self.head:
            section(text.DETAILS)
            self._facts = Facts(
                text.KIND, text.COLUMN_VMID, text.CORES, text.CHART_MEMORY, text.CHART_DISK, text.TAGS, text.POOL,
                text.LOCK,
            )  # fmt: skip
        with self:
            self._told = Facts(text.HIGH_AVAILABILITY, text.AGENT)

    def show(self, guest: Guest) -> None:
        """Draw what a picture tells, whether the node answers or not."""
        self._facts.show(_facts(guest))

    def _draw_status(self, status: GuestStatus) -> None:
        self._told.show({
            text.HIGH_AVAILABILITY: text.HA_MANAGED if status.ha.managed else "",
            text.AGENT: text.AGENT_ON if status.agent else "",
        })  # fmt: skip


class AddressesPart(Part[Interfaces | None]):
    """By which addresses it can be reached: one that is paused answers as little as one that is off."""

    def __init__(self, ask: Questions, after: Details) -> None:
        super().__init__(
            self._draw_interfaces,
            ask.interfaces,
            about=lambda: ask.about and ask.about.status == "running" and ask.about,
            of_node=lambda: ask.node,
            after=after,
        )
        self._drawn_interfaces: object = self
        with self:
            section(text.ADDRESSES)
            with ui.element("div").classes("pg-box"):
                self._none = Tag("p", "")
                self._list = Tag("ul", "", {"role": "list"}, classes="pg-plain-list")

    def _draw_interfaces(self, interfaces: Interfaces | None) -> None:
        if interfaces == self._drawn_interfaces:
            return
        self._drawn_interfaces = interfaces
        found = [(one.name, _addresses(one)) for one in interfaces or ()]
        told = [(name, addresses) for name, addresses in found if addresses][:MOST_ADDRESSES]
        self._none.set_text(text.NO_AGENT if interfaces is None else text.NO_ADDRESSES)
        self._none.set_visibility(not told)
        self._list.clear()
        with self._list:
            for name, addresses in told:
                with Tag("li"):
                    Tag("bdi", name, classes="pg-count")
                    for address in addresses:
                        Tag("code", address)


class TasksPart(Part[tuple[Task, ...]]):
    """What was done with it lately."""

    def __init__(self, ask: Questions, after: Details) -> None:
        super().__init__(self._draw_tasks, ask.tasks, about=lambda: ask.about, of_node=lambda: ask.node, after=after)
        with self:
            section(text.RECENT_TASKS)
            self._none = Tag("p", text.NO_TASKS, classes="pg-box")
            self._table = TaskTable("about", "node")
            address = tasks_address(guest=ask.vmid)
            self._more = Tag("a", text.SHOW_ALL_TASKS, {"href": address}, classes="pg-button pg-quiet pg-inline")
        self._none.set_visibility(False)
        self._more.set_visibility(False)

    def _draw_tasks(self, tasks: tuple[Task, ...]) -> None:
        self._none.set_visibility(not tasks)
        self._table.show(tasks[:MOST_TASKS], by_vmid(()))
        self._more.set_visibility(bool(tasks))


def find_guest(picture: Picture, vmid: int) -> Guest | None:
    """The guest as this account sees it, None where there is none for it."""
    return next((guest for guest in picture.resources.guests if guest.vmid == vmid), None)


def _uptime(guest: Guest) -> str:
    return text.UP_FOR.format(uptime=uptime(guest.uptime)) if guest.on and guest.uptime else ""


def _facts(guest: Guest) -> Mapping[str, str]:
    kind = text.kind(guest.type)
    return {
        text.KIND: text.TEMPLATE_OF.format(kind=kind) if guest.template else kind,
        text.COLUMN_VMID: str(guest.vmid),
        text.CORES: f"{guest.maxcpu:g}" if guest.maxcpu else "",
        text.CHART_MEMORY: size(guest.maxmem) if guest.maxmem else "",
        text.CHART_DISK: size(guest.maxdisk) if guest.maxdisk else "",
        text.TAGS: ", ".join(guest.tags),
        text.POOL: guest.pool,
        text.LOCK: guest.lock,
    }


def _addresses(interface: Interface) -> list[str]:
    return [
        f"{one.ip}/{one.prefix}" if one.prefix is not None else one.ip for one in interface.addresses if not one.local
    ]
