"""Tasks of the cluster, newest first: `/tasks?failed=1&node=pve1&guest=104` shows some of them alone.

The latest are in every picture. Those of one node or guest, which go further back, are asked for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nicegui import ui

from services.errors import ProxmoxError, StoreError
from services.feed import Feed, Picture
from services.feed.checkup import MOST_FAILED
from services.proxmox import Task, TaskFilter, failed_since
from services.sessions import Session
from ui import text
from ui.facts import Notice, empty
from ui.guest_page import VMID
from ui.layout import frame
from ui.part import Part
from ui.sight import regularly, watch
from ui.task_table import TaskTable, by_vmid
from ui.theme import Tag, icon
from ui.trouble import Trouble
from ui.units import number
from ui.visit import current_session

PERIOD_SECONDS = 10
MOST_SHOWN, AT_ONCE = 300, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks are shown: failed ones of the last day, of one node, of one guest; all of it together too."""

    failed: bool = False
    node: str = ""
    guest: int | None = None

    def keeps(self, task: Task) -> bool:
        """Whether this is one of them."""
        return (
            (not self.failed or task.failed)
            and (not self.node or task.node == self.node)
            and (self.guest is None or task.id == str(self.guest))
        )

    def of_node(self, now: float) -> TaskFilter:
        """As a node is asked for them."""
        if self.failed:
            return failed_since(now, limit=MOST_SHOWN, vmid=self.guest)
        return TaskFilter(source="all", vmid=self.guest, limit=MOST_SHOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Tasks, newest first, and the nodes that could not be asked; `unread` where none could be asked for them.

    They are `cut` where Proxmox may have older ones.
    """

    tasks: tuple[Task, ...] = ()
    silent: tuple[str, ...] = ()
    unread: bool = False
    cut: bool = False

    @property
    def whole(self) -> bool:
        """Whether these are all there are to see."""
        return not (self.silent or self.unread)


def create(feed: Feed) -> None:
    """Register the page."""

    @ui.page("/tasks")
    def tasks_page(failed: str = "", node: str = "", guest: str = "") -> None:
        number = int(guest) if VMID.fullmatch(guest) else None
        with frame(text.TASKS_TITLE, "times.js", "tables.js"):
            board = Board(feed, Wanted(failed=failed not in {"", "0"}, node=node, guest=number))
        watch(feed, board.show)


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, feed: Feed, wanted: Wanted) -> None:
        self._feed = feed
        self._wanted = wanted
        self._picture = Picture()
        self._trouble = Trouble()
        self._tools = Tools(self._choose)
        self._silent = Notice()
        with ui.element("div").classes("pg-board") as self._room:
            self._part = Part(self._draw, self._find, about=self._asked, of_node=lambda: self._wanted.node)
        with self._part:
            self._loading = Tag("div", text.LOADING, {"aria-busy": "true"}, classes="pg-empty pg-loading")
            self._table = TaskTable()
            self._unread = empty(text.TASKS_UNREAD, text.TASKS_UNREAD_WHY)
            self._none = empty(text.TASKS_NONE, text.TASKS_NONE_WHY)
            self._none_failed = empty(text.TASKS_NONE_FAILED, text.TASKS_NONE_FAILED_WHY)
        for room in (self._unread, self._none, self._none_failed):
            room.set_visibility(False)
        self._refresh_soon = regularly(PERIOD_SECONDS, self._part.refresh)

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew."""
        before, self._picture = self._asked(), picture
        self._trouble.show(picture)
        self._tools.show(picture, self._wanted)
        self._room.classes(**{"add" if picture.error else "remove": "pg-stale"})
        self._show_told()
        if self._asked() not in {None, before}:
            self._refresh_soon()

    async def _choose(self, **changed: Any) -> None:
        self._wanted = replace(self._wanted, **changed)
        self._tools.show(self._picture, self._wanted)
        self._part.forget()
        self._show_told()
        await self._part.refresh()

    def _show_told(self) -> None:
        """Show what the picture has of them, if that is all."""
        told = _told(self._picture, self._wanted)
        if told is not None and self._picture.taken:
            self._part.take(replace(told, tasks=_newest(filter(self._wanted.keeps, told.tasks))))

    def _asked(self) -> Wanted | None:
        """What no picture has, and has to be asked for; nothing while Proxmox does not answer."""
        answers = self._picture.taken > 0 and not self._picture.error
        return self._wanted if answers and _told(self._picture, self._wanted) is None else None

    async def _find(self) -> Found:
        session, wanted = current_session(), self._wanted
        if wanted.node:
            tasks = await self._ask_node(session, wanted.node, wanted)
            return Found(tasks=tasks, cut=len(tasks) >= MOST_SHOWN)
        return await self._ask_nodes(session, wanted)

    async def _ask_nodes(self, session: Session, wanted: Wanted) -> Found:
        """Each that is there; what the others tell is shown though one does not answer."""
        nodes = [node.node for node in self._picture.resources.nodes if node.status == "online"]
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(node: str) -> tuple[Task, ...] | None:
            try:
                async with gate:
                    return await self._ask_node(session, node, wanted)
            except (ProxmoxError, StoreError):
                return None

        answers = await asyncio.gather(*(ask(node) for node in nodes))
        silent = tuple(node for node, answer in zip(nodes, answers, strict=True) if answer is None)
        told = [answer for answer in answers if answer is not None]
        return Found(
            tasks=_newest(task for answer in told for task in answer),
            silent=silent,
            unread=not told,
            cut=any(len(answer) >= MOST_SHOWN for answer in told),
        )

    async def _ask_node(self, session: Session, node: str, wanted: Wanted) -> tuple[Task, ...]:
        question = wanted.of_node(time.time())
        key = ("node_tasks", node, replace(wanted, node=""))
        return await self._feed.ask(
            session, key, lambda proxmox: proxmox.node_tasks(node, question), PERIOD_SECONDS / 2
        )

    def _draw(self, found: Found) -> None:
        shown = found.tasks[:MOST_SHOWN]
        self._loading.set_visibility(False)
        self._table.show(shown, by_vmid(self._picture.resources.guests))
        self._tools.count(found, self._wanted)
        self._unread.set_visibility(not shown and not found.whole)
        self._none.set_visibility(not shown and found.whole and not self._wanted.failed)
        self._none_failed.set_visibility(not shown and found.whole and self._wanted.failed)
        self._silent.say(" ".join(text.NODE_SILENT.format(node=node) for node in found.silent))


class Tools:
    """What is shown: failed tasks alone, a node's, a guest's."""

    def __init__(self, choose: Callable[..., Awaitable[None]]) -> None:
        self._choose = choose
        self._nodes: tuple[str, ...] | None = None
        with Tag("div", "", {"role": "group", "aria-label": text.TASKS_FILTER}, classes="pg-tools") as self.room:
            self._failed = Tag("button", "", {"type": "button"}, classes="pg-button pg-quiet pg-toggle")
            with self._failed:
                icon("check", size=18)
                Tag("span", text.TASKS_FAILED_ONLY)
            self._node = Tag("select", "", {"aria-label": text.COLUMN_NODE}, classes="pg-select")
            self._guest = Tag(
                "button", "", {"type": "button", "title": text.TASKS_ANY_GUEST}, classes="pg-button pg-quiet"
            )
            with self._guest:
                self._guest_name = Tag("bdi", "")
                icon("cross", size=16)
            self._count = Tag("span", "", {"role": "status"}, classes="pg-count")
        self._failed.on("click", self._toggle, js_handler=_TOGGLE)
        self._node.on("change", self._choose_node, js_handler=_CHOOSE)
        self._guest.on("click", partial(choose, guest=None), js_handler=_ANY_GUEST)

    def show(self, picture: Picture, wanted: Wanted) -> None:
        """Draw what is chosen, and what there is to choose."""
        _set(self._failed, "aria-pressed", str(wanted.failed).lower())
        self._guest.set_visibility(wanted.guest is not None)
        self._guest_name.set_text(_guest_name(picture, wanted))
        nodes = tuple(sorted({node.node for node in picture.resources.nodes} | {wanted.node} - {""}))
        if nodes != self._nodes:
            self._nodes = nodes
            self._node.clear()
            with self._node:
                Tag("option", text.TASKS_ALL_NODES, {"value": ""})
                for node in nodes:
                    Tag("option", node, {"value": node})
        _set(self._node, "value", wanted.node)

    def count(self, found: Found, wanted: Wanted) -> None:
        """Say how many there are to see, or that these are the newest of them."""
        total = len(found.tasks)
        self._count.set_text(counted(total, cut=found.cut, of_last_day=wanted.failed) if total else "")

    async def _toggle(self, event: Any) -> None:
        await self._choose(failed=event.args == "1")

    async def _choose_node(self, event: Any) -> None:
        if event.args in {"", *(self._nodes or ())}:
            await self._choose(node=event.args)


_TOGGLE = """(event) => {
  const on = event.currentTarget.ariaPressed === "true" ? "" : "1";
  proxgate.setAddress("failed", on);
  emit(on);
}"""
_CHOOSE = """(event) => {
  proxgate.setAddress("node", event.target.value);
  emit(event.target.value);
}"""
_ANY_GUEST = """() => {
  proxgate.setAddress("guest", "");
  emit();
}"""


def _told(picture: Picture, wanted: Wanted) -> Found | None:
    """The tasks among which a picture has all that are wanted; None where it has not, and the nodes are asked.

    Tasks of the whole cluster that Proxmox does not tell are not asked of each node: that would be a storm in trouble.
    """
    if wanted.guest is not None or (wanted.node and not wanted.failed):
        return None
    if wanted.failed:
        failed = picture.health.failed
        if failed is None or not picture.health.failed_whole:
            return None
        return Found(tasks=failed, cut=len(failed) >= MOST_FAILED)
    return Found(unread=True) if picture.tasks is None else Found(tasks=picture.tasks, cut=True)


def counted(total: int, *, cut: bool, of_last_day: bool) -> str:
    """How many tasks there are, or that these are the newest, and of how many where that is known."""
    shown = min(total, MOST_SHOWN)
    if shown < total and not cut:
        form = text.TASKS_LAST_DAY_OF if of_last_day else text.TASKS_NEWEST_OF
    elif of_last_day:
        form = text.TASKS_LAST_DAY_NEWEST if cut else text.TASKS_LAST_DAY
    else:
        form = text.TASKS_NEWEST
    return form.format(count=number(shown), total=number(total))


def _newest(tasks: Iterable[Task]) -> tuple[Task, ...]:
    return tuple(sorted(tasks, key=lambda task: task.starttime, reverse=True))


def _guest_name(picture: Picture, wanted: Wanted) -> str:
    guest = by_vmid(picture.resources.guests).get(wanted.guest or 0)
    return text.TASKS_OF_GUEST.format(guest=guest.name if guest and guest.name else wanted.guest)


def _set(tag: Tag, name: str, value: str) -> None:
    if tag.props.get(name) != value:
        tag.props[name] = value
        tag.update()
