"""The simulated clock."""

import asyncio
import time


class Clock:
    """Starts at the real time and runs `speed` times as fast; `advance` moves it by hand."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._origin = time.time()
        self._started = time.monotonic()
        self._advanced = 0.0

    @property
    def began(self) -> float:
        """Unix seconds of the start."""
        return self._origin

    def elapsed(self) -> float:
        """Simulated seconds since the start."""
        return (time.monotonic() - self._started) * self._speed + self._advanced

    def now(self) -> float:
        """Simulated Unix time in seconds."""
        return self._origin + self.elapsed()

    def shown(self) -> float:
        """The real time as far as it was not moved by hand: a hurried clock would look like one gone wrong."""
        return time.time() + self._advanced

    def advance(self, seconds: float) -> None:
        """Move the clock by so many simulated seconds, backwards when negative."""
        self._advanced += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        await asyncio.sleep(seconds / self._speed)
