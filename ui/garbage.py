"""When Python goes through everything there is, looking for what only holds itself.

With a hundred pages open that takes a fifth of a second, in which nobody is answered; left to itself Python does it
while most is made, which is in the middle of a rush, and most often finds nothing. So it waits for a quiet second.
"""

import asyncio
import gc
import time

PERIOD = 1.0

QUIET = 0.3
"""The most of a core that we take in a second which is quiet."""

MOST_SHARE = 0.01
"""Of the time may be spent so where it is quiet: the more there is, the less often it is gone through."""

MOST_MADE = 100
"""Collections of the young until it is done whether it is quiet or not: with Python's thresholds 770,000 objects that
were made since and are still there, garbage or not, which is some hundred megabytes."""

_FEW_MADE = 10  # Python's own
_NEVER = 1_000_000


async def collect_in_quiet() -> None:
    """Until cancelled; then Python does again as it likes."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    took = since = spent = 0.0
    try:
        while True:
            before, spent = spent, time.process_time()
            made = gc.get_count()[2]
            quiet = spent - before <= QUIET * PERIOD and time.monotonic() - since >= took / MOST_SHARE
            if made >= MOST_MADE or (made >= _FEW_MADE and quiet):
                begun = time.monotonic()
                gc.collect()
                since = time.monotonic()
                took, spent = since - begun, time.process_time()
            await asyncio.sleep(PERIOD)
    finally:
        gc.set_threshold(young, middle, old)
