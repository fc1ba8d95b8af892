"""The charts of a node, a guest or the cluster, and the switch for how far back they go: `?span=day` in the address."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import ui

from services.feed import Feed
from services.proxmox import Series, Timeframe
from services.sessions import Session
from ui import text
from ui.charts import Chart, Unit
from ui.part import Part
from ui.sight import regularly
from ui.theme import Tag

REFRESH_SECONDS = 60
"""Proxmox notes a figure each minute."""

FRESH = 0.8
"""The share of a period for which an answer is as good as new: the next time it is asked anew."""

SPANS: tuple[Timeframe, ...] = ("hour", "day", "week", "month", "year")

Ask = Callable[[Timeframe], Awaitable[Series]]


class Curves:
    """Charts over one span of time. `ask` gets their curves; `charts` draws them, and is called once.

    `about` and `of_node` are as those of a `Part`.
    """

    def __init__(
        self,
        span: str,
        ask: Ask,
        charts: Callable[[], Sequence[Chart]],
        *,
        about: Callable[[], object] = lambda: True,
        of_node: Callable[[], str] = lambda: "",
    ) -> None:
        self._ask = ask
        self._span: Timeframe = _span(span)
        self._part = Part(self._show, lambda: self._ask(self._span), about=about, of_node=of_node)
        with self._part.head:
            self._buttons = self._switch()
        with self._part:
            with ui.element("div").classes("pg-charts"):
                self._charts = charts()
            self._nothing = Tag("p", text.NO_CURVES, classes="pg-hint")
        self._nothing.set_visibility(False)
        self._refresh_soon = regularly(REFRESH_SECONDS, self._part.refresh)

    def refresh_soon(self) -> None:
        """Ask anew, at once in a tab that is seen."""
        self._refresh_soon()

    def _show(self, series: Series) -> None:
        drawn = [chart.show(series) for chart in self._charts]
        self._nothing.set_visibility(not any(drawn))

    def _switch(self) -> dict[Timeframe, Tag]:
        with Tag("div", "", {"role": "group", "aria-label": text.SPAN}, classes="pg-spans pg-picker"):
            return {span: self._button(span) for span in SPANS}

    def _button(self, span: Timeframe) -> Tag:
        pressed = str(span == self._span).lower()
        button = Tag("button", text.span(span), {"type": "button", "aria-pressed": pressed})
        named = "" if span == SPANS[0] else span
        remember = f"() => {{ proxgate.setAddress('span', '{named}'); emit(); }}"
        return button.on("click", partial(self._choose, span), js_handler=remember)

    async def _choose(self, span: Timeframe) -> None:
        """The curves of another span are none for this one."""
        if span == self._span:
            return
        self._span = span
        self._part.forget()
        for one, button in self._buttons.items():
            button.props["aria-pressed"] = str(one == span).lower()
            button.update()
        await self._part.refresh()


async def ask_node(feed: Feed, session: Session, node: str, span: Timeframe) -> Series:
    """A node's curves, once for all pages that show them."""
    key = ("node", node, "curves", span)
    return await feed.ask(session, key, lambda proxmox: proxmox.node_curves(node, span), FRESH * REFRESH_SECONDS)


def node_charts() -> Sequence[Chart]:
    """CPU, memory and network of a node, or of many as one."""
    return (
        Chart(text.CHART_CPU, Unit.SHARE, {"cpu": text.CURVE_CPU}),
        Chart(text.CHART_MEMORY, Unit.BYTES, {"memused": text.CURVE_USED}, limit=("memtotal", text.CURVE_INSTALLED)),
        _network(),
    )


def guest_charts() -> Sequence[Chart]:
    """CPU, memory, network and disk of a guest."""
    return (
        Chart(text.CHART_CPU, Unit.SHARE, {"cpu": text.CURVE_CPU}),
        Chart(text.CHART_MEMORY, Unit.BYTES, {"mem": text.CURVE_USED}, limit=("maxmem", text.CURVE_ASSIGNED)),
        _network(),
        Chart(text.CHART_DISK, Unit.RATE, {"diskread": text.CURVE_READ, "diskwrite": text.CURVE_WRITE}),
    )


def _network() -> Chart:
    return Chart(text.CHART_NETWORK, Unit.RATE, {"netin": text.CURVE_IN, "netout": text.CURVE_OUT})


def _span(words: str) -> Timeframe:
    """What an address says, the last hour where it makes no sense."""
    found: dict[str, Timeframe] = {one: one for one in SPANS}
    return found.get(words, SPANS[0])
