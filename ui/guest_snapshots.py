"""The snapshots of one guest: a list that can be gone back to, and one more that can be taken."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nicegui import ui

from services.actions import DeleteSnapshot, Order, RollBack, TakeSnapshot
from services.proxmox import Snapshot, Snapshots
from services.snapshots import fault_of_name, lines
from ui import text
from ui.facts import long_words, section
from ui.fields import check_field, text_field, typed
from ui.guest_parts import Details
from ui.guest_questions import Questions
from ui.lacking import Lacking
from ui.orders import Orders
from ui.part import Part
from ui.pending import Pending
from ui.theme import Tag
from ui.units import iso, number, utc

MOST_SNAPSHOTS, DEEPEST = 100, 4
LONGEST_NAME, LONGEST_DESCRIPTION = 40, 4000
_BUTTON = "pg-button pg-quiet pg-order"


class SnapshotsPart(Part[Snapshots]):
    """Drawn anew only when they have changed; of a template there are none."""

    def __init__(self, ask: Questions, orders: Orders, after: Details) -> None:
        super().__init__(
            self._draw_snapshots,
            ask.snapshots,
            about=lambda: ask.about and not ask.about.template and ask.about,
            of_node=lambda: ask.node,
            after=after,
        )
        self._orders = orders
        self._shown: Snapshots | None = None
        self._marks: list[Callable[[], None]] = []
        with self:
            self._lacking = Lacking()
            with ui.element("div").classes("pg-section-line"):
                self._count = section(text.SNAPSHOTS)
                self._take = Tag("button", text.order(TakeSnapshot.name), {"type": "button"}, classes=_BUTTON)
                Pending(orders)
            self._none = Tag("p", text.NO_SNAPSHOTS, classes="pg-box")
            self._list = Tag("ul", "", {"role": "list"}, classes="pg-rows pg-snapshots")
            self._more = Tag("p", "", classes="pg-hint pg-below")
        self._take.on("click", self._ask_and_take, args=[])
        for place in (self._list, self._more):
            place.set_visibility(False)
        orders.on_news(self._mark)

    def _draw_snapshots(self, snapshots: Snapshots) -> None:
        if snapshots == self._shown:
            return
        self._shown = snapshots
        drawn = lines(snapshots)
        self._count.set_text(number(len(snapshots.all)) if snapshots.all else "")
        self._none.set_visibility(not snapshots.all)
        self._list.set_visibility(bool(snapshots.all))
        self._more.set_visibility(len(drawn) > MOST_SNAPSHOTS)
        self._more.set_text(text.OLDER_SNAPSHOTS.format(count=number(len(drawn) - MOST_SNAPSHOTS)))
        self._list.clear()
        self._marks.clear()
        with self._list:
            for line in drawn[-MOST_SNAPSHOTS:]:
                with Tag("li", "", classes="pg-row").style(f"--pg-depth: {min(line.depth, DEEPEST)}"):
                    self._draw_row(line.snapshot) if line.snapshot else _draw_now()
        self._mark()

    def _draw_row(self, one: Snapshot) -> None:
        with ui.element("div").classes("pg-row-main"):
            with ui.element("div").classes("pg-row-title"):
                with Tag("h3"):
                    Tag("bdi", one.name)
                if one.vmstate:
                    Tag("span", text.WITH_MEMORY, classes="pg-tag")
            if one.snaptime is not None:
                moment = {"datetime": iso(one.snaptime)}
                Tag("time", text.UTC.format(moment=utc(one.snaptime)), moment, classes="pg-exact pg-hint")
            long_words(one.description)
        with ui.element("div").classes("pg-row-buttons"):
            self._button(text.ROLL_BACK, RollBack(one.name), one.name)
            self._button(text.DELETE, DeleteSnapshot(one.name), one.name)

    def _button(self, label: str, order: Order, name: str) -> None:
        attributes = {"type": "button", "aria-label": text.BUTTON_ABOUT.format(button=label, what=name)}
        button = Tag("button", label, attributes, classes=f"{_BUTTON} pg-small")
        button.on("click", partial(self._orders.ask_and_give, order, danger=True, about=name), args=[])
        self._marks.append(partial(self._mark_one, button, order))

    def _mark(self) -> None:
        """What one may not do is grey, and all is while something is done with the guest."""
        self._take.set_visibility(not self._orders.busy)
        self._mark_one(self._take, TakeSnapshot(snapshot=""))
        for mark in self._marks:
            mark()

    def _mark_one(self, button: Tag, order: Order) -> None:
        need = self._orders.lacking(order)
        self._lacking.mark(button, need, self._orders.rights.principal, waits=self._orders.busy)

    async def _ask_and_take(self) -> None:
        guest = self._orders.guest
        runs = guest is not None and guest.type == "qemu" and guest.on
        form = TakeForm(lambda: {one.name for one in self._shown.all} if self._shown else set(), runs=runs)
        await self._orders.ask_and_give(form.order(), form=form)


class TakeForm:
    """What a snapshot that is taken now is called, and what it holds."""

    def __init__(self, taken: Callable[[], set[str]], *, runs: bool) -> None:
        self._taken = taken
        self._runs = runs
        self._fields: _Fields | None = None

    def draw(self) -> None:
        """A virtual machine that runs has a memory, too."""
        self._fields = _Fields(
            name=text_field(text.SNAPSHOT_NAME, longest=LONGEST_NAME, hint=text.SNAPSHOT_NAME_HINT).props("autofocus"),
            description=text_field(text.SNAPSHOT_DESCRIPTION, longest=LONGEST_DESCRIPTION, lines=True),
            memory=check_field(text.SNAPSHOT_MEMORY, text.SNAPSHOT_MEMORY_HINT) if self._runs else None,
        )

    def check(self) -> bool:
        """What is wrong with the name stands below it."""
        if self._fields is None:
            return False
        fault = fault_of_name(self.order().snapshot, self._taken())
        self._fields.name.error = text.name_fault(fault) if fault else None
        return fault is None

    def order(self) -> TakeSnapshot:
        """As filled in."""
        if self._fields is None:
            return TakeSnapshot(snapshot="")
        return TakeSnapshot(
            snapshot=typed(self._fields.name),
            description=typed(self._fields.description)[:LONGEST_DESCRIPTION],
            memory=self._fields.memory is not None and bool(self._fields.memory.value),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    name: ui.input | ui.textarea
    description: ui.input | ui.textarea
    memory: ui.checkbox | None


def _draw_now() -> None:
    """Where the guest stands."""
    with ui.element("div").classes("pg-row-main pg-now"):
        Tag("b", text.SNAPSHOT_NOW)
        Tag("span", text.SNAPSHOT_NOW_WHAT, classes="pg-hint")
