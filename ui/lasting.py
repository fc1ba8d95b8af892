"""What a page keeps going, such as a look at a feed: only while its tab is open and its session lives.

lasting(lambda session: feed.look(session, board.show).stop)
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from nicegui import Client, ui

from services.sessions import Session
from ui.language import speaking
from ui.visit import current_session, visit_of

Start = Callable[[Session], Callable[[], None]]
"""Begins the work for a session; what it returns ends it."""


class _Work:
    def __init__(self, start: Start) -> None:
        self._start = start
        self._stop: Callable[[], None] | None = None

    def start(self, session: Session) -> None:
        self.stop()
        self._stop = self._start(session)

    def stop(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()


_works: WeakKeyDictionary[Client, list[_Work]] = WeakKeyDictionary()


def lasting(start: Start) -> None:
    """Begin it now, for the page that is being built; it pauses while the tab is kept for its person's return."""
    client, work = ui.context.client, _Work(start)
    _works.setdefault(client, []).append(work)
    client.on_delete(work.stop)
    work.start(current_session())


def pause(client: Client) -> None:
    """End what this tab keeps going."""
    for work in _works.get(client, ()):
        work.stop()


def resume(client: Client, session: Session) -> None:
    """Begin it again, for a new session of the same account."""
    with speaking(visit_of(client.request.scope).language):
        for work in _works.get(client, ()):
            work.start(session)
