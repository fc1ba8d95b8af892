"""Charts: one draws curves of Proxmox's own past (`services/proxmox/rrd.py`), in the browser's zone and colours.

    chart = Chart(text.COLUMN_MEMORY, Unit.BYTES, {"memused": text.USED}, limit=("memtotal", text.TOTAL))
    chart.show(series)

Its page needs the script `charts.js`. ECharts itself comes with the first chart of a page, and with no other page.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from nicegui import ui

from services.curves import Figures, figures, thinned
from services.proxmox import Series
from ui import text
from ui.theme import Tag
from ui.units import percent, rate, size

MOST_POINTS = 240
"""More than that, on the width of a chart, nobody can tell apart."""


class Unit(StrEnum):
    """What a curve's values are."""

    SHARE = "share"  # 0 to 1
    BYTES = "bytes"
    RATE = "rate"  # bytes a second


_WRITTEN = {Unit.SHARE: percent, Unit.BYTES: size, Unit.RATE: rate}


class Chart:
    """Curves of one unit. `curves` names each by its name in the series; `limit` is one that is no use, but its bound.

    What the picture shows stands below it in words, so that nobody needs the picture.
    """

    def __init__(
        self, title: str, unit: Unit, curves: Mapping[str, str], *, limit: tuple[str, str] | None = None
    ) -> None:
        self._unit = unit
        self._labels = {**curves, **dict([limit] if limit else [])}
        self._limit = limit[0] if limit else ""
        self._drawn: ui.echart | None = None
        with Tag("figure", "", {"aria-label": title}, classes="pg-chart") as self._all:
            Tag("figcaption", title, classes="pg-chart-title")
            self._place = ui.element("div").classes("pg-chart-place").props('aria-hidden="true"')
            with Tag("ul", "", {"role": "list"}, classes="pg-legend"):
                self._legends = {
                    name: Legend(label, index, plain=name == self._limit)
                    for index, (name, label) in enumerate(self._labels.items())
                }

    def show(self, series: Series | None) -> bool:
        """Draw the curves over those before; a series that knows none of them draws nothing, and takes no room."""
        known = {name: figures(series.times, series.curve(name)) for name in self._labels} if series else {}
        shown = [name for name, found in known.items() if found]
        for name, legend in self._legends.items():
            legend.show(known.get(name), self._unit)
        worth = any(name != self._limit for name in shown)
        self._all.set_visibility(worth)
        if series and worth:
            self._draw(thinned(series, MOST_POINTS), max(found.highest for found in known.values() if found))
        return worth

    def _draw(self, series: Series, top: float) -> None:
        options = self._options(series, top)
        if self._drawn is None:
            with self._place:
                self._drawn = ui.echart(options)
            return
        self._drawn.options.clear()
        self._drawn.options.update(options)
        self._drawn.update()

    def _options(self, series: Series, top: float) -> dict[str, Any]:
        """In the words of `assets/charts.js`: what begins with a colon is worked out there."""
        curves = [
            {
                "id": self._legends[name].colour,
                "label": label,
                "values": [_short(value) for value in series.curve(name)],
                "limit": name == self._limit,
            }
            for name, label in self._labels.items()
        ]
        unit = json.dumps(self._unit)
        return {
            "animation": False,
            "grid": {"left": 8, "right": 16, "top": 12, "bottom": 4, "containLabel": True},
            ":xAxis": f"charts.x({series.times[0]}, {series.times[-1]})",
            ":yAxis": f"charts.y({unit}, {top!r})",
            ":tooltip": f"charts.tooltip({unit})",
            ":textStyle": "charts.text()",
            ":series": f"charts.lines({json.dumps(series.times)}, {json.dumps(curves)})",
        }


class Legend:
    """A curve in words: what it is now, on the mean and at the most; `plain` is only what it is."""

    def __init__(self, label: str, index: int, *, plain: bool) -> None:
        self._plain = plain
        self.colour = "curve-limit" if plain else f"curve-{index}"
        with Tag("li") as self._all:
            Tag("i", "", {"aria-hidden": "true"}, classes=f"pg-swatch pg-{self.colour}")
            Tag("span", label)
            self._latest = Tag("b")
            self._more = Tag("span", "", classes="pg-legend-more")

    def show(self, found: Figures | None, unit: Unit) -> None:
        """Say the figures; a curve that is a gap throughout has none, and one that has ended none for now."""
        self._all.set_visibility(found is not None)
        if found is None:
            return
        written = _WRITTEN[unit]
        self._latest.set_text("" if found.latest is None else written(found.latest))
        more = text.CURVE_FIGURES.format(mean=written(found.mean), highest=written(found.highest))
        self._more.set_text("" if self._plain else more)


def _short(value: float | None) -> float | None:
    """As exact as anybody can see."""
    return None if value is None else float(f"{value:.5g}")
