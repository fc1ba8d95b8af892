"""A table of tasks: what, about whom, where, how it went, by whom, and when."""

from collections.abc import Mapping, Sequence

from services.proxmox import Guest, Task
from ui import text
from ui.links import guest_address, node_address
from ui.tables import Row, Table
from ui.units import iso, utc


class TaskTable:
    """Tasks in the order given; `leave_out` names columns that would say the same in every row."""

    def __init__(self, *leave_out: str) -> None:
        columns = {name: label for name, label in _columns().items() if name not in leave_out}
        self._table = Table("task", columns)

    def show(self, tasks: Sequence[Task], guests: Mapping[int, Guest]) -> None:
        """Draw these; guests have names where this account may see them."""
        self._table.show([_row(task, guests) for task in tasks])


def by_vmid(guests: Sequence[Guest]) -> Mapping[int, Guest]:
    """The guests that this account may see, to be named in tasks."""
    return {guest.vmid: guest for guest in guests}


def _columns() -> Mapping[str, str]:
    return {
        "what": text.TASK_WHAT,
        "about": text.TASK_ABOUT,
        "node": text.COLUMN_NODE,
        "state": text.TASK_STATE,
        "user": text.TASK_USER,
        "at": text.TASK_AT,
    }


def _row(task: Task, guests: Mapping[int, Guest]) -> Row:
    guest = guests.get(int(task.id)) if task.id.isascii() and task.id.isdecimal() else None
    return {
        "key": task.upid,
        "what": text.task(task),
        "about": (guest.name or task.id) if guest else task.id,
        "href": guest_address(guest.vmid) if guest else "",
        "node": task.node,
        "nodeHref": node_address(task.node),
        "state": _state(task),
        "words": text.task_state(task),
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
