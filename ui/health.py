"""How the cluster is, in a handful of tiles: each says one thing, whether it is well, and leads to what is behind it.

What the account may not know, or is not known yet, has no tile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.feed import Picture
from services.proxmox import Node, Resources, Storage
from ui import text
from ui.links import STORAGE, guests_address, node_address, storage_address, tasks_address
from ui.units import percent, share

FULL, ALMOST_FULL = 0.95, 0.85
"""Shares of a storage from which it is bad, or needs a look."""


_SLEEPS = {"suspended": "paused"}


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
        *_guests(resources),
        _storages(resources.storages),
        _failed(picture),
        _unprotected(picture),
    )
    return tuple(tile for tile in found if tile is not None)


def verdict(picture: Picture) -> tuple[Level, str]:
    """All of it in one sentence. What is not known is not called well."""
    troubled = [tile for tile in tiles(picture) if tile.level in {Level.WARNING, Level.BAD}]
    if not troubled:
        health = picture.health
        whole = None not in (health.quorate, health.failed, health.unprotected)
        return (Level.GOOD, text.ALL_WELL) if whole else (Level.PLAIN, text.WELL_SO_FAR)
    level = Level.BAD if any(tile.level is Level.BAD for tile in troubled) else Level.WARNING
    return level, text.ONE_TROUBLE if len(troubled) == 1 else text.TROUBLES.format(count=len(troubled))


def down(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that are not there; one whose state Proxmox does not know is not counted."""
    return tuple(node for node in nodes if node.status == "offline")


def fullest(storages: Iterable[Storage]) -> tuple[Storage, ...]:
    """Storages with little room left, the fullest first; one that several nodes share counts once."""
    own: dict[tuple[str, str], Storage] = {}
    for one in storages:
        own[one.storage, "" if one.shared else one.node] = one
    tight = [one for one in own.values() if (share(one.disk, one.maxdisk) or 0) >= ALMOST_FULL]
    return tuple(sorted(tight, key=lambda one: -(share(one.disk, one.maxdisk) or 0)))


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


def _guests(resources: Resources) -> Iterator[Tile]:
    if not resources.guests:
        return
    states = Counter(
        "paused" if guest.status == "suspended" else guest.status for guest in resources.guests if not guest.template
    )
    for status, title in (("running", text.RUNNING), ("stopped", text.STOPPED), ("paused", text.PAUSED)):
        if states[status] or status != "paused":
            yield Tile(name=status, title=title, value=str(states[status]), address=guests_address(status))


def _storages(storages: tuple[Storage, ...]) -> Tile | None:
    sized = [one for one in storages if one.maxdisk]
    if not sized:
        return None
    tight = fullest(sized)
    full = any((share(one.disk, one.maxdisk) or 0) >= FULL for one in tight)
    return Tile(
        name="storage",
        title=text.STORAGE,
        value=text.FILLING_UP.format(count=len(tight)) if tight else text.ROOM_LEFT,
        address=STORAGE,
        level=Level.BAD if full else Level.WARNING if tight else Level.GOOD,
        parts=tuple((f"{one.storage} {percent(share(one.disk, one.maxdisk))}", _row_of(one)) for one in tight[:3]),
    )


def _row_of(storage: Storage) -> str:
    return storage_address(storage.storage, "" if storage.shared else storage.node)


def _failed(picture: Picture) -> Tile | None:
    failed = picture.health.failed
    if failed is None:
        return None
    nodes = Counter(task.node for task in failed)
    return Tile(
        name="failed",
        title=text.FAILED_TASKS,
        value=str(len(failed)) if failed else text.NONE,
        note=text.LAST_DAY,
        address=tasks_address(failed=True),
        level=Level.WARNING if failed else Level.GOOD,
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
        value=text.GUEST_COUNT.format(count=len(unprotected)) if unprotected else text.NONE,
        address="#backups" if unprotected else guests_address(""),
        level=Level.WARNING if unprotected else Level.GOOD,
    )
