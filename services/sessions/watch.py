"""Knows, of the sessions in use on this replica, whether each was alive less than a second ago.

One question to the store every 0.4 s for all of them, with a deadline of 0.4 s: what is not confirmed in time counts
as unknown, and unknown is never alive.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions.sessions import Session, Sessions

logger = logging.getLogger(__name__)

PERIOD = 0.4
DEADLINE = 0.4
FRESH = 1.0
"""Seconds for which a confirmation counts."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What is known of one watched session."""

    ends: float
    confirmed: float
    tabs: int = 0
    reason: EndReason | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def alive(self) -> bool:
        fresh = time.monotonic() - self.confirmed < FRESH
        return fresh and self.reason is None and time.time() < self.ends

    def tell(self) -> None:
        """Wake whoever waits for news, and make room for the next."""
        self.news.set()
        self.news = asyncio.Event()


class Watch:
    """Confirms the watched sessions in the background, and tells when one has ended."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._entries: dict[str, _Entry] = {}
        self._listeners: list[Callable[[str, EndReason], None]] = []

    def on_end(self, listener: Callable[[str, EndReason], None]) -> None:
        """Call `listener(hash, reason)` when a watched session is found to have ended."""
        self._listeners.append(listener)

    @contextmanager
    def watching(self, session: Session) -> Generator[None]:
        """Keep a session, read just now, in the watch."""
        now = time.monotonic()
        entry = self._entries.setdefault(session.hash, _Entry(ends=session.ends, confirmed=now))
        entry.confirmed = now
        entry.tabs += 1
        try:
            yield
        finally:
            entry.tabs -= 1
            if not entry.tabs:
                del self._entries[session.hash]
                entry.tell()

    def alive(self, hash: str) -> bool:
        """Whether the session was confirmed less than a second ago."""
        entry = self._entries.get(hash)
        return entry is not None and entry.alive()

    async def confirmed(self, hash: str) -> None:
        """Return once the session is known to live; wait while the store is silent. Raises SessionEnded."""
        while not self.alive(hash):
            entry = self._entries.get(hash)
            if entry is None or entry.reason is not None:
                raise SessionEnded((entry and entry.reason) or EndReason.ENDED)
            await entry.news.wait()

    async def ended(self, hash: str) -> EndReason:
        """Return, with the reason, once the session is known to have ended, or nobody watches it any more."""
        while entry := self._entries.get(hash):
            if entry.reason is not None:
                return entry.reason
            await entry.news.wait()
        return EndReason.ENDED

    async def run(self) -> None:
        """Confirm for ever; cancel to stop."""
        while True:
            started = time.monotonic()
            try:
                await self.check()
            except Exception:  # whatever it was: the watch goes on, and meanwhile nothing counts as alive
                logger.exception("the watch over the sessions stumbled")
            await asyncio.sleep(max(0.05, PERIOD - (time.monotonic() - started)))

    async def check(self) -> None:
        """Ask once about every watched session."""
        asked = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE):
                answers = await self._sessions.confirm(tuple(self._entries))
        except (StoreError, TimeoutError):
            return
        for hash, reason in answers.items():
            if entry := self._entries.get(hash):
                self._note(hash, entry, reason, asked)

    def _note(self, hash: str, entry: _Entry, reason: EndReason | None, asked: float) -> None:
        if entry.reason is not None:
            return
        entry.confirmed = max(entry.confirmed, asked) if reason is None else entry.confirmed
        entry.reason = EndReason.AGE if time.time() >= entry.ends and reason in {None, EndReason.IDLE} else reason
        if entry.reason is not None:
            self._tell_listeners(hash, entry.reason)
        entry.tell()

    def _tell_listeners(self, hash: str, reason: EndReason) -> None:
        for listener in self._listeners:
            try:
                listener(hash, reason)
            except Exception:  # one that fails must not keep the others from being told
                logger.exception("a listener of the watch failed")
