"""What a page keeps going, such as a look at a feed: only while its tab is open and its session lives.

lasting(lambda session: feed.look(session, board.show).stop)
"""

from collections.abc import Callable

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


_works: dict[Client, list[_Work]] = {}
"""Until the tab is deleted: what is to be begun holds its page, so no weak reference would ever let go."""


def lasting(start: Start) -> None:
    """Begin it now, for the page that is being built; it pauses while the tab is kept for its person's return."""
    client, work = ui.context.client, _Work(start)
    if client.is_deleted:
        return
    if client not in _works:
        _works[client] = []
        client.on_delete(lambda: _forget(client))
    _works[client].append(work)
    work.start(current_session())


def _forget(client: Client) -> None:
    for work in _works.pop(client, ()):
        work.stop()


def pause(client: Client) -> None:
    """End what this tab keeps going."""
    for work in _works.get(client, ()):
        work.stop()


def resume(client: Client, session: Session) -> None:
    """Begin it again, for a new session of the same account."""
    with speaking(visit_of(client.request.scope).language):
        for work in _works.get(client, ()):
            work.start(session)
