"""What nodes have done and are doing: tasks, as Proxmox keeps them in `/var/log/pve/tasks`."""

import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

_KEPT = 2_000  # of each node; Proxmox turns its index over at about a thousand
_BROADCAST = 25


Line = tuple[float, str]
"""A line of a log: how many seconds after the start it is written, and its text."""


@dataclass(slots=True, kw_only=True)
class Task:
    """A task, told in advance: it runs until `endtime`, and only then is its `status` known. Unix seconds.

    `log` is None where it is the usual one of its kind.
    """

    node: str
    pid: int
    pstart: int
    starttime: int
    endtime: float
    type: str
    id: str
    user: str
    status: str = "OK"
    log: tuple[Line, ...] | None = None

    @classmethod
    def made(
        cls, *, node: str, type: str, id: str, user: str, start: float, seconds: float, status: str = "OK",
        number: int = 0,
    ) -> Self:  # fmt: skip
        """The `number` tells apart what is alike and begins in the same second."""
        starttime = int(start)
        mark = zlib.crc32(f"{node}{type}{id}{starttime}{number or ''}".encode())  # the same story has the same numbers
        return cls(
            node=node, type=type, id=id, user=user, status=status, starttime=starttime,
            endtime=starttime + max(1, int(seconds)), pid=1_000 + mark % 3_900_000, pstart=mark & 0xFFFFFFF,
        )  # fmt: skip

    @property
    def upid(self) -> str:
        stamps = f"{self.pid:08X}:{self.pstart:08X}:{self.starttime:08X}"
        return f"UPID:{self.node}:{stamps}:{self.type}:{self.id}:{self.user}:"

    @property
    def guest(self) -> int:
        """The guest that it is about; 0 when it is about none, or about several."""
        return int(self.id) if self.id.isdigit() else 0

    def runs(self, now: float) -> bool:
        return now < self.endtime

    def end(self, now: float, status: str) -> None:
        """It ends now, whatever was told before."""
        self.endtime, self.status = int(now), status

    def row(self) -> dict[str, str | int]:
        """What all lists say of it. A token's task is its owner's, who sees which token it was."""
        user, _, token = self.user.partition("!")
        row = {"upid": self.upid, "node": self.node, "type": self.type, "id": self.id, "user": user}
        return row | {"starttime": self.starttime} | ({"tokenid": token} if token else {})

    def of(self, principal: str) -> bool:
        """Whether it is this account's or this token's; an account has those of its tokens."""
        return principal in (self.user, self.user.partition("!")[0])


class Tasks:
    """Every task of every node, oldest first."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._nodes = {name: deque[Task](maxlen=_KEPT) for name in nodes}

    def add(self, task: Task) -> None:
        """In its place by its start; one that is long past comes in no order."""
        tasks = self._nodes[task.node]
        later: list[Task] = []
        while tasks and tasks[-1].starttime > task.starttime:
            later.append(tasks.pop())
        tasks.append(task)
        tasks.extend(reversed(later))

    def find(self, node: str, upid: str) -> Task | None:
        """The newest are looked through first: these are asked for."""
        return next((task for task in reversed(self._nodes.get(node, ())) if task.upid == upid), None)

    def running(self, node: str, now: float) -> list[Task]:
        """Newest first."""
        return [task for task in self._begun(node, now) if task.runs(now)]

    def finished(self, node: str, now: float) -> Iterator[Task]:
        """Newest first, by their start."""
        return (task for task in self._begun(node, now) if not task.runs(now))

    def broadcast(self, node: str, now: float) -> list[Task]:
        """What a node tells the others: all that run, and as many others as still fit into 25."""
        running = self.running(node, now)
        done = self.finished(node, now)
        return [*running, *(task for _, task in zip(range(_BROADCAST - len(running)), done, strict=False))]

    def _begun(self, node: str, now: float) -> Iterator[Task]:
        return (task for task in reversed(self._nodes.get(node, ())) if task.starttime <= now)
