"""The story of the cluster, told as tasks: the week before the start, and what has happened since."""

from collections.abc import Iterable, Iterator

from services.simulator.backups import Backups
from services.simulator.figures import Host, Machine
from services.simulator.noise import dice
from services.simulator.power import Power
from services.simulator.snapshots import Snapshots
from services.simulator.tasks import Task, Tasks

_WEEK = 7 * 86_400.0
_RHYTHM = 600.0  # seconds from one automatic snapshot to the next
_FIRST = 15.0
_AUTOMAT = "root@pam!autosnap"
_DAY = 86_400


class History:
    """Writes into `tasks`. All its times are Unix seconds, but for those of `power`, which begin at `began`."""

    def __init__(
        self, seed: int, machines: dict[int, Machine], hosts: tuple[Host, ...], power: Power, backups: Backups,
        began: float, tasks: Tasks, snapshots: Snapshots,
    ) -> None:  # fmt: skip
        self._seed = seed
        self._machines = machines
        self._hosts = hosts
        self._power = power
        self._backups = backups
        self._began = began
        self._tasks = tasks
        self._kept = snapshots
        self._told = began
        self._last_snapshot: tuple[float, Task | None] = (float("-inf"), None)
        self._settled = False
        past = [*self._planned(began - _WEEK, began), *self._boots(), *self._mishap()]
        self._tell(past)

    def catch_up(self, now: float, absent: Iterable[str] = ()) -> None:
        """Tell what happened since the last time. Nodes that are absent do nothing."""
        if now <= self._told:
            return
        new = [*self._planned(self._told, now), *self._switched()]
        self._told = now
        self._tell(task for task in new if task.node not in absent)

    def locked(self, now: float) -> dict[int, str]:
        """The lock of every guest that has one: it is being backed up, or a snapshot is taken."""
        locks = dict.fromkeys(self._backups.busy(now), "backup")
        turn = (now - self._began - _FIRST) // _RHYTHM
        if self._last_snapshot[0] != turn:
            self._last_snapshot = turn, self._snapshot(turn)
        snapshot = self._last_snapshot[1]
        if snapshot and snapshot.starttime <= now < snapshot.endtime:
            told = self._tasks.find(snapshot.node, snapshot.upid)  # somebody may have stopped it
            locks |= {snapshot.guest: "snapshot"} if told is None or told.runs(now) else {}
        return locks

    def _tell(self, new: Iterable[Task]) -> None:
        for task in sorted(new, key=lambda task: task.starttime):
            self._tasks.add(task)
            if task.user == _AUTOMAT:
                self._kept.note_automatic(task.guest, task.starttime)

    def settle(self) -> None:
        """No automatic snapshots from now on."""
        self._settled = True

    def _planned(self, begin: float, end: float) -> Iterator[Task]:
        for run in self._backups.due(begin, end):
            only = str(run.guests[0]) if len(run.guests) == 1 else ""
            yield Task.made(
                node=run.node, type="vzdump", id=only, user="root@pam", start=run.start, seconds=run.seconds,
                status=run.status,
            )  # fmt: skip
        yield from self._refreshed(begin, end)
        yield from self._snapshots(begin, end)

    def _refreshed(self, begin: float, end: float) -> Iterator[Task]:
        """Each node looks for updates once a day."""
        for number, host in enumerate(self._hosts):
            due = 4 * 3_600 + 17 * 60 + 1_231 * number
            for day in range(int(begin // _DAY), int(end // _DAY) + 1):
                if begin < day * _DAY + due <= end:
                    yield Task.made(
                        node=host.name, type="aptupdate", id="", user="root@pam", start=day * _DAY + due, seconds=9
                    )

    def _snapshots(self, begin: float, end: float) -> Iterator[Task]:
        first = int((begin - self._began - _FIRST) // _RHYTHM)
        for turn in range(first, int((end - self._began - _FIRST) // _RHYTHM) + 1):
            # Of those long ago a few are enough to tell.
            task = self._snapshot(turn) if turn > -12 or turn % 24 == 0 else None
            if task and begin < task.starttime <= end:
                yield task

    def _snapshot(self, turn: float) -> Task | None:
        chance = dice(self._seed, "snapshot", int(turn))
        candidates = [one for one in self._machines.values() if one.switches and one.keeps_snapshots]
        if not candidates or (self._settled and turn >= 0):
            return None
        machine = chance.choice(candidates)
        return Task.made(
            node=machine.node,
            type=f"{tool(machine)}snapshot",
            id=str(machine.vmid),
            user=_AUTOMAT,
            start=self._began + _FIRST + turn * _RHYTHM,
            seconds=chance.uniform(60, 150),
        )

    def _boots(self) -> Iterator[Task]:
        """How every guest came to be as it was at the start, as far as it was within the week."""
        for vmid, machine in self._machines.items():
            changed = self._power.changed(vmid)
            if not machine.entry.template and not self._power.is_paused(vmid) and changed > -_WEEK:
                yield self._switch(machine, changed, on=self._power.since(vmid) is not None)

    def _mishap(self) -> Iterator[Task]:
        """A virtual machine that is off was to be started some hours ago, and could not be."""
        machine = next((one for one in self._machines.values() if one.entry.quirk == "broken"), None)
        if machine:
            start = max(self._began - 19_700, self._began + self._power.changed(machine.vmid) + 600)
            yield Task.made(
                node=machine.node, type="qmstart", id=str(machine.vmid), user="root@pam",
                start=start, seconds=2, status="start failed: QEMU exited with code 1",
            )  # fmt: skip

    def _switched(self) -> Iterator[Task]:
        for at, vmid, on in self._power.lived():
            if vmid in self._machines:
                yield self._switch(self._machines[vmid], at, on=on)

    def _switch(self, machine: Machine, at: float, *, on: bool) -> Task:
        """A guest runs from the beginning of its start, and until the end of its shutdown."""
        seconds = dice(self._seed, machine.vmid, int(at)).randint(2, 8)
        return Task.made(
            node=machine.node,
            type=tool(machine) + ("start" if on else "shutdown"),
            id=str(machine.vmid),
            user="root@pam",
            start=self._began + at - (0 if on else seconds),
            seconds=seconds,
        )


def tool(machine: Machine) -> str:
    """What the names of a guest's tasks begin with."""
    return "vz" if machine.contained else "qm"
