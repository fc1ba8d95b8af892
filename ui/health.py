"""How the cluster is, in a handful of tiles: each says one thing, whether it is well, and leads to what is behind it.

What the account may not know, or is not known yet, has no tile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from enum import StrEnum

from services.feed import Health, Picture
from services.proxmox import Guest, Node, Storage
from services.storages import Place, places
from ui import text
from ui.guest_rows import rows_of
from ui.guest_search import TROUBLED
from ui.links import STORAGE, guests_address, node_address, storage_address, tasks_address
from ui.units import guest_count, number, percent, share

FULL, ALMOST_FULL = 0.95, 0.85
"""Shares of a storage from which it is bad, or needs a look."""


class Level(StrEnum):
    """How bad something is; PLAIN is neither good nor bad."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One thing to know. `parts` are further words, each with an address of its own."""

    name: str
    title: str
    value: str
    address: str
    level: Level = Level.PLAIN
    note: str = ""
    parts: tuple[tuple[str, str], ...] = ()


def tiles(picture: Picture) -> tuple[Tile, ...]:
    """The tiles of a picture, the most important first."""
    resources = picture.resources
    found = (
        _nodes(resources.nodes),
        _quorum(picture.health.quorate),
        *_guests(resources.guests),
        _storages(resources.storages),
        _failed(picture),
        _unprotected(picture),
    )
    return tuple(tile for tile in found if tile is not None)


def verdict(picture: Picture, shown: Iterable[Tile]) -> tuple[Level, str]:
    """All of it in one sentence. What is not known is not called well."""
    troubled = [tile for tile in shown if tile.level in {Level.WARNING, Level.BAD}]
    if not troubled:
        return (Level.GOOD, text.ALL_WELL) if _is_known(picture.health) else (Level.PLAIN, text.WELL_SO_FAR)
    level = Level.BAD if any(tile.level is Level.BAD for tile in troubled) else Level.WARNING
    return level, text.ONE_TROUBLE if len(troubled) == 1 else text.TROUBLES.format(count=len(troubled))


def _is_known(health: Health) -> bool:
    """Whether nothing of it is out of this account's sight."""
    quorum = health.alone or health.quorate is not None
    failed = health.failed is not None and health.failed_whole
    return quorum and failed and health.unprotected is not None and health.unprotected_whole


def down(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that are not there; one whose state Proxmox does not know is not counted."""
    return tuple(node for node in nodes if node.status == "offline")


def fullest(found: Iterable[Place]) -> tuple[Place, ...]:
    """Storages with little room left, the fullest first."""
    tight = [place for place in found if place.available and _fullness(place) >= ALMOST_FULL]
    return tuple(sorted(tight, key=_fullness, reverse=True))


def _fullness(place: Place) -> float:
    return share(place.used, place.total) or 0


def _nodes(nodes: tuple[Node, ...]) -> Tile | None:
    if not nodes:
        return None
    away = down(nodes)
    online = sum(node.status == "online" for node in nodes)
    return Tile(
        name="nodes",
        title=text.NODES,
        value=text.DOWN.format(count=len(away)) if away else text.ONLINE.format(count=online),
        note=text.OF_ALL.format(count=len(nodes)) if away or online < len(nodes) else "",
        address="#nodes",
        level=Level.BAD if away else Level.GOOD if online == len(nodes) else Level.WARNING,
        parts=tuple((node.node, node_address(node.node)) for node in away),
    )


def _quorum(quorate: bool | None) -> Tile | None:
    if quorate is None:
        return None
    level, value = (Level.GOOD, text.QUORATE) if quorate else (Level.BAD, text.NOT_QUORATE)
    return Tile(name="quorum", title=text.QUORUM, value=value, address="#nodes", level=level)


def _row_of(place: Place) -> str:
    return storage_address(place.storage, "" if place.shared else place.node)


def _guests(guests: tuple[Guest, ...]) -> Iterator[Tile]:
    if not guests:
        return
    states = rows_of(guests).states
    troubled = [state for state in TROUBLED if states[state]]
    still = sorted(set(states) - {"running", "stopped", "unknown", *troubled})
    for name, title, counted, level in (
        ("running", text.RUNNING, ["running"], Level.PLAIN),
        ("stopped", text.STOPPED, ["stopped"], Level.PLAIN),
        ("paused", text.PAUSED, still, Level.PLAIN),
        ("halted", text.HALTED, troubled, Level.BAD),
    ):
        if counted:
            count = sum(states[state] for state in counted)
            address = guests_address(f"state:{','.join(counted)}")
            note = ", ".join(text.state(state) for state in counted) if level is Level.BAD else ""
            yield Tile(name=name, title=title, value=number(count), address=address, level=level, note=note)


def _storages(storages: tuple[Storage, ...]) -> Tile | None:
    found = places(storages)
    away, tight = [place for place in found if not place.available], fullest(found)
    if not away and not any(place.total for place in found):
        return None
    bad = any(_fullness(place) >= FULL for place in tight)
    value = text.NOT_AVAILABLE.format(count=len(away)) if away else text.FILLING_UP.format(count=len(tight))
    parts = [(place.storage, place) for place in away]
    parts += [(f"{place.storage} {percent(_fullness(place))}", place) for place in tight]
    return Tile(
        name="storage",
        title=text.STORAGE,
        value=value if away or tight else text.ROOM_LEFT,
        address=STORAGE,
        level=Level.BAD if bad else Level.WARNING if away or tight else Level.GOOD,
        parts=tuple((words, _row_of(place)) for words, place in parts[:3]),
    )


def _failed(picture: Picture) -> Tile | None:
    failed = picture.health.failed
    if failed is None:
        return None
    nodes = Counter(task.node for task in failed)
    return Tile(
        name="failed",
        title=text.FAILED_TASKS,
        value=number(len(failed)) if failed else text.NONE,
        note=text.LAST_DAY if picture.health.failed_whole else text.NOT_ALL_KNOWN,
        address=tasks_address(failed=True),
        level=_counted(failed, whole=picture.health.failed_whole),
        parts=tuple((f"{node} {count}", tasks_address(failed=True, node=node)) for node, count in sorted(nodes.items()))
        if len(nodes) > 1
        else (),
    )


def _unprotected(picture: Picture) -> Tile | None:
    unprotected = picture.health.unprotected
    if unprotected is None:
        return None
    return Tile(
        name="backups",
        title=text.NO_RECENT_BACKUP,
        value=guest_count(len(unprotected)) if unprotected else text.NONE,
        address="#backups" if unprotected else guests_address(""),
        note="" if picture.health.unprotected_whole else text.NOT_ALL_KNOWN,
        level=_counted(unprotected, whole=picture.health.unprotected_whole),
    )


def _counted(troubled: Sized, *, whole: bool) -> Level:
    """Of what should be none: where not all is known, none is not good yet."""
    return Level.WARNING if troubled else Level.GOOD if whole else Level.PLAIN
