"""One guest: how it is now and was lately, how to reach it, what was done with it."""

from nicegui import ui

from services.actions import Actions
from services.feed import Feed, Picture
from services.proxmox import Guest, Storage
from ui import text
from ui.curves import Curves, guest_charts
from ui.facts import Notice
from ui.first_picture import first_picture
from ui.guest_backups import BackupsPart
from ui.guest_head import Gauges, Head
from ui.guest_parts import AddressesPart, ConfigPart, Details, TasksPart
from ui.guest_questions import BACKUPS_SECONDS, SLOW_SECONDS, STATUS_SECONDS, About, Questions
from ui.guest_snapshots import SnapshotsPart
from ui.layout import frame
from ui.links import VMID
from ui.order_bar import OrderBar
from ui.orders import Orders
from ui.sight import regularly, watch
from ui.strays import stray
from ui.trouble import Trouble


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
            with frame(guest.name or vmid if guest else vmid, "charts.js", "tables.js"):
                board = Board(Questions(feed, number), actions, span)
            watch(feed, board.show)
        return None


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, ask: Questions, actions: Actions, span: str) -> None:
        self._ask = ask
        self._node = self._moved = self._ended = ""
        self._head = Head(ask.vmid)
        self._trouble = Trouble()
        self._notice = Notice()
        self._orders = Orders(actions)
        OrderBar(self._orders)
        with ui.element("div").classes("pg-board") as self._room:
            self._gauges = Gauges()
            curves = Curves(span, ask.curves, guest_charts, about=lambda: ask.about, of_node=lambda: ask.node)
            with ui.element("div").classes("pg-columns"):
                self._details = Details(ask)
                self._addresses = AddressesPart(ask, after=self._details)
            self._config = ConfigPart(ask, after=self._details)
            self._snapshots = SnapshotsPart(ask, self._orders, after=self._details)
            self._backups = BackupsPart(ask, self._orders, after=self._details)
            self._tasks = TasksPart(ask, after=self._details)
        self._refresh_backups_soon = regularly(BACKUPS_SECONDS, self._backups.refresh)
        self._refresh_soon = (
            regularly(STATUS_SECONDS, self._details.refresh),
            regularly(SLOW_SECONDS, self._refresh_slowly),
            self._refresh_backups_soon,
            curves.refresh_soon,
        )

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew. A guest that moves is followed."""
        self._trouble.show(picture)
        guest = find_guest(picture, self._ask.vmid)
        gone = guest is None and picture.taken > 0
        stale = gone or picture.error is not None
        self._room.set_visibility(picture.taken > 0 or picture.error is None)
        self._room.classes(**{"add" if stale else "remove": "pg-stale"})
        self._notice.say(text.GUEST_GONE if gone else self._whether_moved(guest))
        self._orders.show(guest, picture)
        self._ended = _last_ended(picture, self._ask.vmid) or self._ended
        if guest is not None:
            self._show_storages(picture, guest.node)
            self._head.show(guest)
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
        before, now = self._ask.about, guest and _about(guest, self._ended)
        self._ask.about = now
        if now not in {None, before}:
            for refresh_soon in self._refresh_soon:
                refresh_soon()

    async def _refresh_slowly(self) -> None:
        for part in (self._details, self._addresses, self._config, self._snapshots, self._tasks):
            await part.refresh()

    def _show_storages(self, picture: Picture, node: str) -> None:
        """Where its node keeps backups, and is there; one that comes up is asked about at once."""
        there = (one for one in picture.resources.storages if one.node == node and _keeps_backups(one))
        storages = tuple(sorted(there, key=lambda one: one.storage))
        before, self._ask.storages = self._ask.storages, tuple(one.storage for one in storages)
        if self._ask.storages != before:
            self._refresh_backups_soon()
        self._backups.show(storages)


def find_guest(picture: Picture, vmid: int) -> Guest | None:
    """The guest as this account sees it, None where there is none for it."""
    return next((guest for guest in picture.resources.guests if guest.vmid == vmid), None)


def _about(guest: Guest, ended: str) -> About:
    return About(guest.node, guest.type, guest.vmid, guest.status, guest.template, ended)


def _last_ended(picture: Picture, vmid: int) -> str:
    """The task about it that has ended last; empty where none is known."""
    ended = [task for task in picture.tasks or () if task.id == str(vmid) and not task.running]
    return max(ended, key=lambda task: task.endtime or 0).upid if ended else ""


def _keeps_backups(storage: Storage) -> bool:
    return "backup" in storage.content and storage.status == "available"
