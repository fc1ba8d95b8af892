"""Knows, of the sessions in use on this replica, whether each was alive less than a second ago.

One question to the store every 0.4 s for all of them, with a deadline of 0.4 s: what is not confirmed in time counts
as unknown, and unknown is never alive.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions.sessions import Session, Sessions

logger = logging.getLogger(__name__)

PERIOD = 0.4
DEADLINE = 0.4
FRESH = 1.0
"""Seconds for which a confirmation counts."""


class Watch:
    """Confirms the watched sessions in the background, and tells when one has ended."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._watched: Counter[str] = Counter()
        self._ends: dict[str, float] = {}
        self._confirmed: dict[str, float] = {}
        self._ended: dict[str, EndReason] = {}
        self._listeners: list[Callable[[str, EndReason], None]] = []
        self._changed = asyncio.Condition()

    def on_end(self, listener: Callable[[str, EndReason], None]) -> None:
        """Call `listener(hash, reason)` when a watched session is found to have ended."""
        self._listeners.append(listener)

    @contextmanager
    def watching(self, session: Session) -> Generator[None]:
        """Keep a session, read just now, in the watch."""
        hash = session.hash
        self._watched[hash] += 1
        self._ends[hash] = session.ends
        self._confirmed[hash] = time.monotonic()
        try:
            yield
        finally:
            self._watched[hash] -= 1
            if not self._watched[hash]:
                for book in (self._watched, self._ends, self._confirmed, self._ended):
                    book.pop(hash, None)

    def alive(self, hash: str) -> bool:
        """Whether the session was confirmed less than a second ago."""
        return (
            hash not in self._ended
            and time.monotonic() - self._confirmed.get(hash, float("-inf")) < FRESH
            and time.time() < self._ends.get(hash, 0)
        )

    async def confirmed(self, hash: str) -> None:
        """Return once the session is known to live; wait while the store is silent. Raises SessionEnded."""
        if self.alive(hash):
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self.alive(hash) or hash in self._ended or hash not in self._watched)
        if not self.alive(hash):
            raise SessionEnded(self._ended.get(hash, EndReason.ENDED))

    async def ended(self, hash: str) -> EndReason:
        """Return, with the reason, once the session is known to have ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: hash in self._ended or hash not in self._watched)
        return self._ended.get(hash, EndReason.ENDED)

    async def run(self) -> None:
        """Confirm for ever; cancel to stop."""
        while True:
            started = time.monotonic()
            await self.check()
            await asyncio.sleep(max(0.05, PERIOD - (time.monotonic() - started)))

    async def check(self) -> None:
        """Ask once about every watched session."""
        asked, hashes = time.monotonic(), tuple(self._watched)
        try:
            async with asyncio.timeout(DEADLINE):
                answers = await self._sessions.confirm(hashes)
        except (StoreError, TimeoutError):
            return
        async with self._changed:
            for hash, reason in answers.items():
                if hash in self._watched:
                    self._note(hash, self._verdict(hash, reason), asked)
            self._changed.notify_all()

    def _verdict(self, hash: str, reason: EndReason | None) -> EndReason | None:
        return EndReason.AGE if reason is None and time.time() >= self._ends[hash] else reason

    def _note(self, hash: str, reason: EndReason | None, asked: float) -> None:
        if reason is None:
            self._confirmed[hash] = asked
        elif hash not in self._ended:
            self._ended[hash] = reason
            for listener in self._listeners:
                listener(hash, reason)
