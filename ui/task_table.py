"""A table of tasks: when, what, about whom, by whom, and how it went."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from services.proxmox import Guest, Task
from ui import text
from ui.links import guest_address, node_address
from ui.units import iso, utc

_ROW = """
<q-tr :props="props" :class="'pg-task-' + props.row.state">
  <q-td key="what" :props="props" class="pg-task-what">{{ props.row.what }}</q-td>
  <q-td key="about" :props="props" class="pg-task-about">
    <a v-if="props.row.href" :href="props.row.href" class="pg-name"><bdi>{{ props.row.about }}</bdi></a>
    <bdi v-else>{{ props.row.about }}</bdi>
  </q-td>
  <q-td key="node" :props="props" class="pg-task-node">
    <a :href="props.row.nodeHref" class="pg-name pg-plain-name"><bdi>{{ props.row.node }}</bdi></a>
  </q-td>
  <q-td key="state" :props="props" class="pg-task-state">
    <span class="pg-dot" aria-hidden="true"></span><bdi>{{ props.row.stateText }}</bdi>
  </q-td>
  <q-td key="user" :props="props" class="pg-task-user"><bdi>{{ props.row.user }}</bdi></q-td>
  <q-td key="at" :props="props" class="pg-task-at">
    <time class="pg-exact" :datetime="props.row.at">{{ props.row.utc }}</time>
  </q-td>
</q-tr>
"""


class TaskTable:
    """Tasks in the order given; `leave_out` names columns that would say the same in every row."""

    def __init__(self, *leave_out: str) -> None:
        self._rows: list[dict[str, Any]] = []
        columns = [column for column in _columns() if column["name"] not in leave_out]
        self._table = ui.table(columns=columns, rows=[], row_key="upid", pagination=0).classes("pg-tasks")
        self._table.props("flat hide-pagination hide-no-data")
        self._table.add_slot("body", _ROW)
        self._table.set_visibility(False)

    def show(self, tasks: Sequence[Task], guests: Mapping[int, Guest]) -> None:
        """Send the rows, if anything that a person would see has changed."""
        rows = [_row(task, guests) for task in tasks]
        self._table.set_visibility(bool(rows))
        if rows != self._rows:
            self._rows = rows
            self._table.update_rows(rows, clear_selection=False)


def by_vmid(guests: Sequence[Guest]) -> Mapping[int, Guest]:
    """The guests that this account may see, to be named in tasks."""
    return {guest.vmid: guest for guest in guests}


def _columns() -> list[dict[str, Any]]:
    labels = {
        "what": text.TASK_WHAT,
        "about": text.TASK_ABOUT,
        "node": text.COLUMN_NODE,
        "state": text.TASK_STATE,
        "user": text.TASK_USER,
        "at": text.TASK_AT,
    }
    return [{"name": name, "label": label, "field": name, "align": "left"} for name, label in labels.items()]


def _row(task: Task, guests: Mapping[int, Guest]) -> dict[str, Any]:
    guest = guests.get(int(task.id)) if task.id.isascii() and task.id.isdecimal() else None
    return {
        "upid": task.upid,
        "what": text.task(task),
        "about": (guest.name or task.id) if guest else task.id,
        "href": guest_address(guest.vmid) if guest else "",
        "node": task.node,
        "nodeHref": node_address(task.node),
        "state": _state(task),
        "stateText": text.task_state(task),
        "user": task.user,
        "at": iso(task.starttime),
        "utc": text.UTC.format(moment=utc(task.starttime)),
    }


def _state(task: Task) -> str:
    if task.running:
        return "running"
    if task.failed:
        return "failed"
    return "well" if task.status == "OK" else "warning"
