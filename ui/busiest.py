"""The guests that work hardest, a few of them: on a small cluster that is all there are."""

from services.proxmox import Guest
from ui import text
from ui.facts import section
from ui.guest_rows import Row, Sorting, rows_of
from ui.guest_search import understand
from ui.links import guest_address, guests_address
from ui.theme import Tag, dot
from ui.units import number

SHOWN = 10
_BY_CPU = Sorting(column="cpu", descending=True)


class Busiest:
    """A table; what has not changed of it is not sent."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._all = Tag("section")
        with self._all:
            self._draw()

    def _draw(self) -> None:
        self._count = section(text.BUSIEST_GUESTS)
        with Tag("table", "", {"aria-label": text.GUESTS}, classes="pg-busiest"):
            with Tag("thead"), Tag("tr"):
                for title in _titles():
                    Tag("th", title, {"scope": "col"})
            self._body = Tag("tbody")
        self._more = Tag("a", "", {"href": guests_address()}, classes="pg-button pg-quiet pg-inline")

    def show(self, guests: tuple[Guest, ...]) -> None:
        """Draw what is new."""
        rows = rows_of(guests)
        chosen = rows.order(understand(""), _BY_CPU)[:SHOWN]
        while len(self._lines) > len(chosen):
            self._lines.pop().delete()
        with self._body:
            self._lines += [_Line() for _ in chosen[len(self._lines) :]]
        for line, guest in zip(self._lines, chosen, strict=True):
            line.show(rows.row(guest))
        running, real = rows.states["running"], rows.states.total()
        self._count.set_text(text.GUESTS_RUNNING.format(running=number(running), count=number(real)))
        self._all.set_visibility(bool(guests))
        self._more.set_text(text.ALL_GUESTS.format(count=number(len(guests))))
        self._more.set_visibility(len(guests) > SHOWN)


class _Line:
    """One row of the table."""

    def __init__(self) -> None:
        self._row: Row = ()
        with Tag("tr") as self._all:
            with Tag("td"):
                self._type = Tag("span", "", classes="pg-type")
                with Tag("a", "", classes="pg-name") as self._link:
                    self._name = Tag("bdi")
            self._node = Tag("td")
            with Tag("td"):
                self._dot = Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                self._state = Tag("span")
            self._cpu = Tag("td", "", {"data-label": text.COLUMN_CPU})
            self._memory = Tag("td", "", {"data-label": text.COLUMN_MEMORY})

    def show(self, row: Row) -> None:
        """Say what has changed."""
        if row == self._row:
            return
        self._row = row
        vmid, kind, name, node, state, _, cpu, _, memory, *_ = map(str, row)
        self._type.set_text(kind)
        self._link.lead(guest_address(int(vmid)))
        self._name.set_text(name)
        self._node.set_text(node)
        self._dot.classes(replace=dot(state))
        self._state.set_text(text.state(state))
        self._cpu.set_text(cpu)
        self._memory.set_text(memory)

    def delete(self) -> None:
        """Take the row away."""
        self._all.delete()


def _titles() -> tuple[str, ...]:
    return text.COLUMN_NAME, text.COLUMN_NODE, text.COLUMN_STATE, text.COLUMN_CPU, text.COLUMN_MEMORY
