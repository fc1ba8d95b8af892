"""When Python goes through everything there is, looking for what only holds itself.

With a hundred pages open that takes a fifth of a second, in which nobody is answered; left to itself Python does it
while most is made, which is in the middle of a rush, and most often finds nothing. So it waits for a quiet second.
From 3.14 on Python looks at a part at a time, and is left to itself.
"""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path

PERIOD = 1.0

QUIET = 0.3
"""The most of a core that we take in a second which is quiet."""

MOST_SHARE, MOST_OF_A_RUSH = 0.01, 0.05
"""Of the time may be spent so: the more there is, the less often it is gone through."""

MOST_MADE = 100
"""Collections of the middle generation until it is done in a rush too: with Python's thresholds 770,000 objects have
outlived their first moment since, some hundred megabytes where they are all still there."""

MOST_GROWN = 128 * 1024 * 1024
"""Bytes by which the process has grown until it is done in a rush too: few objects may hold much."""

LONGEST = 30.0
"""Seconds after which it is done in any quiet one: what was let go last, such as closed pages, is garbage too."""

_FEW_MADE = 10  # Python's own
_NEVER = 1_000_000


async def collect_in_quiet() -> None:
    """Until cancelled; then Python does again as it likes."""
    if sys.version_info >= (3, 14):
        return
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    took, spent, since, size = 0.0, 0.0, time.monotonic(), _resident()
    try:
        while True:
            before, spent, now = spent, time.process_time(), _resident()
            size = min(size, now)
            quiet, rest = spent - before <= QUIET * PERIOD, time.monotonic() - since
            few, share = (_FEW_MADE, MOST_SHARE) if quiet else (MOST_MADE, MOST_OF_A_RUSH)
            due = gc.get_count()[2] >= few or (quiet and rest >= LONGEST) or now - size >= MOST_GROWN
            if due and rest >= took / share:
                begun = time.monotonic()
                gc.collect()
                since = time.monotonic()
                took, spent, size = since - begun, time.process_time(), _resident()
            await asyncio.sleep(PERIOD)
    finally:
        gc.set_threshold(young, middle, old)


def _resident() -> int:
    """Bytes of the process in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
