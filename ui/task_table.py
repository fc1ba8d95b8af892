"""A table of tasks: what, about whom, where, how it went, by whom, and when."""

from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from services.proxmox import Guest, Task
from ui import text
from ui.links import VMID, guest_address, node_address, task_address
from ui.proxmox_links import proxmox_address
from ui.tables import Row, Table
from ui.units import iso, utc

_OPEN = """(event) => {
  const link = event.target.closest(".pg-task-what a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return; // in a tab of its own
  event.preventDefault();
  const upid = link.closest("tr").dataset.key;
  proxgate.setAddress("task", upid);
  emit(upid);
}"""
_SHORTEST_VMID = 3  # digits: below 100 it is another thing's number


class TaskTable:
    """Tasks in the order given; `leave_out` names columns that would say the same in every row.

    Each leads to its log, on the page of tasks; on that page `opens` shows it at once.
    """

    def __init__(self, *leave_out: str, opens: Callable[[str], None] | None = None) -> None:
        columns = {name: label for name, label in _columns().items() if name not in leave_out}
        with ui.element("div") as place:
            self._table = Table("task", columns)
        if opens is not None:
            place.on("click", lambda event: opens(str(event.args)), js_handler=_OPEN)

    def show(self, tasks: Sequence[Task], guests: Mapping[int, Guest]) -> None:
        """Draw these; guests have names where this account may see them."""
        self._table.show([_row(task, guests.get(guest_of(task) or 0)) for task in tasks])


def by_vmid(guests: Sequence[Guest]) -> Mapping[int, Guest]:
    """The guests that this account may see, to be named in tasks."""
    return {guest.vmid: guest for guest in guests}


def outcome_of(task: Task) -> str:
    """How it went, in one word of `ui.words.OUTCOMES`."""
    if task.running:
        return "running"
    if task.failed:
        return "failed"
    return "well" if task.status == "OK" else "warning"


def guest_of(task: Task) -> int | None:
    """The guest that it is about, where that is one."""
    return int(task.id) if VMID.fullmatch(task.id) and len(task.id) >= _SHORTEST_VMID else None


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
        "task": task_address(task.upid),
        "about": (guest.name or task.id) if guest else task.id,
        "href": guest_address(guest.vmid) if guest else "",
        "node": task.node,
        "nodeHref": node_address(task.node),
        "state": outcome_of(task),
        "words": text.task_state(task),
        "user": task.user,
        "at": iso(task.starttime),
        "utc": text.UTC.format(moment=utc(task.starttime)),
        "link": proxmox_address(*kept_by, tasks=True),
        "label": text.OPEN_TASKS_IN_PROXMOX.format(name=kept_by[-1]),
    }


def _keeper(task: Task, guest: Guest | None) -> tuple[str, str]:
    """Whose history has the task in Proxmox's interface: a guest's tells only of the node on which it is now."""
    return (guest.type, str(guest.vmid)) if guest and guest.node == task.node else ("node", task.node)
