"""One task: what, about whom, by whom, how it goes, its log as it runs, and a button that stops it.

A dialog over the list; `/tasks?task=<upid>` opens it.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from nicegui import ui

from services.actions import Actions, Need, needs_to_stop
from services.errors import PrivilegeMissing, ProxgateError, ProxmoxError, RequestRefused, SessionEnded, StoreError
from services.feed import Feed, Picture
from services.proxmox import ProxmoxClient, Task, is_upid, node_of, user_of
from ui import text
from ui.confirm import Confirm
from ui.facts import Notice
from ui.failure import Failure
from ui.lacking import Lacking
from ui.links import guest_address, node_address
from ui.rights import Rights
from ui.sight import regularly
from ui.task_log import Log
from ui.task_table import by_vmid, guest_of, outcome_of
from ui.theme import Tag, icon
from ui.units import iso, lasted, utc
from ui.visit import address_of_person, current_session

PERIOD_SECONDS, RETRY_SECONDS = 1, 5
"""Between two looks at a task that runs; after one that failed."""

PAGE, MOST_PAGES = 1000, 4
"""Lines that are asked for at once, and how often at one look: all that is shown of a log, however long it is."""

STOPPING_SECONDS = 15
"""For so long nobody is told again to stop it: not every task does."""

T = TypeVar("T")
_CLOSED = '() => { proxgate.setAddress("task", ""); emit(); }'


class OneTask:
    """The dialog of a page, drawn where it is made."""

    def __init__(self, feed: Feed, actions: Actions) -> None:
        self._feed = feed
        self._actions = actions
        self._panel: Panel | None = None
        self._rights = Rights(actions, self._draw_rights)
        self._dialog = ui.dialog().props("aria-labelledby=task-title")
        with self._dialog:
            self._room = ui.element("div").classes("pg-dialog pg-task")
        self._dialog.on("hide", self._clear, js_handler=_CLOSED)
        self._confirm = Confirm()
        self._refresh_soon = regularly(PERIOD_SECONDS, self._refresh)

    def open(self, upid: str) -> None:
        """Show this one, in place of any other."""
        self._room.clear()
        with self._room:
            self._panel = Panel(upid, self._feed, self._actions, self._rights, self._confirm, self._dialog.close)
        self._dialog.open()
        self._refresh_soon()

    def show(self, picture: Picture, tasks: Iterable[Task] = ()) -> None:
        """Take from the picture, and from other tasks that are known, what a task does not tell of itself."""
        if self._panel is not None:
            self._panel.show(picture, tasks)

    def _clear(self) -> None:
        if not self._dialog.value:
            self._panel = None
            self._room.clear()

    async def _refresh(self) -> None:
        if self._panel is not None and self._dialog.value:
            await self._panel.refresh()

    def _draw_rights(self) -> None:
        if self._panel is not None:
            self._panel.draw()


class Panel:
    """What the dialog shows of one task."""

    def __init__(
        self, upid: str, feed: Feed, actions: Actions, rights: Rights, confirm: Confirm, close: Callable[[], object]
    ) -> None:
        self._upid = upid
        self._rights = rights
        self._feed = feed
        self._actions = actions
        self._confirm = confirm
        self._task: Task | None = None
        self._guests: Picture = Picture()
        self._ended: int | None = None
        self._over, self._reading, self._again = not is_upid(upid), False, 0.0
        self._told_to_stop = float("-inf")
        self._head(close)
        self._failure = Failure()
        self._trouble = Notice()
        with ui.element("div").classes("pg-task-body pg-waiting") as self._body:
            self._facts = TaskFacts()
            with ui.element("div").classes("pg-alert"):
                self._why = Tag("p", "")
            self._tools()
            self._log = Log()
        if self._over:
            self._give_up(text.TASK_UNKNOWN)

    def _head(self, close: Callable[[], object]) -> None:
        with ui.element("div").classes("pg-task-head"):
            self._title = Tag("h2", text.TASK_WHAT, {"id": "task-title"})
            label = {"type": "button", "aria-label": text.CLOSE}
            with Tag("button", "", label, classes="pg-icon-button") as button:
                icon("cross")
            button.on("click", close, args=[])

    def _tools(self) -> None:
        with ui.element("div").classes("pg-orders") as self._orders:
            self._lacking = Lacking()
            self._stop = Tag("button", text.TASK_STOP, {"type": "button"}, classes="pg-button pg-quiet pg-order")
            self._stop.on("click", self._ask_and_stop, args=[])
            with Tag("p", "", {"role": "status"}, classes="pg-pending") as self._pending:
                Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
                Tag("span", text.TASK_STOPPING)
        self._orders.set_visibility(False)

    def show(self, picture: Picture, tasks: Iterable[Task]) -> None:
        """Names of guests, and when it ended, which its own status does not tell."""
        self._guests = picture
        known = (task for task in (*tasks, *(picture.tasks or ()), *(picture.health.failed or ())))
        self._ended = next((task.endtime for task in known if task.upid == self._upid and task.endtime), self._ended)
        self.draw()

    async def refresh(self) -> None:
        """Ask how it goes, and for what it has written since; no more once it has ended."""
        if self._over or self._reading or time.monotonic() < self._again:
            return
        self._reading = True
        try:
            await self._read()
        except SessionEnded:  # the page says so by itself
            return
        except (ProxmoxError, StoreError) as exc:
            self._again = time.monotonic() + RETRY_SECONDS
            self._fail(exc)
        finally:
            self._reading = False

    async def _read(self) -> None:
        """The log after the status, and not as it was before the end: of a task that has ended it is whole then."""
        upid = self._upid
        task = await self._ask(("task", upid), lambda proxmox: proxmox.task_status(upid))
        self._trouble.say("")
        self._task = task
        self._body.classes(remove="pg-waiting pg-stale")
        self.draw()
        whole = False
        for _ in range(MOST_PAGES):
            start = self._log.next
            key = ("log", upid, start, task.running)
            log = await self._ask(key, lambda proxmox, at=start: proxmox.task_log(upid, at, PAGE))
            if self._log.skip(start + len(log.lines), log.total):
                continue
            self._log.take(start, log.lines)
            whole = len(log.lines) < PAGE
            if whole or self._body.is_deleted:
                break
        self._over = whole and not task.running

    async def _ask(self, key: tuple[object, ...], question: Callable[[ProxmoxClient], Awaitable[T]]) -> T:
        return await self._feed.ask(current_session(), key, question, PERIOD_SECONDS / 2)

    def _fail(self, error: ProxmoxError | StoreError) -> None:
        if self._body.is_deleted:
            return
        if self._task is None and isinstance(error, RequestRefused):
            self._give_up(text.TASK_UNKNOWN)
        elif self._task is None and isinstance(error, PrivilegeMissing):
            self._give_up(text.sentence(error))
        else:
            self._trouble.say(text.sentence(error))
            self._body.classes(add="pg-stale")

    def _give_up(self, sentence: str) -> None:
        """It will not be told, however often one asks."""
        self._over = True
        self._trouble.say(sentence)
        self._body.set_visibility(False)

    def draw(self) -> None:
        """What is known of it, and what this account may do with it."""
        task = self._task
        if task is None or self._body.is_deleted:
            return
        self._title.set_text(text.task(task))
        self._facts.show(task, self._ended, self._guests)
        self._why.set_text(task.status if task.failed else "")
        stopping = task.running and time.monotonic() - self._told_to_stop < STOPPING_SECONDS
        self._orders.set_visibility(task.running)
        self._pending.set_visibility(stopping)
        self._stop.set_visibility(not stopping)
        self._lacking.mark(self._stop, self._lacks(), self._rights.principal)

    def _lacks(self) -> Need | None:
        return self._rights.lacking(needs_to_stop(self._upid, self._rights.principal))

    async def _ask_and_stop(self) -> None:
        """Have it confirmed, and told to Proxmox once; the next looks tell what becomes of it."""
        task = self._task
        if task is None or not task.running or self._lacks() is not None:
            return
        what = text.TASK_STOP_WHAT.format(task=text.task(task))
        if not await self._confirm.ask(text.TASK_STOP_TITLE, what, text.TASK_STOP, danger=True):
            return
        self._failure.clear()
        self._told_to_stop = time.monotonic()
        self.draw()
        session = current_session()
        try:
            await self._actions.stop_task(session, self._upid, address_of_person())
        except SessionEnded:
            return
        except ProxgateError as exc:
            self._told_to_stop = float("-inf")
            if not self._body.is_deleted:
                self._failure.show_error(text.TASK_NOT_STOPPED, exc, session.principal)
                self.draw()


class TaskFacts:
    """What it is about, where, by whom, since when, how long, and how it goes."""

    def __init__(self) -> None:
        with Tag("dl", "", classes="pg-facts"):
            self._state_row, state = _row(text.TASK_STATE)
            with state:
                Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                self._state = Tag("bdi", "", {"role": "status"})
            self._about_row, about = _row(text.TASK_ABOUT)
            with about:
                self._guest = Tag("a", "", {"href": ""}, classes="pg-name pg-target")
                self._about = Tag("bdi", "")
            _, node = _row(text.COLUMN_NODE)
            with node:
                self._node = Tag("a", "", {"href": ""}, classes="pg-name pg-target")
            _, user = _row(text.TASK_USER)
            with user:
                self._user = Tag("bdi", "")
            _, at = _row(text.TASK_AT)
            with at:
                self._at = Tag("time", "", classes="pg-exact")
            self._lasted_row, lasted = _row(text.TASK_LASTED)
            with lasted:
                self._lasted = Tag("bdi", "")

    def show(self, task: Task, ended: int | None, picture: Picture) -> None:
        """Draw these."""
        self._state_row.classes(replace=f"pg-fact-row pg-task-{outcome_of(task)}")
        self._state.set_text(text.TASK_FAILED if task.failed else text.task_state(task))
        self._show_about(task, picture)
        _lead(self._node, task.node, node_address(node_of(task.upid)))
        self._user.set_text(user_of(task.upid))
        if self._at.props.get("datetime") != iso(task.starttime):
            self._at.props["datetime"] = iso(task.starttime)
            self._at.set_text(text.UTC.format(moment=utc(task.starttime)))
            self._at.update()
        until = time.time() if task.running else ended
        self._lasted_row.set_visibility(until is not None)
        self._lasted.set_text(lasted(max(0, until - task.starttime)) if until is not None else "")

    def _show_about(self, task: Task, picture: Picture) -> None:
        guest = by_vmid(picture.resources.guests).get(guest_of(task) or 0)
        self._about_row.set_visibility(bool(task.id))
        self._guest.set_visibility(guest is not None)
        self._about.set_visibility(guest is None)
        self._about.set_text(task.id)
        if guest is not None:
            _lead(self._guest, f"{guest.name} ({guest.vmid})" if guest.name else task.id, guest_address(guest.vmid))


def _row(label: str) -> tuple[ui.element, Tag]:
    with ui.element("div").classes("pg-fact-row") as row:
        Tag("dt", label)
        return row, Tag("dd")


def _lead(link: Tag, words: str, address: str) -> None:
    link.set_text(words)
    link.lead(address)
