"""Tasks: the newest of the whole cluster, the archive of each node, and one by itself."""

import re
from collections.abc import Iterator

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.logs import Logs
from services.simulator.rooms.room import Call, Room
from services.simulator.schema import ANY_NUMBER, SWITCH, Rule
from services.simulator.shared import Shared
from services.simulator.tasks import Task

_ROW = dict[str, str | int]
_FOREVER = range(2**63)
_UPID = re.compile(r"UPID:[\w-]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s/]+:[^:\s/]*:[^:\s/]+:")
_UNOPENED = "unable to open file - No such file or directory"
_TAKES: dict[str, Rule] = {
    "start": _FOREVER,
    "limit": _FOREVER,
    "userfilter": None,
    "typefilter": None,
    "vmid": range(100, 1_000_000_000),
    "errors": SWITCH,
    "source": ("archive", "active", "all"),
    "since": ANY_NUMBER,
    "until": ANY_NUMBER,
    "statusfilter": re.compile(r"(ok|error|warning|unknown)([,;\s]+(ok|error|warning|unknown))*"),
}


def rooms(shared: Shared) -> list[Room]:
    hall = _Hall(shared)
    return [
        Room(path="/cluster/tasks", answer=hall.recent),
        Room(path="/nodes/{node}/tasks", answer=hall.of_node, proxied=True, takes=_TAKES),
        Room(path="/nodes/{node}/tasks/{upid}/status", answer=hall.status, proxied=True),
        Room(
            path="/nodes/{node}/tasks/{upid}/log", answer=hall.log, proxied=True,
            takes={"start": _FOREVER, "limit": _FOREVER},
        ),
        Room(method="DELETE", path="/nodes/{node}/tasks/{upid}", answer=hall.stop, proxied=True),
    ]  # fmt: skip


class _Hall:
    def __init__(self, shared: Shared) -> None:
        self._world = shared.world
        self._clock = shared.clock
        self._nodes = shared.cluster.nodes
        self._logs = Logs(shared.world)

    def recent(self, call: Call) -> Answer:
        """Everybody's with Sys.Audit on `/`, else one's own. Tokens are compared with owners here, and see nothing."""
        everything = call.caller.permits("/", "Sys.Audit")
        now, tasks = self._clock.now(), self._world.tasks(self._clock.elapsed())
        told = (task for node in self._nodes if node.online for task in tasks.broadcast(node.name, now))
        seen = (task for task in told if everything or task.user.partition("!")[0] == call.caller.principal)
        return answers.rows([_broadcast(task, now) for task in seen])

    def of_node(self, call: Call) -> Answer:
        """Newest first. `total` counts what fits from `start` on and beyond `limit`."""
        node, now = call.place["node"], self._clock.now()
        everything = call.caller.permits(f"/nodes/{node}", "Sys.Audit")
        mine = (task for task in self._listed(call, node, now) if everything or task.of(call.caller.principal))
        fitting = [task for task in mine if _fits(task, call, now)]
        start = call.number("start", 0)
        page = fitting[start : start + call.number("limit", 50)]
        return answers.rows([_archived(task, now) for task in page], total=len(fitting))

    def status(self, call: Call) -> Answer:
        """One's own, or any with Sys.Audit on the node."""
        task = self._found(call)
        if task is None:
            return _no_task(call)
        refused = _refused(call, "Sys.Audit")
        if refused:
            return refused
        ended = {} if task.runs(self._clock.now()) else {"exitstatus": task.status}
        state = "stopped" if ended else "running"
        return answers.data(task.row() | {"pid": task.pid, "pstart": task.pstart, "status": state} | ended)

    def log(self, call: Call) -> Answer:
        """It grows while the task runs. `total` counts the lines there are; a limit of 0 gives all of them."""
        task = self._found(call)
        refused = _unparsed(call) or _refused(call, "Sys.Audit")
        if refused:
            return refused
        lines = self._logs.lines(task, self._clock.now()) if task else [_UNOPENED]
        start, limit = call.number("start", 0), call.number("limit", 50) or len(lines)
        page = list(enumerate(lines, 1))[start : start + limit]
        return answers.rows([{"n": number, "t": line} for number, line in page], total=len(lines))

    def stop(self, call: Call) -> Answer:
        """One's own, or any with Sys.Modify on the node. What has ended stays as it is."""
        task = self._found(call)
        if task is None:
            return _no_task(call)
        refused = _refused(call, "Sys.Modify")
        if refused:
            return refused
        if task.runs(self._clock.now()):
            self._world.work.stop(task, self._clock.elapsed())
        return answers.data(None)

    def _found(self, call: Call) -> Task | None:
        return self._world.tasks(self._clock.elapsed()).find(call.place["node"], call.place["upid"])

    def _listed(self, call: Call, node: str, now: float) -> Iterator[Task]:
        tasks, source = self._world.tasks(self._clock.elapsed()), call.text("source", "archive")
        if source != "archive":
            yield from tasks.running(node, now)
        if source != "active":
            yield from tasks.finished(node, now)


def _refused(call: Call, privilege: str) -> Answer | None:
    """Whose task it is stands in its UPID. A token sees its own, an account those of its tokens too."""
    user, node = call.place["upid"].split(":")[7], call.place["node"]
    mine = call.caller.principal in (user, user.partition("!")[0])
    allowed = mine or call.caller.permits(f"/nodes/{node}", privilege)
    return None if allowed else answers.forbidden(f"/nodes/{node}", privilege)


def _unparsed(call: Call) -> Answer | None:
    if _UPID.fullmatch(call.place["upid"]):
        return None
    return answers.parameters_refused({"upid": "unable to parse worker upid"})


def _no_task(call: Call) -> Answer:
    return _unparsed(call) or answers.parameters_refused({"upid": "no such task"})


def _fits(task: Task, call: Call, now: float) -> bool:
    kind, user, vmid = call.text("typefilter"), call.text("userfilter"), call.text("vmid")
    return (
        _state(task, now) in _states(call)
        and (not kind or task.type == kind)
        and user.lower() in task.user.partition("!")[0].lower()
        and (not vmid or task.id == vmid)
        and task.starttime >= call.number("since", 0)
        and task.starttime <= call.number("until", task.starttime)
    )


def _states(call: Call) -> set[str]:
    """Those asked for. `errors` takes all but the good, warnings and what still runs among them."""
    if call.text("errors").lower() in ("1", "yes", "on", "true"):
        return {"warning", "error", "unknown"}
    return set(re.split(r"[,;\s]+", call.text("statusfilter", "ok,warning,error,unknown")))


def _state(task: Task, now: float) -> str:
    """The kind of its status, as `PVE::UPID::normalize_status_type` has it."""
    if task.runs(now) or task.status == "unexpected status":
        return "unknown"
    if task.status == "OK":
        return "ok"
    return "warning" if re.fullmatch(r"WARNINGS: \d+", task.status) else "error"


def _broadcast(task: Task, now: float) -> _ROW:
    if task.runs(now):
        return task.row() | {"pid": task.pid, "saved": "0"}
    return task.row() | {"endtime": int(task.endtime), "status": task.status, "saved": "1"}


def _archived(task: Task, now: float) -> _ROW:
    row = task.row() | {"pid": task.pid, "pstart": task.pstart}
    return row | ({"status": "RUNNING"} if task.runs(now) else {"endtime": int(task.endtime), "status": task.status})
