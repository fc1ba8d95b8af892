"""How long to wait between two questions: never in step with other pollers, and never in a storm."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress

QUICK, IDLE, HIDDEN = 3.0, 5.0, 30.0
"""Seconds from one answer to the next question: while a task runs, otherwise, and while every tab is hidden."""

SOON = 0.5
"""Seconds to the next question once something has changed that we know of."""

SLOWEST = 8.0
"""Seconds to the next question while Proxmox does not answer, at the most, unless it is a slower time anyway."""


_MOST_STEPS = 10  # of slowing down, long past SLOWEST: 1.5 to the power of a night's failures is no float


def period(*, hidden: bool, busy: bool, failures: int) -> float:
    """The seconds to the next question after so many failures in a row."""
    if hidden:
        return HIDDEN
    usual = QUICK if busy else IDLE
    return max(usual, min(QUICK * 1.5 ** min(failures, _MOST_STEPS), SLOWEST)) if failures else usual


class Rest:
    """A wait that can become shorter: who stirs it has the seconds reckoned anew."""

    def __init__(self) -> None:
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Things have changed."""
        self._stirred.set()

    async def wait(self, seconds: Callable[[], float]) -> None:
        """Until so many seconds, and up to a seventh less, have passed since this was called."""
        begun, part = time.monotonic(), random.uniform(0.85, 1)  # noqa: S311 - no secret
        while (left := begun + part * seconds() - time.monotonic()) > 0:
            self._stirred.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._stirred.wait()
