"""What every protected tab says before its session runs out, while there is time to do something about it."""

from contextlib import suppress
from dataclasses import dataclass

from nicegui import ui

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions import Session, Sessions
from services.sessions.watch import Left, Watch
from ui import text
from ui.addresses import LOGOUT
from ui.theme import Tag
from ui.units import countdown
from ui.visit import current_session, visit_of

LEAD_SECONDS = 120
"""So long before the end it is told; of a limit no longer than that, in its second half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ahead:
    """The end that comes first: `reason` is IDLE or AGE."""

    reason: EndReason
    seconds: float


class Clocks:
    """The two clocks of a session, as its tabs see them."""

    def __init__(self, sessions: Sessions, watch: Watch) -> None:
        self._sessions = sessions
        self._watch = watch

    def draw(self) -> None:
        """Put the dialog into the page that is being built."""
        _Warning(self)

    def ahead(self, session: Session) -> _Ahead | None:
        """The end that is near enough to be told, None while none is."""
        left = self._watch.left(session.hash)
        return left and _nearest(left, self._sessions.limits.idle, self._sessions.limits.longest)

    async def stay(self, session: Session) -> None:
        """The person is there: the idle limit begins anew, in all tabs. Raises SessionEnded or StoreUnavailable."""
        await self._sessions.read(session.id)
        await self._watch.check()

    async def finish(self, session: Session, address: str) -> None:
        """End it now instead of later: its tabs are kept for whoever signs in again as the same account."""
        await self._sessions.end(session, EndReason.AGE, address)
        await self._watch.check()


class _Warning:
    """The dialog of one tab."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._shown: EndReason | None = None
        self._put_off: Session | None = None
        """The session of which its person wants to hear no more that it ends."""

        labels = "role=alertdialog aria-labelledby=ending-title aria-describedby=ending-words"
        self._dialog = ui.dialog().props(f"persistent {labels}")
        with self._dialog, ui.element("div").classes("pg-dialog"):
            self._title = Tag("h2", "", {"id": "ending-title"})
            self._words = Tag("p", "", {"id": "ending-words"})
            self._digits = Tag("p", "", {"role": "timer", "aria-live": "off"}, classes="pg-countdown")
            with ui.element("div").classes("pg-dialog-buttons"):
                with Tag("form", "", {"method": "post", "action": LOGOUT}) as self._out:
                    Tag("button", text.SIGN_OUT, {"type": "submit"}, classes="pg-button pg-quiet")
                self._not_now = _button(text.LATER, "pg-quiet").on("click", self._decline)
                self._yes = _button("", "pg-primary", {"data-autofocus": ""}).on("click", self._accept)
        ui.timer(1.0, self._look)

    def _look(self) -> None:
        session = current_session()
        ahead = self._clocks.ahead(session)
        if ahead is None or (ahead.reason is EndReason.AGE and session == self._put_off):
            return self._hide()
        self._digits.set_text(countdown(ahead.seconds))
        if ahead.reason is not self._shown:
            self._show(ahead.reason)
        return None

    def _show(self, reason: EndReason) -> None:
        self._shown = reason
        for place, words in zip((self._title, self._words, self._yes), text.ending(reason), strict=True):
            place.set_text(words)
        self._out.set_visibility(reason is EndReason.IDLE)
        self._not_now.set_visibility(reason is EndReason.AGE)
        self._dialog.open()

    def _hide(self) -> None:
        if self._shown is not None:
            self._shown = None
            self._dialog.close()

    async def _accept(self) -> None:
        session = current_session()
        with suppress(SessionEnded, StoreError):  # the page says so by itself
            if self._shown is EndReason.IDLE:
                await self._clocks.stay(session)
                self._hide()
            elif self._shown is EndReason.AGE:
                await self._clocks.finish(session, visit_of(ui.context.client.request.scope).address)

    def _decline(self) -> None:
        self._put_off = current_session()
        self._hide()


def _nearest(left: Left, idle: int, longest: int) -> _Ahead | None:
    ends = ((EndReason.AGE, left.age, longest), (EndReason.IDLE, left.idle, idle))
    near = [_Ahead(reason=reason, seconds=seconds) for reason, seconds, limit in ends if seconds <= _lead(limit)]
    return min(near, key=lambda one: one.seconds, default=None)


def _lead(limit: int) -> float:
    return LEAD_SECONDS if limit > LEAD_SECONDS else limit / 2


def _button(label: str, look: str, attributes: dict[str, str] | None = None) -> Tag:
    return Tag("button", label, {"type": "button", **(attributes or {})}, classes=f"pg-button {look}")
