"""The guests as rows: what a person sees of each, and in which order. Made once for each picture and language.

All tabs that show the same picture share them; they go with the last of these. A row's text is made when somebody
looks at it, an order when somebody asks for it: of ten thousand guests most are never looked at.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from weakref import WeakValueDictionary

from services.proxmox import Guest
from ui import text
from ui.guest_search import TROUBLED, Search, state_of
from ui.language import language
from ui.units import percent, share, size, uptime

MOST_ORDERS = 32
"""Searches and sortings that are kept for one picture."""

MOST_LETTERS = 64
"""Of a name, by which it is sorted: no host name has more."""

Cell = str | int
Row = tuple[Cell, ...]
"""vmid, type, name, node, state, lock, CPU as text and per cent, memory so too, disk so too, uptime, tags, pool.

What is not known is a dash, and -1 per cent. `assets/guests.js` reads them by their places.
"""

_STATES = ("running", *TROUBLED, "paused", "suspended", "prelaunch", "unknown", "stopped", "template")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """By which column; guests of which that is not known come last both ways, equal ones by their numbers."""

    column: str = "vmid"
    descending: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.column}"


def sorting_of(words: str) -> Sorting:
    """What an address says, `-cpu` for example; by number where it makes no sense."""
    column = words.removeprefix("-")
    return Sorting(column=column, descending=words.startswith("-")) if column in _VALUES else Sorting()


class GuestRows:
    """All guests of one picture, in one language."""

    def __init__(self, guests: tuple[Guest, ...]) -> None:
        self.guests = guests
        self._rows: dict[int, Row] = {}
        self._sorted: dict[Sorting, Sequence[Guest]] = {}
        self._orders: dict[tuple[str, Sorting], Sequence[Guest]] = {}

    @cached_property
    def states(self) -> Counter[str]:
        """How many guests are in each state; templates are none."""
        return Counter(guest.status for guest in self.guests if not guest.template)

    @cached_property
    def names(self) -> Mapping[int, str]:
        """What each guest is called, by vmid."""
        return {guest.vmid: _name(guest) for guest in self.guests}

    def order(self, search: Search, sorting: Sorting) -> Sequence[Guest]:
        """The guests that a search leaves, sorted."""
        key = search.words, sorting
        if key not in self._orders:
            ordered = self._sort(sorting)
            found = [guest for guest in ordered if search(guest)] if search.tests else ordered
            self._orders[key] = found
            _forget_oldest(self._orders)
        return self._orders[key]

    def row(self, guest: Guest) -> Row:
        """What is seen of a guest."""
        if guest.vmid not in self._rows:
            self._rows[guest.vmid] = _row(guest)
        return self._rows[guest.vmid]

    def _sort(self, sorting: Sorting) -> Sequence[Guest]:
        if sorting not in self._sorted:
            self._sorted[sorting] = _by_value(self.guests, sorting)
        return self._sorted[sorting]


_shared: WeakValueDictionary[tuple[int, str], GuestRows] = WeakValueDictionary()


def rows_of(guests: tuple[Guest, ...]) -> GuestRows:
    """The rows of these guests, in the language of whoever asks. They hold the guests, so that the id stays theirs."""
    key = id(guests), language()
    rows = _shared.get(key)
    if rows is None:
        rows = _shared[key] = GuestRows(guests)
    return rows


def _by_value(guests: Sequence[Guest], sorting: Sorting) -> Sequence[Guest]:
    value_of = _VALUES[sorting.column]
    valued = [(value_of(guest), guest) for guest in sorted(guests, key=_number)]
    known = sorted((pair for pair in valued if pair[0] is not None), key=_first, reverse=sorting.descending)
    return [guest for _, guest in known] + [guest for value, guest in valued if value is None]


def _first(pair: tuple[Any, Guest]) -> Any:
    return pair[0]


def _number(guest: Guest) -> int:
    return guest.vmid


@lru_cache(maxsize=32_768)
def _natural(words: str) -> tuple[tuple[int, int, str], ...]:
    """Names as people sort them: web9 before web10. What comes after the first letters is not looked at."""
    parts = _DIGITS.split(words[:MOST_LETTERS].casefold())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def _state(guest: Guest) -> tuple[int, str]:
    state = state_of(guest)
    return _STATES.index(state) if state in _STATES else len(_STATES), state


def _while_running(guest: Guest, value: float | None) -> float | None:
    """A guest that is off uses nothing, which is no figure to be sorted by."""
    return value if guest.on else None


_VALUES: dict[str, Callable[[Guest], object]] = {
    "name": lambda guest: _natural(_name(guest)),
    "vmid": _number,
    "node": lambda guest: _natural(guest.node),
    "state": _state,
    "cpu": lambda guest: _while_running(guest, guest.cpu),
    "memory": lambda guest: _while_running(guest, guest.mem),
    "disk": lambda guest: guest.maxdisk,
    "uptime": lambda guest: _while_running(guest, guest.uptime),
    "tags": lambda guest: guest.tags or None,
    "pool": lambda guest: _natural(guest.pool) if guest.pool else None,
}
SORTED_BY = tuple(_VALUES)
"""The columns that guests can be sorted by."""

BIGGEST_FIRST = {"cpu", "memory", "disk", "uptime"}
"""Those of which people want to see the biggest first."""


def _row(guest: Guest) -> Row:
    memory = share(guest.mem, guest.maxmem) if guest.on else None
    used = share(guest.disk or None, guest.maxdisk)  # of a virtual machine's disk Proxmox says 0
    return (
        guest.vmid,
        text.CONTAINER if guest.type == "lxc" else text.VIRTUAL_MACHINE,
        _name(guest),
        guest.node,
        state_of(guest),
        guest.lock,
        percent(guest.cpu) if guest.on else text.UNKNOWN,
        _bar(guest.cpu if guest.on else None),
        size(guest.mem) if guest.on else text.UNKNOWN,
        _bar(memory),
        size(guest.maxdisk or None),
        _bar(used),
        uptime(guest.uptime) if guest.on and guest.uptime else text.UNKNOWN,
        ";".join(guest.tags),
        guest.pool,
    )


def _name(guest: Guest) -> str:
    return guest.name or str(guest.vmid)


def _bar(part: float | None) -> int:
    return -1 if part is None else round(100 * min(max(part, 0), 1))


def _forget_oldest(kept: dict[Any, Any]) -> None:
    while len(kept) > MOST_ORDERS:
        del kept[next(iter(kept))]
