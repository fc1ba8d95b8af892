"""Snapshots as a tree in lines, and names that a new one may have."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.proxmox import Snapshot, Snapshots
from services.proxmox.snapshots import NAME, RESERVED

_NAME = re.compile(NAME)


class NameFault(StrEnum):
    """Why a snapshot cannot have a name."""

    MISSPELT = "misspelt"
    RESERVED = "reserved"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Line:
    """A snapshot, or None for the guest as it is now; `depth` is how many side branches deep it lies."""

    snapshot: Snapshot | None
    depth: int


def fault_of_name(name: str, taken: Iterable[str]) -> NameFault | None:
    """What is wrong with a name for a new snapshot."""
    if not _NAME.fullmatch(name):
        return NameFault.MISSPELT
    if name.lower() in RESERVED:
        return NameFault.RESERVED
    return NameFault.TAKEN if name in taken else None


def lines(snapshots: Snapshots) -> tuple[Line, ...]:
    """Oldest first, each after the one that it was taken after. Only what leads elsewhere than to now is further in.

    One whose parent is not known begins a line of its own, and so does a circle, which no Proxmox should tell.
    """
    by_name = {one.name: one for one in snapshots.all}
    children: dict[str, list[Snapshot]] = {}
    for one in sorted(by_name.values(), key=lambda one: one.snaptime or 0):
        children.setdefault(one.parent if one.parent in by_name else "", []).append(one)
    found = list(_walk(children, set(_way(by_name, snapshots.current)), snapshots.current))
    seen = {line.snapshot.name for line in found if line.snapshot}
    lost = [Line(one, 0) for one in by_name.values() if one.name not in seen]
    return (*found, *lost, Line(None, 0))


def _way(by_name: dict[str, Snapshot], current: str) -> Iterator[str]:
    """From now back to the first."""
    for _ in by_name:
        if current not in by_name:
            return
        yield current
        current = by_name[current].parent


def _walk(children: dict[str, list[Snapshot]], way: set[str], current: str) -> Iterator[Line]:
    """Without recursion: some guests have a thousand, one after the other."""
    waiting = _after(children, way, "", 0)
    while waiting:
        line = waiting.pop()
        yield line
        if line.snapshot:
            name, deeper = line.snapshot.name, line.snapshot.name == current
            waiting += _after(children, way, name, line.depth, all_aside=deeper)


def _after(
    children: dict[str, list[Snapshot]], way: set[str], name: str, depth: int, *, all_aside: bool = False
) -> list[Line]:
    """Those that were taken after the same one, last first: the last goes straight on, the others lie further in."""
    ordered = sorted(children.get(name, ()), key=lambda one: one.name in way)
    straight = None if all_aside else len(ordered) - 1
    return [Line(one, depth + (index != straight)) for index, one in enumerate(ordered)][::-1]
