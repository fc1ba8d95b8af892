"""What stands in the log of a task."""

from services.simulator.dumping import Dumping
from services.simulator.freezing import taken_log
from services.simulator.powering import BROKEN_LOG
from services.simulator.snapshots import automatic_name
from services.simulator.tasks import Line, Task
from services.simulator.world import World


class Logs:
    """Of every task, also of those that the story tells."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dumping = Dumping(world)

    def lines(self, task: Task, now: float) -> list[str]:
        """As far as it is written; how it ended stands in the last line."""
        ended = not task.runs(now)
        written = (task.endtime if ended else now) - task.starttime
        log = self._usual(task) if task.log is None else task.log
        lines = [text for when, text in log if when <= written]
        return [*lines, *(_ending(task) if ended else ())] or ["no content"]

    def _usual(self, task: Task) -> tuple[Line, ...]:
        """Most tasks that go well have nothing to say."""
        machine = self._world.machines.get(task.guest)
        if task.type == "vzdump":
            due = self._world.backups.due(task.starttime - 1, task.starttime)
            return next((self._dumping.story(run) for run in due if run.node == task.node), ())
        if task.type == "aptupdate":
            return (0, "starting apt-get update"), (7, "Reading package lists...")
        if machine and task.type.endswith("snapshot"):
            return taken_log(machine, automatic_name(task.starttime), vmstate=False)[0]
        return BROKEN_LOG if task.type == "qmstart" and task.status != "OK" else ()


def _ending(task: Task) -> list[str]:
    if task.status == "OK":
        return ["TASK OK"]
    if task.status == "unexpected status":
        return []
    error = f"TASK ERROR: {task.status}"
    if task.type == "vzdump" and task.status == "interrupted by signal":
        failed = [f"ERROR: Backup of VM {task.id} failed - {task.status}"] if task.id else []
        return [*failed, f"ERROR: Backup job failed - {task.status}", error]
    return [error]
