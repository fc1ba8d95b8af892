"""My sessions: where one's account is signed in, to be ended from here, and what happened to it lately."""

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import ui

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions import ListedSession, Session, Sessions
from services.sessions.device import device
from ui import text
from ui.activity import Activity
from ui.layout import frame
from ui.session_list import SessionList
from ui.theme import Tag
from ui.toast import Toast
from ui.visit import address_of_person, current_session

REFRESH_SECONDS = 3
MOST_EVENTS = 20


def create(sessions: Sessions) -> None:
    """Register the page."""

    @ui.page("/sessions")
    def my_sessions() -> None:
        with frame(text.MY_SESSIONS):
            board = Board(sessions)
        ui.timer(REFRESH_SECONDS, board.refresh)


class Board:
    """The page's contents. What can be ended is what the store listed for this account: the browser names nothing."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._drawn = False
        self._turn = asyncio.Lock()  # one at a time: a list from before an end is never drawn after it
        self._trouble = Tag("p", "", {"role": "status"}, classes="pg-trouble")
        self._loading = Tag("div", text.LOADING, {"aria-busy": "true"}, classes="pg-empty pg-loading")
        with ui.element("div").classes("pg-board") as self._room:
            self._list = SessionList(current_session().principal, end=self._end, end_others=self._end_others)
            self._activity = Activity()
        self._toast = Toast()
        self._trouble.set_visibility(False)
        self._room.set_visibility(False)

    async def refresh(self) -> None:
        """Read and draw both lists anew; keep, greyed, what could not be read."""
        async with self._turn:
            await self._refresh()

    async def _refresh(self) -> None:
        own = current_session()
        try:
            listed = await self._sessions.list(own.principal)
            events = await self._sessions.audit.recent(own.principal, MOST_EVENTS)
        except StoreError as exc:
            return self._show_trouble(exc)
        await asyncio.to_thread(_know_devices, listed)
        if self._room.is_deleted:
            return None
        self._drawn = True
        self._list.show(listed, own)
        self._activity.show(events)
        return self._show_trouble(None)

    def _show_trouble(self, error: StoreError | None) -> None:
        form = text.LAST_PICTURE if self._drawn else text.NO_PICTURE
        self._trouble.set_text(form.format(sentence=text.sentence(error)) if error else "")
        self._trouble.set_visibility(error is not None)
        self._loading.set_visibility(not self._drawn and error is None)
        self._room.set_visibility(self._drawn)
        self._room.classes(**{"add" if error else "remove": "pg-stale"})

    async def _end(self, one: ListedSession) -> None:
        async def end(own: Session) -> int:
            alive = {other.hash for other in await self._sessions.list(own.principal)}
            if one.hash not in alive - {own.hash}:
                return 0
            await self._sessions.end(one, EndReason.ENDED, address_of_person())
            return 1

        await self._act(end)

    async def _end_others(self) -> None:
        await self._act(lambda own: self._sessions.end_others(own, address_of_person()))

    async def _act(self, end: Callable[[Session], Awaitable[int]]) -> None:
        """End some of the other sessions, say how many, and draw anew."""
        async with self._turn:
            self._toast.clear()  # so that the same words are read aloud a second time
            own = current_session()
            try:
                await self._sessions.read(own.id)  # one that ended meanwhile ends nobody any more
                count = await end(own)
            except SessionEnded:
                return
            except StoreError as exc:
                self._toast.say(text.NOT_ENDED.format(sentence=text.sentence(exc)))
            else:
                await self._refresh()
                self._toast.say(_ended(count))


def _know_devices(listed: tuple[ListedSession, ...]) -> None:
    """Parse what is not known yet, away from the event loop."""
    for one in listed:
        device(one.agent)


def _ended(count: int) -> str:
    if not count:
        return text.SESSION_GONE
    return text.SESSION_ENDED if count == 1 else text.SESSIONS_ENDED.format(count=count)
