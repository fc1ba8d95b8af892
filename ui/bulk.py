"""Several guests at once, from the table: confirmed once, each sent by itself, with a result for each."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from nicegui import ui

from services.actions import Actions, Power, missing, orders_for
from services.errors import ProxgateError, SessionEnded
from services.proxmox import Guest, Permissions, PowerAction
from services.sessions import Session
from ui import text
from ui.confirm import Confirm
from ui.links import guest_address
from ui.order_bar import ACTIONS, DANGEROUS
from ui.theme import Tag, icon
from ui.visit import address_of_person, current_session

MOST, AT_ONCE, MOST_NAMED = 200, 4, 12


class Bulk:
    """The buttons for what is selected, which `assets/guests.js` shows, and the results; `guests` are all there are."""

    def __init__(self, actions: Actions, guests: Callable[[], Mapping[int, Guest]]) -> None:
        self._actions = actions
        self._guests = guests
        self._busy = False
        self._confirm = Confirm()
        attributes = {"id": "guests-selected", "hidden": "", "role": "group", "aria-label": text.SELECTED_GUESTS}
        with Tag("div", "", attributes, classes="pg-selected"):
            Tag("b", "", {"data-selected": text.SELECTED, "role": "status"})
            for action in ACTIONS:
                button = {"type": "button", "data-action": action}
                Tag("button", text.order(action), button, classes="pg-button pg-quiet pg-inline")
            Tag("button", text.CLEAR_SELECTION, {"type": "button", "data-unselect": ""}, classes="pg-link-button")
        self._results = Results()

    async def act(self, event: Any) -> None:
        """What the browser asks for: an action and numbers of guests, each of which is looked at here."""
        action, guests = self._read(event.args)
        if action is None or self._busy:
            return
        self._busy = True
        try:
            await self._act(action, guests)
        except SessionEnded:  # the page says so by itself
            return
        finally:
            self._busy = False

    def _read(self, args: object) -> tuple[PowerAction | None, Sequence[Guest]]:
        told = cast(dict[str, object], args) if isinstance(args, dict) else {}
        actions: dict[object, PowerAction] = {action: action for action in ACTIONS}
        vmids = told.get("vmids")
        numbers = [one for one in cast(list[object], vmids) if isinstance(one, int)] if isinstance(vmids, list) else []
        known, wanted = self._guests(), list(dict.fromkeys(numbers))[:MOST]
        return actions.get(str(told.get("action"))), [known[number] for number in wanted if number in known]

    async def _act(self, action: PowerAction, guests: Sequence[Guest]) -> None:
        session, order = current_session(), Power(action)
        try:
            permissions = await self._actions.permissions(session)
        except SessionEnded:
            raise
        except ProxgateError as exc:
            return self._results.refuse(text.sentence(exc))
        fitting = [guest for guest in guests if order in orders_for(guest)]
        allowed = [guest for guest in fitting if missing(permissions, order.needs(guest)) is None]
        if not allowed:
            return self._results.refuse(_why_none(order, guests, fitting, permissions))
        title = text.bulk_title(action, len(allowed))
        left = len(guests) - len(allowed)
        if not await self._confirm.ask(
            title, text.order_what(action), text.order(action), danger=action in DANGEROUS,
            fields=Named(allowed, left),
        ):  # fmt: skip
            return None
        self._results.begin(text.order(action), allowed)
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._one(session, order, guest, gate, address_of_person()) for guest in allowed))
        return None

    async def _one(self, session: Session, order: Power, guest: Guest, gate: asyncio.Semaphore, address: str) -> None:
        try:
            async with gate:
                upid = await self._actions.do(session, order, guest, address)
            self._results.sent(guest)
            task = await self._actions.followed(session, upid)
        except SessionEnded:
            return
        except ProxgateError as exc:
            self._results.end(guest, text.refusal_of(exc), well=False)
        else:
            self._results.end(guest, task.status if task.failed else text.RESULT_DONE, well=not task.failed)


class Results:
    """A line for each guest: on its way, done, or why not."""

    def __init__(self) -> None:
        self._lines: dict[int, tuple[Tag, Tag]] = {}
        with Tag("section", "", {"aria-live": "polite"}, classes="pg-results") as self._place:
            with ui.element("div").classes("pg-results-head"):
                self._title = Tag("h2", "")
                close = {"type": "button", "aria-label": text.CLOSE}
                with Tag("button", "", close, classes="pg-icon-button") as button:
                    icon("cross", size=18)
            self._list = Tag("ul", "", {"role": "list"}, classes="pg-plain-list")
        button.on("click", lambda: self._place.set_visibility(False), args=[])
        self._place.set_visibility(False)

    def refuse(self, why: str) -> None:
        """Nothing is done, and this is why."""
        self._open(why)

    def begin(self, title: str, guests: Sequence[Guest]) -> None:
        """Wait for what comes of each."""
        self._open(title)
        with self._list:
            for guest in guests:
                with Tag("li", "", classes="pg-result") as line:
                    Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
                    with Tag("a", "", {"href": guest_address(guest.vmid)}, classes="pg-name pg-target"):
                        Tag("bdi", guest.name or str(guest.vmid))
                    words = Tag("span", text.RESULT_WAITS, classes="pg-count")
                self._lines[guest.vmid] = line, words

    def sent(self, guest: Guest) -> None:
        """It has reached Proxmox."""
        self._say(guest, text.RESULT_GOES_ON)

    def end(self, guest: Guest, words: str, *, well: bool) -> None:
        """It has come to an end."""
        self._say(guest, words)
        if guest.vmid in self._lines:
            self._lines[guest.vmid][0].classes(add="pg-result-well" if well else "pg-result-bad")

    def _open(self, title: str) -> None:
        self._lines.clear()
        self._list.clear()
        self._title.set_text(title)
        self._place.set_visibility(True)

    def _say(self, guest: Guest, words: str) -> None:
        if guest.vmid in self._lines:
            self._lines[guest.vmid][1].set_text(words)


def _why_none(order: Power, guests: Sequence[Guest], fitting: Sequence[Guest], permissions: Permissions) -> str:
    if not guests or not fitting:
        return text.NONE_FITS.format(order=text.order(order.name))
    need = missing(permissions, order.needs(fitting[0]))
    return text.LACKS_NAMED_PRIVILEGE.format(privilege=need.privileges[0], path=need.path) if need else ""


@dataclass(frozen=True, slots=True)
class Named:
    """Who is meant, and how many of those selected are not."""

    guests: Sequence[Guest]
    left: int

    def draw(self) -> None:
        """The first of them by name, and how many more there are."""
        with Tag("ul", "", {"role": "list"}, classes="pg-plain-list pg-named"):
            for guest in self.guests[:MOST_NAMED]:
                with Tag("li"):
                    Tag("bdi", guest.name or str(guest.vmid))
                    Tag("span", str(guest.vmid), classes="pg-count")
        if len(self.guests) > MOST_NAMED:
            Tag("p", text.AND_MORE.format(count=len(self.guests) - MOST_NAMED))
        if self.left:
            Tag("p", text.LEFT_OUT.format(count=self.left), classes="pg-hint")

    def check(self) -> bool:
        """There is nothing to fill in."""
        return True
