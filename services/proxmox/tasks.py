"""Tasks: what Proxmox does or did, by its UPID. `GET /cluster/tasks`, `GET /nodes/{node}/tasks`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NotRequired, Required
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.proxmox import body
from services.proxmox.line import Answer
from services.proxmox.shapes import BY_NEED, ROW, YEAR_10000, Else, Moment, Omit, Text, Word, shaped

MOST_TASKS = 2000
"""More than any page shows."""

_DAY = 24 * 3600
_LONGEST_LINE = 8 * 1024
_WARNINGS = re.compile(r"WARNINGS: \d+")
_LONGEST_UPID = 1024
_UPID_PATTERN = r"^UPID:[A-Za-z0-9.-]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s]+:[^:\s]*:[^:\s]+:$"
_Upid = Annotated[str, Field(pattern=_UPID_PATTERN, max_length=_LONGEST_UPID)]
_RUNNING = ("", "RUNNING")  # the latter where a node is asked for its active ones


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task. `id` is what it is about, e.g. a vmid, and may be empty; times are Unix seconds.

    `status` is empty while it runs, then "OK", "WARNINGS: 2" or the error. `user` is who began it, by token or not.
    """

    upid: _Upid
    node: Word
    type: Word
    user: Word
    starttime: Annotated[int, Field(ge=0, lt=YEAR_10000), Else(0)] = 0
    endtime: Moment = None
    id: Text = ""
    status: Text = ""

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.endtime is None and self.status in _RUNNING

    @property
    def failed(self) -> bool:
        """Whether it ended in an error; warnings are none (pve-common, `PVE::UPID::status_is_error`)."""
        return self.status not in (*_RUNNING, "OK") and not _WARNINGS.fullmatch(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLog:
    """Lines of a task's log, and how many it has by now in all, 0 where that is not told."""

    lines: tuple[str, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which of a node's tasks are wanted, newest first. `since` and `until` are about when they began.

    `errors` leaves out those that went well, and takes those with warnings; `user` is a part of the userid.
    """

    errors: bool = False
    since: int | None = None
    until: int | None = None
    start: int = 0
    limit: int = 50
    vmid: int | None = None
    user: str = ""
    type: str = ""
    status: str = ""
    """A list of ok, warning, error and unknown."""

    source: Literal["archive", "active", "all"] = "archive"

    def query(self) -> str:
        """As the query of the address: what is not set is left out."""
        wanted: Mapping[str, object] = {
            "errors": int(self.errors),
            "since": self.since,
            "until": self.until,
            "start": self.start,
            "limit": self.limit,
            "vmid": self.vmid,
            "userfilter": self.user,
            "typefilter": self.type,
            "statusfilter": self.status,
            "source": self.source,
        }
        return urlencode({name: value for name, value in wanted.items() if value not in (None, "", 0)})


def failed_since(now: float, *, limit: int, vmid: int | None = None) -> TaskFilter:
    """Those that began in the day before `now` (Unix seconds) and ended in an error: warnings use up no limit."""
    return TaskFilter(status="error", since=int(now) - _DAY, vmid=vmid, limit=limit)


@with_config(ROW)
class _StatusRow(TypedDict, total=False):
    status: Required[Literal["running", "stopped"]]
    exitstatus: Text


def _cut(line: object) -> object:
    """A line that nobody will read to its end: left out, it would be missing in the count of lines."""
    return line[:_LONGEST_LINE] if isinstance(line, str) else line


@with_config(ROW)
class _LogRow(TypedDict):
    n: int
    t: Annotated[str, BeforeValidator(_cut)]


@with_config(ROW)
class _LogBody(TypedDict):
    data: list[Annotated[_LogRow, Omit()]]
    total: NotRequired[Annotated[int, Field(ge=0), Else(0)]]


_TASKS = TypeAdapter(list[Annotated[Task, Omit()]], config=BY_NEED)
_TASK, _STATUS = TypeAdapter(Task), TypeAdapter(_StatusRow)
_LOG = TypeAdapter(_LogBody)
_UPID = TypeAdapter(_Upid, config=BY_NEED)


def tasks(answer: Answer) -> tuple[Task, ...]:
    """The tasks in Proxmox's order, without what has no UPID as Proxmox makes them. Raises BadAnswer."""
    return tuple(shaped(_TASKS, answer)[:MOST_TASKS])


def upid(answer: Answer) -> str:
    """The task that Proxmox began. Raises BadAnswer."""
    return shaped(_UPID, answer)


def is_upid(words: str) -> bool:
    """Whether that can be a task's."""
    return len(words) <= _LONGEST_UPID and re.fullmatch(_UPID_PATTERN, words) is not None


def node_of(upid: str) -> str:
    """The node that a task runs on, by its UPID."""
    return upid.split(":", 2)[1]


def is_of(upid: str, principal: str) -> bool:
    """Whether this account or token began it: an account has its tokens' as well (pve-manager, `PVE::API2::Tasks`)."""
    user = user_of(upid)
    return principal in {user, user.partition("!")[0]}


def user_of(upid: str) -> str:
    """The account or token that began a task, by its UPID."""
    return upid.split(":")[7]


def status(answer: Answer) -> Task:
    """`GET /nodes/{node}/tasks/{upid}/status`: how a task goes or went, not when it ended. Raises BadAnswer."""
    row = shaped(_STATUS, answer)
    ended = row.get("exitstatus") or "unexpected status"
    return replace(shaped(_TASK, answer), status="" if row["status"] == "running" else ended, endtime=None)


async def read_log(answer: bytearray) -> object:
    """A whole body: how many lines there are stands beside "data". Raises BadAnswer."""
    return body.whole(answer)


def log(answer: Answer) -> TaskLog:
    """`GET /nodes/{node}/tasks/{upid}/log`, as `read_log` read it. Raises BadAnswer."""
    found = shaped(_LOG, answer)
    rows = sorted(found["data"], key=lambda row: row["n"])
    return TaskLog(lines=tuple(row["t"] for row in rows), total=found.get("total", 0))
