"""The table of guests: what a person sees of each, and nothing else, crosses the websocket."""

from typing import Any

from nicegui import ui

from services.proxmox import Guest
from ui import text
from ui.theme import Tag, icon
from ui.units import percent, share, size, uptime

_ROW = """
<q-tr :props="props">
  <q-td key="name" :props="props"><span class="pg-type">{{ props.row.type }}</span><b>{{ props.row.name }}</b></q-td>
  <q-td key="vmid" :props="props">{{ props.row.vmid }}</q-td>
  <q-td key="node" :props="props">{{ props.row.node }}</q-td>
  <q-td key="state" :props="props">
    <span :class="'pg-dot pg-' + props.row.state" aria-hidden="true"></span>{{ props.row.stateText }}
  </q-td>
  <q-td key="cpu" :props="props">
    <span class="pg-cell-bar"><i :style="{width: props.row.cpu + '%'}"></i></span>{{ props.row.cpuText }}
  </q-td>
  <q-td key="mem" :props="props">
    <span class="pg-cell-bar"><i :style="{width: props.row.mem + '%'}"></i></span>{{ props.row.memText }}
  </q-td>
  <q-td key="up" :props="props">{{ props.row.upText }}</q-td>
</q-tr>
"""


class GuestTable:
    """All guests, to be sorted and searched in the browser."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        with ui.element("div").classes("pg-search"):
            icon("search", size=18)
            words = {"placeholder": text.SEARCH_GUESTS, "aria-label": text.SEARCH_GUESTS, "autocomplete": "off"}
            self._box = Tag("input", "", {"type": "search", **words})
            self._box.on("input", self._search, throttle=0.2, js_handler="(event) => emit(event.target.value)")
        self._table = ui.table(columns=_columns(), rows=[], row_key="vmid", pagination=0).classes("pg-guests")
        self._table.props(f'flat hide-pagination no-data-label="{text.NO_GUESTS}" no-results-label="{text.NO_MATCH}"')
        self._table.add_slot("body", _ROW)

    def show(self, guests: tuple[Guest, ...]) -> None:
        """Send the rows, if anything that a person would see has changed."""
        rows = [_row(guest) for guest in sorted(guests, key=lambda guest: guest.vmid)]
        if rows != self._rows:
            self._rows = rows
            self._table.update_rows(rows, clear_selection=False)

    def _search(self, event: Any) -> None:
        self._table.filter = str(event.args or "")
        with self._box.props.suspend_updates():  # the browser has it; a page that is drawn anew needs it
            self._box.props["value"] = self._table.filter


def _columns() -> list[dict[str, Any]]:
    labels = {
        "name": text.COLUMN_NAME,
        "vmid": text.COLUMN_VMID,
        "node": text.COLUMN_NODE,
        "state": text.COLUMN_STATE,
        "cpu": text.COLUMN_CPU,
        "mem": text.COLUMN_MEMORY,
        "up": text.COLUMN_UPTIME,
    }
    return [
        {"name": name, "label": label, "field": name, "align": "left", "sortable": True}
        for name, label in labels.items()
    ]


def _row(guest: Guest) -> dict[str, Any]:
    running = guest.status == "running"
    state = "template" if guest.template else guest.status
    memory = share(guest.mem, guest.maxmem)
    return {
        "vmid": guest.vmid,
        "type": text.CONTAINER if guest.type == "lxc" else text.VIRTUAL_MACHINE,
        "name": guest.name or str(guest.vmid),
        "node": guest.node,
        "state": state,
        "stateText": text.state(state),
        "cpu": round(100 * (guest.cpu or 0)) if running else 0,
        "cpuText": percent(guest.cpu) if running else text.UNKNOWN,
        "mem": round(100 * (memory or 0)) if running else 0,
        "memText": size(guest.mem) if running else text.UNKNOWN,
        "up": guest.uptime or 0 if running else 0,
        "upText": uptime(guest.uptime) if running and guest.uptime else text.UNKNOWN,
    }
