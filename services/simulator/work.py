"""What people have set going: tasks that run for a while, and do what they are for at their end."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf

from services.simulator.tasks import Line, Task, Tasks

_PATIENCE = 10.0  # seconds that Proxmox waits for the lock of a configuration


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a task goes from here: how long it takes, its log, how it ends, and what happens then. No seconds: at once.

    `done` is called at its end with that time, `undone` when somebody stops it before. Meanwhile the `guests` bear
    the `lock`, one after the other.
    """

    seconds: float = 0.5
    status: str = "OK"
    log: tuple[Line, ...] = ()
    lock: str = ""
    guests: tuple[int, ...] = ()
    done: Callable[[float], object] = _nothing
    undone: Callable[[], object] = _nothing


@dataclass(slots=True, kw_only=True)
class _Job:
    """A task with its plan, which is made when its turn has come. At `due` is what happens next."""

    task: Task
    began: float
    ask: Callable[[float], Plan]
    file: str
    plan: Plan | None = None
    planned: float = 0.0
    due: float = inf


class Work:
    """All that runs now. Times are simulated seconds since the start, which was `began` in Unix seconds."""

    def __init__(self, tasks: Tasks, began: float) -> None:
        self._tasks = tasks
        self._began = began
        self._jobs: list[_Job] = []
        self._held = False
        self._number = 0
        self.version = 0
        """Moves on with everything that begins or ends."""

    def begin(
        self, *, node: str, type: str, id: str, user: str, at: float, plan: Callable[[float], Plan], file: str = ""
    ) -> Task:
        """A new task. One that needs a `file` for itself waits for whoever has it, as Proxmox locks configurations."""
        self._number += 1
        start = self._began + at
        task = Task.made(node=node, type=type, id=id, user=user, start=start, seconds=1, number=self._number)
        task.log = ()
        job = _Job(task=task, began=at, ask=plan, file=file)
        self._jobs.append(job)
        self._plan(job, at)
        self._tasks.add(task)
        return task

    def catch_up(self, at: float) -> None:
        """Let everything happen that was due until then, in its order."""
        while self._jobs and (job := min(self._jobs, key=_due)).due <= at:
            if job.plan is None:
                self._plan(job, job.due)
            else:
                self._leave(job)
                job.plan.done(job.due)

    def stop(self, task: Task, at: float) -> None:
        """End a task that runs, as a signal does."""
        self.version += 1
        job = next((job for job in self._jobs if job.task is task), None)
        task.end(self._began + at, "interrupted by signal" if task.type == "vzdump" else "received interrupt")
        if job:
            self._leave(job)
            if job.plan:
                job.plan.undone()

    def hold(self) -> None:
        """Whatever begins from now on does not end, unless it fails at once."""
        self._held = True

    def release(self, at: float) -> None:
        """End at once what was held."""
        self._held = False
        for job in self._jobs:
            if job.plan and job.due == inf:
                self._end_at(job, at)
        self.catch_up(at)

    def of_guest(self, vmid: int, type: str) -> list[Task]:
        return [job.task for job in self._jobs if job.task.guest == vmid and job.task.type == type]

    def forget(self, vmid: int) -> None:
        """The guest is gone, and nothing becomes of what was going on with it."""
        for job in [job for job in self._jobs if job.task.guest == vmid]:
            self._leave(job)
            job.task.end(job.began + self._began, "unexpected status")

    def locks(self, at: float) -> Iterator[tuple[int, str]]:
        """Each guest that is locked now, and how."""
        for job in self._jobs:
            if job.plan and job.plan.lock and job.plan.guests:
                turn = int((at - job.planned) / max(job.plan.seconds, 1) * len(job.plan.guests))
                yield job.plan.guests[min(turn, len(job.plan.guests) - 1)], job.plan.lock

    def _plan(self, job: _Job, at: float) -> None:
        self.version += 1
        free = max((one.due for one in self._others(job)), default=at)
        if free > at and at - job.began < _PATIENCE:
            job.due, job.task.endtime = min(free, job.began + _PATIENCE), inf
            job.task.log = ((0, "trying to acquire lock..."),)
            return
        job.plan = job.ask(at) if free <= at else Plan(seconds=0, status=f"can't lock file '{job.file}' - got timeout")
        job.planned = at
        job.task.status = job.plan.status
        waited = at - job.began
        log = [(waited + when, text) for when, text in job.plan.log]
        if waited:
            log = [*(job.task.log or ()), (waited, " OK" if free <= at else " failed"), *log]
        job.task.log = tuple(log)
        self._end_at(job, inf if self._held and job.plan.seconds else at + job.plan.seconds)

    def _others(self, job: _Job) -> Iterable[_Job]:
        """Those that have the file which the job needs. Who locks the guest itself gives the file back."""
        same = (one for one in self._jobs if one.file and one.file == job.file)
        return (one for one in same if one.plan and not one.plan.lock)

    def _end_at(self, job: _Job, at: float) -> None:
        job.due, job.task.endtime = at, self._began + at

    def _leave(self, job: _Job) -> None:
        self._jobs.remove(job)
        self.version += 1


def _due(job: _Job) -> float:
    return job.due


@dataclass(slots=True)
class Locks:
    """The locks that nobody who runs holds: left over, or put there by hand."""

    kept: dict[int, str] = field(default_factory=dict[int, str])
    version: int = 0

    def put(self, vmid: int, lock: str) -> None:
        """An empty one takes it away."""
        self.kept.pop(vmid, None)
        if lock:
            self.kept[vmid] = lock
        self.version += 1
