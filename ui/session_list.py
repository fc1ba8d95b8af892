"""The list of one account's sessions: this one first, each other with its button."""

import time
from collections.abc import Awaitable, Callable, Set
from functools import partial

from nicegui import ui

from services.sessions import ListedSession, Session
from services.sessions.device import Device, device
from ui import text
from ui.theme import Tag, icon
from ui.units import iso, since, utc

End = Callable[[ListedSession], Awaitable[None]]
EndOthers = Callable[[], Awaitable[None]]

_PHONES = {"Android", "iPhone", "iPad"}


class SessionList:
    """The rows; `show` changes what has changed, and moves none under the finger."""

    def __init__(self, principal: str, *, end: End, end_others: EndOthers) -> None:
        self._own = ""
        self._end = end
        self._end_others = end_others
        self._rows: dict[str, SessionRow] = {}
        with ui.element("div").classes("pg-section"):
            self._title = Tag("h2", text.SIGNED_IN_NOW, {"tabindex": "-1"})
            self._count = Tag("span", "", classes="pg-count")
        self._list = Tag("ul", "", {"role": "list"}, classes="pg-rows")
        self._alone = Tag("p", text.ONLY_SESSION.format(principal=principal), classes="pg-hint pg-below")
        dialog = self._dialog(principal)
        self._others = Tag("button", text.END_OTHERS, {"type": "button"}, classes="pg-button pg-quiet pg-inline")
        self._others.on("click", dialog.open, args=[])

    def show(self, listed: tuple[ListedSession, ...], own: Session) -> None:
        """Draw these sessions. Those used last stand above the others, and new ones above those drawn before."""
        if own.hash != self._own:  # at first, and on a page that was kept until somebody signed in again
            self._own = own.hash
            self._remove(set(self._rows))
        alive = {one.hash: one for one in sorted(listed, key=lambda one: one.last_used)}
        self._remove(self._rows.keys() - alive.keys())
        for hash, one in alive.items():
            if hash not in self._rows:
                self._rows[hash] = self._new_row(one)
            self._rows[hash].show(one)
        others = alive.keys() - {self._own}
        self._count.set_text(text.ONE_SESSION if len(alive) == 1 else text.SESSIONS.format(count=len(alive)))
        self._alone.set_visibility(not others)
        self._others.set_visibility(bool(others))

    def _remove(self, hashes: Set[str]) -> None:
        for hash in hashes:
            self._rows.pop(hash).element.delete()

    def _new_row(self, one: ListedSession) -> "SessionRow":
        own = one.hash == self._own
        with self._list:
            row = SessionRow(one, None if own else partial(self._end_row, one))
        row.element.move(target_index=0 if own or self._own not in self._rows else 1)
        return row

    async def _end_row(self, one: ListedSession) -> None:
        order = self._others_in_order()
        place = order.index(one.hash) if one.hash in order else 0
        await self._end(one)
        self._focus(place)

    async def _end_every_other(self, dialog: ui.dialog) -> None:
        dialog.close()
        await self._end_others()
        self._focus(0)

    def _focus(self, place: int) -> None:
        """Put the focus, whose button may be gone, on the one that stands there now, else on the heading."""
        order = self._others_in_order()
        target = self._rows[order[min(place, len(order) - 1)]].button if order else self._title
        target.run_method("focus")

    def _others_in_order(self) -> list[str]:
        """The hashes of the other sessions as they are seen from top to bottom."""
        elements = self._list.default_slot.children
        others = self._rows.keys() - {self._own}
        return sorted(others, key=lambda hash: elements.index(self._rows[hash].element))

    def _dialog(self, principal: str) -> ui.dialog:
        """Ask before all others are ended."""
        label = "aria-labelledby=end-others-title"
        with ui.dialog().props(label) as dialog, ui.element("div").classes("pg-dialog"):
            Tag("h2", text.END_OTHERS_TITLE, {"id": "end-others-title"})
            Tag("p", text.END_OTHERS_WHAT.format(principal=principal))
            with ui.element("div").classes("pg-dialog-buttons"):
                no = {"type": "button", "data-autofocus": ""}
                Tag("button", text.CANCEL, no, classes="pg-button pg-quiet").on("click", dialog.close, args=[])
                yes = Tag("button", text.END_OTHERS_YES, {"type": "button"}, classes="pg-button pg-danger")
        yes.on("click", partial(self._end_every_other, dialog), args=[])
        return dialog


class SessionRow:
    """One session: device, address, when it started and was used last; without `end` it is this one."""

    def __init__(self, one: ListedSession, end: Callable[[], Awaitable[None]] | None) -> None:
        found = device(one.agent)
        words = text.device(found)
        with Tag("li", "", classes="pg-row") as self.element:
            icon(_picture(found), size=24)
            with ui.element("div").classes("pg-row-main"):
                with ui.element("div").classes("pg-row-title"):
                    Tag("h3", words)
                    if end is None:
                        Tag("span", text.THIS_SESSION, classes="pg-chip")
                with Tag("p", "", classes="pg-row-facts"):
                    Tag("span", one.address)
                    self._started = _fact(text.SESSION_STARTED)
                    self._used = _fact(text.SESSION_USED)
            label = text.END_SESSION_OF.format(device=words, address=one.address)
            self.button = _end_button(label, end) if end else Tag("span")

    def show(self, one: ListedSession) -> None:
        """Say the times, as of now."""
        _tell(self._started, one.started)
        _tell(self._used, one.last_used)


def _end_button(label: str, end: Callable[[], Awaitable[None]]) -> Tag:
    button = Tag("button", text.END_SESSION, {"type": "button", "aria-label": label}, classes="pg-button pg-quiet")
    return button.on("click", end, args=[])


def _fact(label: str) -> Tag:
    with Tag("span", f"{label} "):
        return Tag("time")


def _tell(place: Tag, moment: float) -> None:
    place.set_text(since(time.time() - moment))
    if place.props.get("datetime") != iso(moment):
        place.props.update({"datetime": iso(moment), "title": text.UTC.format(moment=utc(moment))})
        place.update()


def _picture(found: Device) -> str:
    if found.system:
        return "phone" if found.system in _PHONES else "desktop"
    return "terminal" if found.browser else "question"
