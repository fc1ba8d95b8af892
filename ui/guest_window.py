"""What one tab sees of the list of guests: its search and order, and the rows in view. It sends no more than these.

The browser asks for blocks of rows and says which rows are in view. At each new picture it gets those of them whose
text has changed. Rows further off may be old in the browser; they are put right as they come into view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.proxmox import Guest
from ui.guest_rows import GuestRows, Row, Sorting, sorting_of
from ui.guest_search import LONGEST, Search, understand

BLOCK = 50
MOST_BLOCKS = 12
"""Rows that are asked for together, and how many such blocks a tab may ask for at once and hold."""

_Index = Annotated[int, Field(ge=0, le=1_000_000)]


class Asked(BaseModel):
    """What the browser asks: rows from these on, in that order, for a search; `number` comes back with the answer."""

    model_config = ConfigDict(strict=True, frozen=True)

    number: int
    search: Annotated[str, Field(max_length=LONGEST)]
    sort: Annotated[str, Field(max_length=20)]
    blocks: Annotated[list[_Index], Field(max_length=MOST_BLOCKS)]
    first: _Index
    last: _Index
    opened: bool = False
    """Whether the tab shows the block that stood in its page."""

    addresses: bool = False
    """Whether the column with the guests' addresses is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the browser gets: how many guests there are, blocks by their first rows, single rows by their places."""

    number: int
    count: int
    blocks: Sequence[tuple[int, Sequence[Row]]] = ()
    rows: Sequence[tuple[int, Row]] = ()

    def data(self) -> dict[str, object]:
        """As JSON has it."""
        return {"number": self.number, "count": self.count, "blocks": self.blocks, "rows": self.rows}


def read(asked: object) -> Asked | None:
    """What a browser sent; None where it makes no sense."""
    try:
        return Asked.model_validate(asked)
    except ValidationError:
        return None


class Window:
    """One tab's view."""

    def __init__(self, search: Search, sorting: Sorting) -> None:
        self.search = search
        self.sorting = sorting
        self.count = 0
        self.addresses = False
        self._number: int = 0
        self._view = range(0)
        self._due: list[int] = []
        self._held: dict[int, dict[int, Row]] = {}
        """By block, the rows as the browser has them."""

    def opening(self, rows: GuestRows) -> Sent:
        """The first block and the count, for the page itself: its tab need not wait for an answer."""
        order = rows.order(self.search, self.sorting)
        self.count = len(order)
        return Sent(number=0, count=self.count, blocks=[(0, self._block(rows, order, 0))])

    def ask(self, asked: Asked) -> None:
        """A new question, which the next answer is for."""
        if asked.number != self._number:
            self._number = asked.number
            self.search, self.sorting = understand(asked.search), sorting_of(asked.sort)
            self._due.clear()
            if not asked.opened:
                self._held.clear()
        self.addresses = asked.addresses
        self._view = range(asked.first, min(asked.last, asked.first + BLOCK * MOST_BLOCKS) + 1)
        self._due = [*dict.fromkeys([*self._due, *map(_start, asked.blocks)])][-MOST_BLOCKS:]

    def answer(self, rows: GuestRows) -> Sent | None:
        """What the tab has to be sent after a question; None for nothing new."""
        return self._sending(rows, unasked=())

    def refresh(self, rows: GuestRows) -> Sent | None:
        """What the tab has to be sent for new rows; None for nothing new, or before it has asked.

        A list that has grown or shrunk may bring blocks into view that the tab has not: they come unasked.
        """
        count = len(rows.order(self.search, self.sorting))
        return self._sending(
            rows, unasked=[start for start in _starts(self._in_view(count)) if start not in self._held]
        )

    def _sending(self, rows: GuestRows, unasked: Sequence[int]) -> Sent | None:
        if not self._number:
            return None
        order = rows.order(self.search, self.sorting)
        due, self._due = dict.fromkeys([*self._due, *unasked]), []
        self._held = {start: held for start, held in self._held.items() if start < len(order)}
        blocks = [(start, self._block(rows, order, start)) for start in due]
        sent = Sent(number=self._number, count=len(order), blocks=blocks, rows=self._changed(rows, order))
        if sent.count == self.count and not sent.blocks and not sent.rows:
            return None
        self.count = sent.count
        return sent

    def in_view(self, rows: GuestRows) -> Sequence[Guest]:
        """The guests whose rows are in view."""
        order = rows.order(self.search, self.sorting)
        view = self._in_view(len(order))
        return order[view.start : view.stop]

    def _in_view(self, count: int) -> range:
        """The rows in view once the list has got that long: one that has shrunk shows its end."""
        size = len(self._view)
        first = min(self._view.start, max(0, count - size))
        return range(first, min(first + size, count))

    def _block(self, rows: GuestRows, order: Sequence[Guest], start: int) -> list[Row]:
        block = [rows.row(guest) for guest in order[start : start + BLOCK]]
        self._held.pop(start, None)
        self._held[start] = dict(enumerate(block, start))
        while len(self._held) > MOST_BLOCKS:
            del self._held[next(iter(self._held))]
        return block

    def _changed(self, rows: GuestRows, order: Sequence[Guest]) -> list[tuple[int, Row]]:
        changed: list[tuple[int, Row]] = []
        for index in self._in_view(len(order)):
            held, row = self._held.get(_start(index)), rows.row(order[index])
            if held is not None and held.get(index) != row:
                held[index] = row
                changed.append((index, row))
        return changed


def _start(index: int) -> int:
    return index - index % BLOCK


def _starts(view: range) -> list[int]:
    return list(range(_start(view.start), view.stop, BLOCK)) if view else []
