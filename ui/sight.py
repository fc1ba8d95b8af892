"""Whether the tab is in its person's sight: what works while nobody looks, works in vain.

    watch(feed, board.show)
    refresh_soon = regularly(60, board.refresh)

`assets/page.js` tells of every tab that is hidden, and of its return.
"""

import time
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any

from nicegui import Client, ui

from services.feed import Feed, Picture
from services.sessions import Session
from ui.lasting import lasting
from ui.theme import Tag

_STEP_SECONDS = 1.0
_sights: dict[Client, "Sight"] = {}
"""Until the tab is deleted: who listens holds the page, so no weak reference would ever let go."""


class Sight:
    """One tab's; drawn once on its page, where nothing hides it."""

    def __init__(self) -> None:
        self.hidden = False
        self.came = False
        """Whether the tab's socket has ever come: before that nothing that is drawn anew reaches its person."""

        self.well_since = 0.0
        """When a picture last came after one that could not be read, by the monotonic clock."""

        self.listeners: list[Callable[[bool], None]] = []
        place = Tag("div", "", {"id": "pg-sight", "hidden": ""})
        place.on("sight", self._turn, js_handler="(event) => emit(event.detail)")

    def _turn(self, event: Any) -> None:
        self.hidden = event.args == "hidden"
        for tell in tuple(self.listeners):
            tell(self.hidden)


def sight() -> Sight:
    """That of the tab which is being built."""
    client = ui.context.client
    if client.is_deleted:
        return Sight()
    if client not in _sights:
        _sights[client] = Sight()
        client.on_delete(lambda: _forget(client))
    return _sights[client]


def _forget(client: Client) -> None:
    del _sights[client]


def watch(feed: Feed, listener: Callable[[Picture], None]) -> None:
    """Look at the feed for as long as the tab is open, and less often while it is hidden.

    Until its socket comes a tab is drawn once, and then as it is to be by now: what comes between nobody would see.
    """
    own, drawn, troubled = sight(), False, False
    held: tuple[Context, Picture] | None = None

    def show(picture: Picture) -> None:
        nonlocal drawn, held, troubled
        if troubled and picture.error is None:
            own.well_since = time.monotonic()
        troubled = picture.error is not None
        if drawn and not own.came:
            held = copy_context(), picture
            return
        drawn = True
        listener(picture)

    def come() -> None:
        nonlocal held
        own.came = True
        latest, held = held, None
        if latest:
            context, picture = latest
            context.run(listener, picture)

    def start(session: Session) -> Callable[[], None]:
        own.hidden = False  # a page that comes back tells anew whether it is
        look = feed.look(session, show)
        look.hide(own.hidden)
        own.listeners.append(look.hide)

        def stop() -> None:
            nonlocal held
            held = None
            own.listeners.remove(look.hide)
            look.stop()

        return stop

    ui.context.client.on_connect(come)
    lasting(start)


def regularly(seconds: float, work: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Do it now and again every so many seconds; never while the tab is hidden, and once it is back if it is due.

    What comes back makes it due at once, and so does a cluster that answers again: what failed meanwhile need not wait.
    """
    own, place, due, begun = sight(), ui.context.slot, 0.0, 0.0

    async def step() -> None:
        nonlocal due, begun
        now = time.monotonic()
        if own.hidden or (now < due and own.well_since < begun):
            return
        due, begun = now + seconds, now
        await work()

    def soon() -> None:
        nonlocal due
        due = 0.0
        with place:
            ui.timer(0, step, once=True)  # what is under way may take its time

    ui.timer(min(seconds, _STEP_SECONDS), step)
    return soon
