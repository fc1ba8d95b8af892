"""Several guests at once, from the table: confirmed once, each sent by itself, with a result for each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from nicegui import ui

from services.actions import Actions, Need, Power, missing, orders_for
from services.errors import ProxgateError, ProxmoxError, SessionEnded
from services.proxmox import Guest, Permissions, PowerAction
from services.sessions import Session
from ui import text
from ui.confirm import Confirm
from ui.failure import draw_own_words
from ui.lacking import Lacking, draw_grant
from ui.links import guest_address
from ui.order_bar import ACTIONS, DANGEROUS
from ui.rights import Rights
from ui.theme import Tag, icon
from ui.visit import address_of_person, current_session

MOST, AT_ONCE, MOST_NAMED = 200, 4, 12
_ANY = Power("start")  # all of them need the same


class Bulk:
    """The buttons for what is selected, which `assets/guests.js` shows, and the results; `guests` are all there are."""

    def __init__(self, actions: Actions, guests: Callable[[], Mapping[int, Guest]]) -> None:
        self._actions = actions
        self._guests = guests
        self._busy = False
        self._confirm = Confirm()
        self._lacking = Lacking()
        attributes = {"id": "guests-selected", "hidden": "", "role": "group", "aria-label": text.SELECTED_GUESTS}
        with Tag("div", "", attributes, classes="pg-selected"):
            self._head()
            self._buttons = [self._button(action) for action in ACTIONS]
        self._results = Results()
        self._rights = Rights(actions, self._mark)

    async def act(self, event: Any) -> None:
        """What the browser asks for: an action and numbers of guests, each of which is looked at here."""
        action, guests = self._read(event.args)
        if action is None:
            return
        if self._busy:
            self._results.refuse(text.ONE_AFTER_THE_OTHER)
            return
        self._busy = True
        try:
            following = await self._act(action, guests)
        except SessionEnded:  # the page says so by itself
            return
        finally:
            self._busy = False
        await asyncio.gather(*following)

    def _head(self) -> None:
        with ui.element("div").classes("pg-selected-head"):
            Tag("b", "", {"data-selected": text.SELECTED, "role": "status"})
            every = {"data-select-all": text.SELECT_ALL, "data-select-first": text.SELECT_FIRST, "data-most": str(MOST)}
            Tag("button", "", {"type": "button", **every}, classes="pg-link-button")
            Tag("button", text.CLEAR_SELECTION, {"type": "button", "data-unselect": ""}, classes="pg-link-button")

    def _button(self, action: PowerAction) -> Tag:
        button = {"type": "button", "data-action": action}
        return Tag("button", text.order(action), button, classes="pg-button pg-quiet pg-inline pg-order")

    def _mark(self) -> None:
        """Grey is what the account may do with no guest at all."""
        lacking = [self._rights.lacking(_ANY.needs(guest)) for guest in self._guests().values()]
        need = None if None in lacking else next(iter(lacking), None)
        for button in self._buttons:
            self._lacking.mark(button, need, self._rights.principal)

    def _read(self, args: object) -> tuple[PowerAction | None, Sequence[Guest]]:
        told = cast(dict[str, object], args) if isinstance(args, dict) else {}
        actions: dict[object, PowerAction] = {action: action for action in ACTIONS}
        vmids = told.get("vmids")
        numbers = [one for one in cast(list[object], vmids) if isinstance(one, int)] if isinstance(vmids, list) else []
        known = self._guests()
        return actions.get(str(told.get("action"))), [known[one] for one in dict.fromkeys(numbers) if one in known]

    async def _act(self, action: PowerAction, guests: Sequence[Guest]) -> Sequence[Awaitable[None]]:
        """Have it confirmed, and send it to each; what comes back follows them to their ends."""
        order = Power(action)
        try:
            permissions = await self._actions.permissions(current_session())
        except SessionEnded:
            raise
        except ProxgateError as exc:
            self._results.refuse(text.sentence(exc))
            return ()
        fitting = [guest for guest in guests if order in orders_for(guest)]
        allowed = [guest for guest in fitting if missing(permissions, order.needs(guest)) is None]
        if not allowed:
            self._refuse(order, fitting, permissions)
            return ()
        meant = Meant(allowed[:MOST], {
            text.LEFT_OUT: [guest for guest in guests if guest not in fitting],
            text.LEFT_OUT_FOR_RIGHTS: [guest for guest in fitting if guest not in allowed],
            text.LEFT_OUT_AS_TOO_MANY: allowed[MOST:],
        })  # fmt: skip
        title, danger = text.bulk_title(action, len(meant.guests)), action in DANGEROUS
        if not await self._confirm.ask(title, text.bulk_what(action), text.order(action), danger=danger, fields=meant):
            return ()
        session, address = current_session(), address_of_person()  # a page that was kept may have come back meanwhile
        lines, gate = self._results.begin(text.order(action), meant.guests), asyncio.Semaphore(AT_ONCE)
        sent = await asyncio.gather(*(self._send(session, order, line, gate, address) for line in lines))
        return [self._follow(session, line, upid) for line, upid in zip(lines, sent, strict=True) if upid]

    def _refuse(self, order: Power, fitting: Sequence[Guest], permissions: Permissions) -> None:
        need = missing(permissions, order.needs(fitting[0])) if fitting else None
        if need is None:
            return self._results.refuse(text.NONE_FITS.format(order=text.order(order.name)))
        words = text.LACKS_NAMED_PRIVILEGE.format(privilege=need.privileges[0], path=need.path)
        return self._results.refuse(words, need, self._rights.principal)

    async def _send(self, session: Session, order: Power, line: "Line", gate: asyncio.Semaphore, address: str) -> str:
        """The task; empty where none came of it."""
        try:
            async with gate:
                upid = await self._actions.do(session, order, line.guest, address)
        except SessionEnded:
            line.end(text.RESULT_NOT_SENT, well=False)
        except ProxgateError as exc:
            line.end(text.refusal_of(exc), well=False, own=exc.words if isinstance(exc, ProxmoxError) else "")
        else:
            line.say(text.RESULT_GOES_ON)
            return upid
        return ""

    async def _follow(self, session: Session, line: "Line", upid: str) -> None:
        task = None
        with suppress(ProxgateError):
            task = await self._actions.followed(session, upid, lambda: not line.gone)
        if task is None:
            line.end(text.RESULT_BEGUN, well=False)
        else:
            words = text.why_failed(task.status) if task.failed else text.RESULT_DONE
            line.end(words, well=not task.failed, own=task.status if task.failed else "")


class Line:
    """What comes of one guest: on its way, done, or why not."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        with Tag("li", "", classes="pg-result") as self._line:
            Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
            with Tag("a", "", {"href": guest_address(guest.vmid)}, classes="pg-name pg-target"):
                Tag("bdi", _called(guest))
            self._words = Tag("span", text.RESULT_WAITS, classes="pg-count")

    @property
    def gone(self) -> bool:
        """Whether nobody sees it any more."""
        return self._line.is_deleted

    def say(self, words: str) -> None:
        """How it stands."""
        if not self.gone:
            self._words.set_text(words)

    def end(self, words: str, *, well: bool, own: str = "") -> None:
        """It has come to an end; `own` are Proxmox's words."""
        self.say(words)
        if not self.gone:
            self._line.classes(add="pg-result-well" if well else "pg-result-bad")
            with self._line:
                draw_own_words(own)


