"""A table of tasks: what, about whom, where, how it went, by whom, and when."""

from collections.abc import Mapping, Sequence

from services.proxmox import Guest, Task
from ui import text
from ui.links import guest_address, node_address
from ui.proxmox_links import proxmox_address
from ui.tables import Row, Table
from ui.units import iso, utc


class TaskTable:
    """Tasks in the order given; `leave_out` names columns that would say the same in every row."""

    def __init__(self, *leave_out: str) -> None:
        columns = {name: label for name, label in _columns().items() if name not in leave_out}
        self._table = Table("task", columns)

    def show(self, tasks: Sequence[Task], guests: Mapping[int, Guest]) -> None:
        """Draw these; guests have names where this account may see them."""
        self._table.show([_row(task, _about(task, guests)) for task in tasks])


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
        "link": "",
    }


def _row(task: Task, guest: Guest | None) -> Row:
    kept_by = _keeper(task, guest)
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
        "link": proxmox_address(*kept_by, tasks=True),
        "label": text.OPEN_TASKS_IN_PROXMOX.format(name=kept_by[-1]),
    }


def _about(task: Task, guests: Mapping[int, Guest]) -> Guest | None:
    return guests.get(int(task.id)) if task.id.isascii() and task.id.isdecimal() else None


def _keeper(task: Task, guest: Guest | None) -> tuple[str, str]:
    """Whose history has the task in Proxmox's interface: a guest's tells only of the node on which it is now."""
    return (guest.type, str(guest.vmid)) if guest and guest.node == task.node else ("node", task.node)


def _state(task: Task) -> str:
    if task.running:
        return "running"
    if task.failed:
        return "failed"
    return "well" if task.status == "OK" else "warning"
