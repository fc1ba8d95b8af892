"""Knows, of the sessions in use on this replica, whether each was alive less than a second ago.

One question to the store every 0.4 s for all of them, with a deadline of 0.4 s: what is not confirmed in time counts
as unknown, and unknown is never alive. What the store tells of ends in between makes it ask at once.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions.session import Session
from services.sessions.sessions import Life, Sessions

logger = logging.getLogger(__name__)

PERIOD = 0.4
DEADLINE = 0.4
FRESH = 1.0
"""Seconds for which a confirmation counts."""

_SURE = 1.0
"""A record gone more than so many seconds before its idle end did not fall idle: somebody has taken it away. A list
gone less before its session's longest age has run out with it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Seconds that a live session has: until it falls idle if nothing is done, and until its longest age.

    `idle` is infinite before the store was first asked, and where somebody has taken the limit away.
    """

    idle: float
    age: float


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What is known of one watched session. Times are of `time.monotonic()`."""

    session: Session
    confirmed: float
    idle_at: float = math.inf
    tabs: int = 0
    reason: EndReason | None = None
    news: asyncio.Event | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has ended, or nobody watches it any more."""

    silence: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the last check did not show it alive."""

    def alive(self) -> bool:
        now = time.monotonic()
        return self.reason is None and now - self.confirmed < FRESH and now < self.session.deadline

    def confirm(self, asked: float, left: float) -> None:
        """It was alive when it was asked about, with so many seconds left."""
        self.confirmed = max(self.confirmed, asked)
        self.idle_at = asked + left
        self.silence.clear()
        self.tell()

    def tell(self) -> None:
        """Wake whoever waits for news: at most times nobody does."""
        if self.news:
            self.news.set()
            self.news = None

    async def told(self) -> None:
        """Wait for news."""
        self.news = self.news or asyncio.Event()
        await self.news.wait()

    def close(self) -> None:
        """Nothing more will be known of it."""
        self.over.set()
        self.silence.set()
        self.tell()


class Watch:
    """Confirms the watched sessions in the background, and tells when one has ended."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._entries: dict[str, _Entry] = {}
        self._listeners: list[Callable[[str, EndReason], None]] = []
        self._burying: set[asyncio.Future[None]] = set()

    def on_end(self, listener: Callable[[str, EndReason], None]) -> None:
        """Call `listener(hash, reason)` when a watched session is found to have ended."""
        self._listeners.append(listener)

    @contextmanager
    def watching(self, session: Session) -> Generator[None]:
        """Keep a session, read just now, in the watch."""
        entry = self._entries.setdefault(session.hash, _Entry(session=session, confirmed=session.seen))
        entry.confirmed = max(entry.confirmed, session.seen)
        entry.tabs += 1
        try:
            yield
        finally:
            entry.tabs -= 1
            if not entry.tabs:
                del self._entries[session.hash]
                entry.close()

    def alive(self, hash: str) -> bool:
        """Whether the session was confirmed less than a second ago."""
        entry = self._entries.get(hash)
        return entry is not None and entry.alive()

    def left(self, hash: str) -> Left | None:
        """How long a session that is alive has; None for any other."""
        entry = self._entries.get(hash)
        if entry is None or not entry.alive():
            return None
        now = time.monotonic()
        return Left(idle=entry.idle_at - now, age=entry.session.deadline - now)

    def sessions(self) -> tuple[Session, ...]:
        """Those that are watched and have not ended, as far as is known."""
        return tuple(entry.session for entry in self._entries.values() if entry.reason is None)

    async def confirmed(self, hash: str) -> None:
        """Return once the session is known to live; wait while the store is silent. Raises SessionEnded."""
        while not self.alive(hash):
            entry = self._entries.get(hash)
            if entry is None or entry.reason is not None:
                raise SessionEnded((entry and entry.reason) or EndReason.ENDED)
            await entry.told()

    async def ended(self, hash: str) -> EndReason:
        """Return, with the reason, once the session is known to have ended, or nobody watches it any more."""
        while entry := self._entries.get(hash):
            if entry.reason is not None:
                return entry.reason
            await entry.over.wait()
        return EndReason.ENDED

    async def silent(self, hash: str) -> None:
        """Return once a check has not shown the session alive, as while the store is silent or after its end."""
        if entry := self._entries.get(hash):
            await entry.silence.wait()

    async def run(self) -> None:
        """Confirm for ever; cancel to stop."""
        while True:
            started = time.monotonic()
            try:
                await self.check()
            except Exception:  # whatever it was: the watch goes on, and meanwhile nothing counts as alive
                logger.exception("the watch over the sessions stumbled")
                self._note_silence()
            await asyncio.sleep(max(0.05, PERIOD - (time.monotonic() - started)))

    async def check(self) -> None:
        """Ask once about every watched session."""
        asked = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE):
                answers = await self._sessions.confirm([entry.session for entry in self._entries.values()])
        except (StoreError, TimeoutError):
            self._note_silence()
            return
        for hash, life in answers.items():
            if (entry := self._entries.get(hash)) and entry.reason is None:
                self._note(entry, life, asked)

    def _note_silence(self) -> None:
        for entry in self._entries.values():
            if not entry.alive():
                entry.silence.set()

    def heard(self, hash: str, reason: EndReason) -> None:
        """Take another replica's word for an end, if the session is watched here: an end is never unsafe to believe."""
        if (entry := self._entries.get(hash)) and entry.reason is None:
            self._end(entry, reason)

    def _note(self, entry: _Entry, life: Life, asked: float) -> None:
        if life.reason is None and time.monotonic() < entry.session.deadline:
            return entry.confirm(asked, life.left)
        reason = self._judged(entry, life)
        if not life.buried:  # nobody has told it: the record ran out, or was taken away
            self._bury(entry.session, reason)
        return self._end(entry, reason)

    def _judged(self, entry: _Entry, life: Life) -> EndReason:
        now = time.monotonic()
        # At that age the list runs out too, by the store's clock, which is ahead of what we have heard from it.
        unlisted = life.reason is EndReason.ENDED and now >= entry.session.deadline - _SURE
        if life.reason is None or (not life.buried and (unlisted or now >= entry.session.deadline)):
            return EndReason.AGE
        vanished = life.reason is EndReason.IDLE and not life.buried and now < entry.idle_at - _SURE
        return EndReason.ENDED if vanished else life.reason

    def _end(self, entry: _Entry, reason: EndReason) -> None:
        entry.reason = reason
        for listener in self._listeners:
            try:
                listener(entry.session.hash, reason)
            except Exception:  # one that fails must not keep the others from being told
                logger.exception("a listener of the watch failed")
        entry.close()

    def _bury(self, session: Session, reason: EndReason) -> None:
        task = asyncio.ensure_future(self._bury_now(session, reason))
        self._burying.add(task)
        task.add_done_callback(self._burying.discard)

    async def _bury_now(self, session: Session, reason: EndReason) -> None:
        with suppress(StoreError):  # it is gone in any case
            await self._sessions.end(session, reason)
