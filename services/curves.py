"""What is read off the curves that Proxmox keeps: figures, fewer points, one sum for many nodes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.proxmox.rrd import Series

LATE_SECONDS = 300
"""What has told nothing for so long is away: nobody waits for it, and its last word is no longer how it is now."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A curve in three figures; `latest` is None where the curve has ended before its times do."""

    latest: float | None
    mean: float
    highest: float


def figures(times: Sequence[int], values: Values) -> Figures | None:
    """None of a curve that is a gap throughout."""
    told = [(time, value) for time, value in zip(times, values, strict=True) if value is not None]
    if not told:
        return None
    known = [value for _, value in told]
    last, latest = told[-1]
    fresh = last >= times[-1] - _late(times)
    return Figures(latest=latest if fresh else None, mean=sum(known) / len(known), highest=max(known))


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

    A share of 0 to 1 is no sum: `weights` names the curve by which it is weighed, as `{"cpu": "maxcpu"}`; without that
    one it is left out. The last moments, of which not every node has told yet, are left out too.
    """
    weights = weights or {}
    known = [series for series in many if series.times]
    end = _told_by_all(known)
    times = sorted({time for series in known for time in series.times if time <= end})
    names = {name for series in known for name in series.curves}
    columns = {
        name: [_by_time(series, name) for series in known]
        for name in sorted(names)
        if name not in weights or weights[name] in names
    }
    return Series(
        times=tuple(times),
        curves={
            name: tuple(
                _weighed(column, columns[weights[name]], time) if name in weights else _sum(column, time)
                for time in times
            )
            for name, column in columns.items()
        },
    )


def _mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _late(times: Sequence[int]) -> int:
    """Over a long span two samples are further apart than that, and the last is often still to come."""
    return max(LATE_SECONDS, times[-1] - times[-2]) if len(times) > 1 else LATE_SECONDS


def _told_by_all(known: Sequence[Series]) -> int:
    last = [(max(_told(series), default=0), _late(series.times)) for series in known]
    newest = max((time for time, _ in last), default=0)
    return min((time for time, late in last if time >= newest - late), default=0)


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
