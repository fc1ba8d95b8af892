"""Curves: what Proxmox has noted of a node, a guest or a storage over time. `GET …/rrddata`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter

from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, Omit, shaped

Timeframe = Literal["hour", "day", "week", "month", "year"]
"""How far back; each has some seventy to fifteen hundred samples."""

TIMEFRAMES: tuple[Timeframe, ...] = get_args(Timeframe)
MOST_SAMPLES = 3000

_Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False), Omit()]
_ROWS = TypeAdapter(list[Annotated[dict[str, _Number], Omit()]], config=BY_NEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Curves over the same `times`, Unix seconds, rising. Each of `curves` has a value for each time, None for a gap.

    The names are Proxmox's: cpu (a share of 0 to 1), memused, memtotal, netin, netout (bytes a second)…
    """

    times: tuple[int, ...] = ()
    curves: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict[str, tuple[float | None, ...]])

    def curve(self, name: str) -> tuple[float | None, ...]:
        """The curve of this name, gaps throughout where Proxmox has none."""
        return self.curves.get(name) or (None,) * len(self.times)


def series(answer: Answer) -> Series:
    """Rows without a time are left out, and so is a curve without a single value. Raises BadAnswer."""
    rows = sorted((row for row in shaped(_ROWS, answer)[-MOST_SAMPLES:] if "time" in row), key=lambda row: row["time"])
    names = sorted({name for row in rows for name in row} - {"time"})
    return Series(
        times=tuple(int(row["time"]) for row in rows),
        curves={name: tuple(row.get(name) for row in rows) for name in names},
    )