class Results:
    """A line for each guest of the last orders."""

    def __init__(self) -> None:
        with Tag("section", "", {"aria-live": "polite"}, classes="pg-results") as self._place:
            with ui.element("div").classes("pg-results-head"):
                self._title = Tag("p", "", classes="pg-results-title")
                close = {"type": "button", "aria-label": text.CLOSE}
                with Tag("button", "", close, classes="pg-icon-button") as button:
                    icon("cross", size=18)
            self._list = Tag("ul", "", {"role": "list"}, classes="pg-plain-list")
        button.on("click", lambda: self._place.set_visibility(False), args=[])
        self._place.set_visibility(False)

    def refuse(self, why: str, need: Need | None = None, principal: str = "") -> None:
        """Nothing is done, and this is why."""
        self._open(why)
        self._list.clear()
        if need is not None:
            with self._list, Tag("li"):
                draw_grant(principal, need.path, need.privileges[0])

    def begin(self, title: str, guests: Sequence[Guest]) -> Sequence[Line]:
        """Wait for what comes of each."""
        self._open(title)
        self._list.clear()
        with self._list:
            return [Line(guest) for guest in guests]

    def _open(self, title: str) -> None:
        self._title.set_text(title)
        self._place.set_visibility(True)


@dataclass(frozen=True, slots=True)
class Meant:
    """Who is meant, and who of those selected is not, by why."""

    guests: Sequence[Guest]
    left: Mapping[str, Sequence[Guest]]

    def draw(self) -> None:
        """All by name; of those left out the first."""
        with Tag("ul", "", {"role": "list", "tabindex": "0"}, classes="pg-plain-list pg-named"):
            for guest in self.guests:
                with Tag("li"):
                    Tag("bdi", _called(guest))
                    Tag("span", str(guest.vmid), classes="pg-count")
        for words, guests in self.left.items():
            if guests:
                names = text.LIST_COMMA.join(text.isolated(_called(guest)) for guest in guests[:MOST_NAMED])
                more = " …" if len(guests) > MOST_NAMED else ""
                Tag("p", words.format(names=names + more, most=MOST), classes="pg-hint")

    def check(self) -> bool:
        """There is nothing to fill in."""
        return True


def _called(guest: Guest) -> str:
    return guest.name or str(guest.vmid)
