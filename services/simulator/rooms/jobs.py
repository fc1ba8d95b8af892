"""Backup jobs, and when schedules are due."""

from itertools import islice
from time import gmtime, strftime

from services.simulator import answers
from services.simulator.answers import Answer
from services.simulator.rooms.room import Call, Room
from services.simulator.schedule import Schedule
from services.simulator.schema import ANY_NUMBER
from services.simulator.shared import Shared


def rooms(shared: Shared) -> list[Room]:
    def jobs(_call: Call) -> Answer:
        return answers.data([job.row(shared.clock.now()) for job in shared.world.backups.jobs])

    def analyzed(call: Call) -> Answer:
        return _analyzed(call, shared.clock.now())

    return [
        Room(path="/cluster/backup", answer=jobs, needs=("Sys.Audit",)),
        Room(
            path="/cluster/jobs/schedule-analyze",
            answer=analyzed,
            takes={"schedule": 128, "starttime": ANY_NUMBER, "iterations": range(1, 101)},
            must=("schedule",),
        ),
    ]


def _analyzed(call: Call, now: float) -> Answer:
    try:
        schedule = Schedule.read(call.text("schedule"))
    except ValueError as exc:
        return answers.parameters_refused({"schedule": f"invalid format - {exc}"})
    coming = schedule.after(call.number("starttime", int(now)))
    runs = islice(coming, call.number("iterations", 10))
    return answers.data([{"timestamp": run, "utc": _told(run)} for run in runs])


def _told(moment: int) -> str:
    """As Perl writes it, the day of the month in two places."""
    day = gmtime(moment)
    return strftime(f"%a %b {day.tm_mday:>2} %H:%M:%S %Y", day)
