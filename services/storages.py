"""Storages as people count them, each once, and when one will be full at the pace it has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.proxmox import Series, Storage

DAY = 86400
LEAST_PAST = 2 * DAY
"""Of a shorter past nobody can say anything."""

LONGEST_WAIT = 180 * DAY
"""What is further off nobody has to know yet."""

LEAST_GROWTH = 0.005
"""Growth by less than this share of the whole in all the time that is known is noise."""

LEAST_FIT = 0.5
"""How much of the ups and downs the straight line has to explain: what swings about has no pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A storage: on one node, or shared by several and the same on each. `node` is one that can be asked about it.

    Sizes are in bytes, None where no node knows them.
    """

    storage: str
    nodes: tuple[str, ...]
    node: str
    shared: bool
    available: bool
    plugintype: str
    content: tuple[str, ...]
    used: int | None
    total: int | None


def places(storages: Iterable[Storage]) -> tuple[Place, ...]:
    """Each storage once, by name and node."""
    own: dict[tuple[str, str], list[Storage]] = {}
    for one in storages:
        own.setdefault((one.storage, "" if one.shared else one.node), []).append(one)
    found = (_place(rows) for rows in own.values())
    return tuple(sorted(found, key=lambda place: (place.storage.casefold(), place.nodes)))


def full_in(series: Series) -> float | None:
    """Seconds until it is full, by a straight line through its past; None where that says nothing."""
    points = [(time, used) for time, used in zip(series.times, series.curve("used"), strict=True) if used is not None]
    total = next((value for value in reversed(series.curve("total")) if value), None)
    if total is None or len(points) < 3 or points[-1][0] - points[0][0] < LEAST_PAST:
        return None
    pace, fit = _line(points)
    grown = pace * (points[-1][0] - points[0][0])
    if grown < LEAST_GROWTH * total or fit < LEAST_FIT:
        return None
    left = (total - points[-1][1]) / pace
    return max(left, 0) if left <= LONGEST_WAIT else None


def _place(rows: Sequence[Storage]) -> Place:
    """The rows of one storage, each node's: the first that has it speaks for all."""
    rows = sorted(rows, key=lambda row: (row.status != "available", row.node))
    best = rows[0]
    return Place(
        storage=best.storage,
        nodes=tuple(sorted(row.node for row in rows)),
        node=best.node,
        shared=best.shared,
        available=best.status == "available",
        plugintype=best.plugintype,
        content=best.content,
        used=best.disk if best.maxdisk else None,
        total=best.maxdisk or None,
    )


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope of the least squares, and the share of the variance that it explains."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    together = sum((x - mean_x) * (y - mean_y) for x, y in points)
    variance = sum((y - mean_y) ** 2 for _, y in points)
    if not spread or not variance:
        return 0, 0
    return together / spread, together**2 / (spread * variance)
