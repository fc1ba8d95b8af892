"""When jobs run: the part of systemd's calendar events that backup jobs are written in, in UTC.

`21:00`, `mon..fri 02:30`, `sat,sun 4:15`, `*/2:00`, `*:0/30`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 86_400
_EVENT = re.compile(r"(?:([a-z,.]+)\s+)?([\d*,./]+):([\d*,./]+)")
_FAR = 400  # days


@dataclass(frozen=True, slots=True)
class Schedule:
    """Days of the week, 0 is Monday, and minutes of the day."""

    days: frozenset[int]
    minutes: tuple[int, ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError when it is not understood."""
        found = _EVENT.fullmatch(text.strip().lower())
        if not found:
            raise ValueError(f"unable to parse calendar event '{text}'")
        hours, minutes = _numbers(found[2], 24), _numbers(found[3], 60)
        return cls(_days(found[1] or "mon..sun"), tuple(hour * 60 + minute for hour in hours for minute in minutes))

    def after(self, moment: float) -> Iterator[int]:
        """Every run after a moment (Unix seconds), soonest first."""
        today = int(moment // _DAY)
        for day in range(today, today + _FAR):
            yield from (run for run in self._on(day) if run > moment)

    def until(self, moment: float) -> Iterator[int]:
        """Every run up to a moment, latest first."""
        today = int(moment // _DAY)
        for day in range(today, today - _FAR, -1):
            yield from (run for run in reversed(self._on(day)) if run <= moment)

    def between(self, begin: float, end: float) -> list[int]:
        """Every run after `begin` and up to `end`."""
        runs: list[int] = []
        for run in self.after(begin):
            if run > end:
                break
            runs.append(run)
        return runs

    def _on(self, day: int) -> list[int]:
        # The first day of Unix time was a Thursday.
        return [day * _DAY + minute * 60 for minute in self.minutes] if (day + 3) % 7 in self.days else []


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for piece in text.split(","):
        first, _, last = piece.partition("..")
        begin, end = _DAYS.index(first[:3]), _DAYS.index((last or first)[:3])
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(days)


def _numbers(text: str, limit: int) -> list[int]:
    """Numbers below a limit: `3`, `1,2`, `1..5`, `*`, `*/2`, `0/30`. Raises ValueError."""
    found: set[int] = set()
    for piece in text.split(","):
        where, _, step = piece.partition("/")
        first, to, last = where.partition("..")
        begin = 0 if first == "*" else int(first)
        end = int(last) if to else limit - 1 if first == "*" or step else begin
        found.update(range(begin, end + 1, int(step or 1)))
    if not all(number < limit for number in found):
        raise ValueError(text)
    return sorted(found)
