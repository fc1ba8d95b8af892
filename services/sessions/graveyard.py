"""What this process knows to have ended, for the store that has forgotten it: a replica that was promoted before it
heard of an end, a copy that somebody brought back.
"""

import time
from collections import OrderedDict

from services.errors import EndReason

MOST = 100_000
"""Sessions remembered; the oldest are forgotten first."""


class Graveyard:
    """Remembers, by the hash of its id, why a session ended, for as long as it could have lived."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ended: OrderedDict[str, tuple[float, EndReason]] = OrderedDict()

    def add(self, hash: str, reason: EndReason) -> bool:
        """Remember an end; the first reason stays. Whether it was news."""
        self._forget_old()
        if hash in self._ended:
            return False
        self._ended[hash] = (time.monotonic() + self._seconds, reason)
        return True

    def reason(self, hash: str) -> EndReason | None:
        """Why it ended, None for a session that is not known to have."""
        if (found := self._ended.get(hash)) is None:
            return None
        until, reason = found
        return reason if until > time.monotonic() else None

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._ended and (len(self._ended) >= MOST or next(iter(self._ended.values()))[0] <= now):
            self._ended.popitem(last=False)
