"""The table of storages; on a phone a card for each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.storages import Place
from ui import text
from ui.health import ALMOST_FULL, FULL
from ui.links import storage_anchor
from ui.proxmox_links import proxmox_address
from ui.tables import Row, Table
from ui.units import ahead, percent, share, size

MOST_SHOWN = 500
KINDS = ("images", "rootdir", "backup", "iso", "vztmpl", "snippets", "import")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What had to be asked about a storage: how many volumes of each kind, seconds until it is full."""

    counts: Mapping[str, int] | None = None
    full_in: float | None = None


class StorageTable:
    """Storages in the order given."""

    def __init__(self) -> None:
        self._table = Table("storage", _columns())

    def show(self, storages: Sequence[tuple[Place, Known]]) -> None:
        """Draw these."""
        self._table.show([_row(place, known) for place, known in storages[:MOST_SHOWN]])


def fullest_first(storages: Iterable[Place]) -> tuple[Place, ...]:
    """Those that need a look stand first, the fullest of them before all; the rest stay in their order."""

    def tightness(place: Place) -> float:
        part = share(place.used, place.total) or 0
        return -part if part >= ALMOST_FULL else 0

    return tuple(sorted(storages, key=tightness))


def _columns() -> Mapping[str, str]:
    return {
        "name": text.COLUMN_NAME,
        "type": text.STORAGE_TYPE,
        "holds": text.HOLDS,
        "used": text.CURVE_USED,
        "link": "",
    }


def _row(place: Place, known: Known) -> Row:
    part = share(place.used, place.total)
    return {
        "key": storage_anchor(place.storage, "" if place.shared else place.node),
        "name": place.storage,
        "nodes": _where(place),
        "type": place.plugintype,
        "holds": _holds(place, known),
        "used": text.USED_OF.format(used=size(place.used), total=size(place.total)),
        "percent": percent(part),
        "part": None if part is None else round(100 * min(part, 1)),
        "level": _level(place, part),
        "note": _note(place, part),
        "pace": text.STORAGE_FULL_IN.format(time=ahead(known.full_in)) if known.full_in is not None else "",
        "href": proxmox_address("storage", place.node, place.storage),
        "label": text.OPEN_NAMED_IN_PROXMOX.format(name=place.storage),
    }


def _where(place: Place) -> str:
    form = text.STORAGE_SHARED if place.shared and len(place.nodes) > 1 else text.STORAGE_ON
    return form.format(nodes=", ".join(place.nodes))


def _holds(place: Place, known: Known) -> list[tuple[str, str]]:
    """Each kind with its count, a kind alone where that is not known."""
    counts = known.counts
    kinds = [kind for kind in KINDS if kind in place.content] + sorted(set(place.content) - set(KINDS))
    if counts is None:
        return [(text.content(kind), "") for kind in kinds]
    known_kinds = [kind for kind in kinds if kind in counts]
    return [(text.content(kind), str(counts[kind])) for kind in known_kinds] + [
        (text.content(kind), "") for kind in kinds if kind not in counts
    ]


def _level(place: Place, part: float | None) -> str:
    if not place.available:
        return "away"
    return "full" if (part or 0) >= FULL else "tight" if (part or 0) >= ALMOST_FULL else "well"


def _note(place: Place, part: float | None) -> str:
    """What is wrong with it, in words: colour alone says nothing to many."""
    if not place.available:
        return text.STORAGE_AWAY
    return text.STORAGE_TIGHT if (part or 0) >= ALMOST_FULL else ""
