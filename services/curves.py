"""What is read off the curves that Proxmox keeps: figures, fewer points, one sum for many nodes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.proxmox.rrd import Series

LATE_SECONDS = 300
"""A node that has told nothing for so long is away, and is waited for no longer."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A curve in three figures."""

    latest: float
    mean: float
    highest: float


def figures(values: Values) -> Figures | None:
    """None of a curve that is a gap throughout."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Figures(latest=known[-1], mean=sum(known) / len(known), highest=max(known))


def thinned(series: Series, most: int) -> Series:
    """With at most so many points, each the mean of those it stands for; a gap stays one."""
    step = -(-len(series.times) // most) or 1
    if step == 1:
        return series
    starts = range(0, len(series.times), step)
    return Series(
        times=tuple(series.times[start] for start in starts),
        curves={
            name: tuple(_mean(values[start : start + step]) for start in starts)
            for name, values in series.curves.items()
        },
    )


def total(many: Iterable[Series], weights: Mapping[str, str] | None = None) -> Series:
    """The sum of many nodes' curves, at each time of those that were there.

    A share of 0 to 1 is no sum: `weights` names the curve by which it is weighed, as `{"cpu": "maxcpu"}`. The last
    moments, of which not every node has told yet, are left out.
    """
    known = [series for series in many if series.times]
    end = _told_by_all(known)
    times = sorted({time for series in known for time in series.times if time <= end})
    names = sorted({name for series in known for name in series.curves})
    columns = {name: [_by_time(series, name) for series in known] for name in names}
    weighed = {name: by for name, by in (weights or {}).items() if by in columns}
    return Series(
        times=tuple(times),
        curves={
            name: tuple(
                _weighed(columns[name], columns[weighed[name]], time) if name in weighed else _sum(columns[name], time)
                for time in times
            )
            for name in names
        },
    )


def _mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _told_by_all(known: Sequence[Series]) -> int:
    last = [max(_told(series), default=0) for series in known]
    newest = max(last, default=0)
    return min((time for time in last if time > newest - LATE_SECONDS), default=0)


def _told(series: Series) -> Iterator[int]:
    """The times at which anything is known."""
    for index, time in enumerate(series.times):
        if any(values[index] is not None for values in series.curves.values()):
            yield time


def _by_time(series: Series, name: str) -> Mapping[int, float]:
    pairs = zip(series.times, series.curve(name), strict=True)
    return {time: value for time, value in pairs if value is not None}


def _sum(columns: Sequence[Mapping[int, float]], time: int) -> float | None:
    known = [column[time] for column in columns if time in column]
    return sum(known) if known else None


def _weighed(columns: Sequence[Mapping[int, float]], weights: Sequence[Mapping[int, float]], time: int) -> float | None:
    pairs = [(one[time], by[time]) for one, by in zip(columns, weights, strict=True) if time in one and time in by]
    whole = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / whole if whole else None
