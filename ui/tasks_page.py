"""Tasks of the cluster, newest first; `ui/task_filter.py` shows some of them alone, `ui/one_task.py` one with its log.

The latest are in every picture. Those of one kind or another, which go further back, are asked for.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from nicegui import ui

from services.actions import Actions
from services.errors import ProxmoxError, StoreError
from services.feed import Feed, Picture
from services.feed.checkup import MOST_FAILED
from services.proxmox import Task
from services.sessions import Session
from ui import text
from ui.facts import Notice, empty
from ui.layout import frame
from ui.node_page import find_node
from ui.one_task import OneTask
from ui.part import Part
from ui.sight import regularly, watch
from ui.task_filter import MOST_SHOWN, Tools, Wanted
from ui.task_table import TaskTable, by_vmid
from ui.theme import Tag
from ui.trouble import Trouble
from ui.units import number
from ui.visit import current_session

PERIOD_SECONDS = 10
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Tasks, newest first, and the nodes that could not be asked; `unread` where none could be asked for them.

    They are `cut` where Proxmox may have older ones. `missing` is a node that was asked about and is none.
    """

    tasks: tuple[Task, ...] = ()
    silent: tuple[str, ...] = ()
    unread: bool = False
    cut: bool = False
    missing: str = ""

    @property
    def whole(self) -> bool:
        """Whether these are all there are to see."""
        return not (self.silent or self.unread)


def create(feed: Feed, actions: Actions) -> None:
    """Register the page."""

    @ui.page("/tasks")
    def tasks_page(
        outcome: str = "", node: str = "", guest: str = "", user: str = "", kind: str = "", task: str = "",
        failed: str = "",
    ) -> None:  # fmt: skip
        outcome = outcome or "failed" * (failed not in {"", "0"})  # as it was called once
        wanted = Wanted.of_address(outcome=outcome, node=node, guest=guest, user=user, kind=kind)
        with frame(text.TASKS_TITLE, "tables.js", "log.js"):
            board = Board(feed, actions, wanted, task)
        watch(feed, board.show)


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, feed: Feed, actions: Actions, wanted: Wanted, upid: str) -> None:
        self._feed = feed
        self._wanted = wanted
        self._picture = Picture()
        self._found = Found()
        self._trouble = Trouble()
        self._tools = Tools(self._choose)
        self._silent = Notice()
        with ui.element("div").classes("pg-board") as self._room:
            self._part = Part(self._draw, self._find, about=self._asked, of_node=lambda: self._wanted.node)
        with self._part:
            self._loading = Tag("div", text.LOADING, {"aria-busy": "true"}, classes="pg-empty pg-loading")
            self._table = TaskTable(opens=self._open)
            self._unread = empty(text.TASKS_UNREAD, text.TASKS_UNREAD_WHY)
            self._none = empty(text.TASKS_NONE, text.TASKS_NONE_WHY)
            self._none_such = empty(text.TASKS_NONE_SUCH, text.TASKS_NONE_SUCH_WHY)
            self._none_failed = empty(text.TASKS_NONE_FAILED, text.TASKS_NONE_FAILED_WHY)
        for room in (self._unread, self._none, self._none_such, self._none_failed):
            room.set_visibility(False)
        self._refresh_soon = regularly(PERIOD_SECONDS, self._part.refresh)
        self._one = OneTask(feed, actions)
        if upid:
            self._open(upid)

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew."""
        before, self._picture = self._asked(), picture
        self._trouble.show(picture)
        self._tools.show(picture, self._wanted)
        self._one.show(picture, self._found.tasks)
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

    def _open(self, upid: str) -> None:
        self._one.open(upid)
        self._one.show(self._picture, self._found.tasks)

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
        if wanted.node and find_node(self._picture, wanted.node) is None:
            return Found(missing=wanted.node)
        if wanted.node:
            tasks = await self._ask_node(session, wanted.node, wanted)
            return Found(tasks=tuple(filter(wanted.keeps, tasks)), cut=len(tasks) >= MOST_SHOWN)
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
            tasks=_newest(task for answer in told for task in answer if wanted.keeps(task)),
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
        self._found, shown = found, found.tasks[:MOST_SHOWN]
        self._loading.set_visibility(False)
        self._table.show(shown, by_vmid(self._picture.resources.guests))
        self._tools.show(self._picture, self._wanted, found.tasks)
        total = len(found.tasks)
        wanted = self._wanted
        told = counted(total, cut=found.cut, of_last_day=wanted.failed, of_each=wanted.everything)
        self._tools.count(told if total else "")
        self._unread.set_visibility(not shown and not found.whole)
        none = not shown and found.whole
        self._none.set_visibility(none and self._wanted.everything)
        self._none_failed.set_visibility(none and self._wanted.failed)
        self._none_such.set_visibility(none and not self._wanted.everything and not self._wanted.failed)
        missing = [text.NO_SUCH_NODE.format(node=found.missing)] if found.missing else []
        self._silent.say(" ".join([*(text.NODE_SILENT.format(node=node) for node in found.silent), *missing]))


def _told(picture: Picture, wanted: Wanted) -> Found | None:
    """The tasks among which a picture has all that are wanted; None where it has not, and the nodes are asked.

    Tasks of the whole cluster that Proxmox does not tell are not asked of each node: that would be a storm in trouble.
    """
    if wanted.failed and wanted.guest is None:
        failed = picture.health.failed
        if failed is None or not picture.health.failed_whole:
            return None
        return Found(tasks=failed, cut=len(failed) >= MOST_FAILED)
    if not wanted.everything and wanted.outcome != "running":  # all that run are in a picture
        return None
    if picture.tasks is None:
        return Found(unread=True)
    return Found(tasks=picture.tasks, cut=wanted.everything)


def counted(total: int, *, cut: bool, of_last_day: bool, of_each: bool = False) -> str:
    """How many tasks there are, or that these are the newest, and of how many where that is known.

    Of each node, and not of all, are those that Proxmox tells of the whole cluster, which are some two dozen of each.
    """
    shown = min(total, MOST_SHOWN)
    if shown < total and not cut:
        form = text.TASKS_LAST_DAY_OF if of_last_day else text.TASKS_NEWEST_OF
    elif of_last_day:
        form = text.TASKS_LAST_DAY_NEWEST if cut else text.TASKS_LAST_DAY
    else:
        form = text.TASKS_NEWEST_OF_EACH if of_each and shown == total else text.TASKS_NEWEST
    return form.format(count=number(shown), total=number(total))


def _newest(tasks: Iterable[Task]) -> tuple[Task, ...]:
    return tuple(sorted(tasks, key=lambda task: task.starttime, reverse=True))
