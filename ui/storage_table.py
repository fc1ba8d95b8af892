"""The table of storages; on a phone a card for each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from services.storages import Place
from ui import text
from ui.health import ALMOST_FULL, FULL
from ui.links import storage_anchor
from ui.proxmox_links import proxmox_address
from ui.units import ahead, percent, share, size

MOST_SHOWN = 500
KINDS = ("images", "rootdir", "backup", "iso", "vztmpl", "snippets", "import")

_ROW = """
<q-tr :props="props" :id="props.row.key" :class="'pg-storage pg-storage-' + props.row.level">
  <q-td key="name" :props="props" class="pg-storage-name">
    <b><bdi>{{ props.row.name }}</bdi></b>
    <span class="pg-count"><bdi>{{ props.row.nodes }}</bdi></span>
  </q-td>
  <q-td key="type" :props="props" class="pg-storage-type">{{ props.row.type }}</q-td>
  <q-td key="holds" :props="props" class="pg-storage-holds">
    <span v-for="one in props.row.holds" class="pg-tag">{{ one[0] }} <b>{{ one[1] }}</b></span>
  </q-td>
  <q-td key="used" :props="props" class="pg-storage-used">
    <div v-if="props.row.known" class="pg-meter">
      <span class="pg-meter-words">{{ props.row.used }}</span><b class="pg-meter-words">{{ props.row.percent }}</b>
      <div class="pg-bar" role="meter" :aria-label="props.row.name" aria-valuemin="0" aria-valuemax="100"
        :aria-valuenow="props.row.part"><div class="pg-bar-fill" :style="{width: props.row.part + '%'}"></div></div>
    </div>
    <span v-if="props.row.note" class="pg-storage-note">{{ props.row.note }}</span>
    <span v-if="props.row.pace" class="pg-storage-pace">{{ props.row.pace }}</span>
  </q-td>
  <q-td key="link" :props="props" class="pg-storage-link">
    <a v-if="props.row.href" :href="props.row.href" :aria-label="props.row.linkLabel" :title="props.row.linkLabel"
      target="_blank" rel="noopener noreferrer" class="pg-icon-button"><svg class="pg-icon" width="18" height="18"
      viewBox="0 0 24 24" aria-hidden="true"><path d="M14 4h6v6M20 4l-9 9M18 14v6H4V6h6"/></svg></a>
  </q-td>
</q-tr>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What had to be asked about a storage: how many volumes of each kind, seconds until it is full."""

    counts: Mapping[str, int] | None = None
    full_in: float | None = None


class StorageTable:
    """Storages in the order given."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._table = ui.table(columns=_columns(), rows=[], row_key="key", pagination=0).classes("pg-storages")
        self._table.props("flat hide-pagination hide-no-data")
        self._table.add_slot("body", _ROW)

    def show(self, storages: Sequence[tuple[Place, Known]]) -> None:
        """Send the rows, if anything that a person would see has changed."""
        rows = [_row(place, known) for place, known in storages[:MOST_SHOWN]]
        if rows != self._rows:
            self._rows = rows
            self._table.update_rows(rows, clear_selection=False)


def fullest_first(storages: Iterable[Place]) -> tuple[Place, ...]:
    """Those that need a look stand first, the fullest of them before all; the rest stay in their order."""

    def tightness(place: Place) -> float:
        part = share(place.used, place.total) or 0
        return -part if part >= ALMOST_FULL else 0

    return tuple(sorted(storages, key=tightness))


def _columns() -> list[dict[str, Any]]:
    labels = {
        "name": text.COLUMN_NAME,
        "type": text.STORAGE_TYPE,
        "holds": text.HOLDS,
        "used": text.CURVE_USED,
        "link": "",
    }
    return [{"name": name, "label": label, "field": name, "align": "left"} for name, label in labels.items()]


def _row(place: Place, known: Known) -> dict[str, Any]:
    part = share(place.used, place.total)
    label = text.OPEN_NAMED_IN_PROXMOX.format(name=place.storage)
    return {
        "key": storage_anchor(place.storage, "" if place.shared else place.node),
        "name": place.storage,
        "nodes": _where(place),
        "type": place.plugintype,
        "holds": _holds(place, known),
        "known": part is not None,
        "used": text.USED_OF.format(used=size(place.used), total=size(place.total)),
        "percent": percent(part),
        "part": round(100 * min(part or 0, 1)),
        "level": _level(place, part),
        "note": _note(place, part),
        "pace": text.STORAGE_FULL_IN.format(time=ahead(known.full_in)) if known.full_in is not None else "",
        "href": proxmox_address("storage", place.node, place.storage),
        "linkLabel": label,
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
