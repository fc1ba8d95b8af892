"""The bell in the header: what this person has set going, on every page, after a reload and after signing in again.

All of it stands in each picture; `assets/bell.js` draws it. That browser also knows which failures it has shown.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

from services.feed import Picture
from services.proxmox import Guest, Task, is_of
from ui import text
from ui.links import task_address, tasks_address
from ui.task_table import by_vmid, guest_of, outcome_of
from ui.theme import Tag, icon
from ui.units import iso, utc

LATEST, MOST_SHOWN = 10, 20


class Bell:
    """That of one tab. A token's tasks are its owner's too."""

    def __init__(self, principal: str) -> None:
        self._principal = principal
        self._told = ""
        attributes = {"type": "button", "popovertarget": "bell", "id": "bell-button", "aria-label": text.BELL}
        with Tag("button", "", attributes, classes="pg-icon-button pg-bell"):
            icon("bell", size=22)
            Tag("span", "", {"id": "bell-count", "aria-hidden": "true"}, classes="pg-bell-count")
        with Tag("div", "", {"id": "bell", "popover": "auto"}, classes="pg-popover pg-bell-tasks"):
            Tag("h2", text.BELL)
            Tag("div", "", {"id": "bell-list"})
            owner, _, _ = principal.partition("!")
            Tag("a", text.BELL_ALL, {"href": tasks_address(user=owner)}, classes="pg-name pg-target")
        attributes = {
            "id": "bell-data",
            "hidden": "",
            "data-words": json.dumps(_words()),
            "data-account": self._account,
        }
        self._data = Tag("div", "", attributes)

    def show(self, picture: Picture) -> None:
        """Draw this person's latest, those that run first."""
        if not picture.taken:
            return
        told = json.dumps(self._tasks(picture))
        if told != self._told:
            self._told = self._data.props["data-tasks"] = told
            self._data.update()

    @property
    def _account(self) -> str:
        """Tells accounts apart in a browser that several people use, and names none of them."""
        return hashlib.sha256(self._principal.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def _tasks(self, picture: Picture) -> list[Mapping[str, object]] | None:
        if picture.tasks is None:
            return None
        guests = by_vmid(picture.resources.guests)
        return [_row(task, guests) for task in latest(picture.tasks, self._principal)]


def latest(tasks: Iterable[Task], principal: str) -> list[Task]:
    """The latest tasks of this account or token, those that run first; what failed is not pushed out by what went well.

    Proxmox begins what it is scheduled to do as root@pam: a night of backups is a long list.
    """
    mine = (task for task in tasks if is_of(task.upid, principal))
    own = sorted(mine, key=lambda task: (not task.running, -task.starttime))
    return [task for place, task in enumerate(own) if place < LATEST or task.failed][:MOST_SHOWN]


def _row(task: Task, guests: Mapping[int, Guest]) -> Mapping[str, object]:
    guest = guests.get(guest_of(task) or 0)
    return {
        "key": task.upid,
        "what": text.task(task),
        "about": guest.name if guest and guest.name else task.id,
        "href": task_address(task.upid),
        "state": outcome_of(task),
        "words": text.task_state(task),
        "at": iso(task.starttime),
        "utc": text.UTC.format(moment=utc(task.starttime)),
        "ended": task.endtime or 0,
    }


def _words() -> Mapping[str, str]:
    return {
        "title": text.BELL,
        "none": text.BELL_NONE,
        "unread": text.BELL_UNREAD,
        "oneRunning": text.BELL_ONE_RUNNING,
        "running": text.BELL_RUNNING,
        "oneFailed": text.BELL_ONE_FAILED,
        "failed": text.BELL_FAILED,
    }
