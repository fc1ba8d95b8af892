"""What became of many calls, some of them cut half way."""

import asyncio
import random as _random
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from functools import partial
from types import coroutine
from typing import Any

from services.sessions import Session

random = _random.Random(1)  # noqa: S311 - the same mix every time
AWAITS, LONGEST_SECONDS = (1, 1, 1, 2, 2, 2, 3, 4, 6, 9), 0.004
"""A call to the store alone waits about twice, one to Proxmox more often."""


@dataclass
class Person:
    """A user and their sessions, by the hash of the id; `count` has those too that are just beginning."""

    number: int
    userid: str
    sessions: dict[str, Session] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)
    count: int = 0


class Ledger:
    """Counts calls: those that were cut, that failed, that were told to come again; and says what was wrong."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.cut = 0
        self.later = 0

    @property
    def calls(self) -> int:
        """All of them."""
        return self.kinds.total()

    @property
    def failed(self) -> int:
        """Those that nobody cut and that had no answer."""
        return self.troubles.total()

    async def note(self, kind: str, call: Coroutine[None, None, None], *, cut: bool) -> None:
        """Make one call, and cancel it somewhere on its way if it is to be cut."""
        self.kinds[kind] += 1
        at_await = cut and random.random() < 0.5
        task = asyncio.ensure_future(_cut_at(call, random.choice(AWAITS)) if at_await else call)
        if cut and not at_await:
            await asyncio.wait({task}, timeout=random.uniform(0, LONGEST_SECONDS))
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.cut += 1
        except Exception as exc:  # noqa: BLE001 - counted, and told
            self.troubles[f"{kind}: {type(exc).__name__}"] += 1

    def tell(self, name: str, seconds: float) -> None:
        """Print it."""
        print(f"{name}: {self.calls} calls in {seconds:.0f} s, {self.cut} cut half way, {self.failed} failed, "
              f"{len(self.wrong)} wrong")  # fmt: skip
        print(f"  {dict(self.kinds)}" + (f"; {self.later} told to come again" if self.later else ""))
        for trouble, count in self.troubles.most_common(5):
            print(f"  failed: {trouble} {count} times")
        for wrong, count in Counter(self.wrong).most_common(3):
            print(f"  WRONG: {wrong} {count} times")


@coroutine
def _cut_at(call: Coroutine[Any, Any, None], awaits: int) -> Generator[Any, Any, None]:
    """Run a call to its so-manieth await that has to wait, and cancel it there: what it waits for is still to come."""
    step: Callable[[], Any] = partial(call.send, None)
    while True:
        try:
            waits_for = step()
        except StopIteration:
            return
        awaits -= 1
        if awaits == 0 and (task := asyncio.current_task()):
            task.cancel()
        try:
            yield waits_for
            step = partial(call.send, None)
        except BaseException as exc:  # noqa: BLE001 - for the call to see to
            step = partial(call.throw, exc)
