"""Backup jobs, and when they run: `GET /cluster/backup`, `GET /cluster/jobs/schedule-analyze`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.proxmox.line import Answer
from services.proxmox.resources import Guest
from services.proxmox.shapes import BY_NEED, ROW, YEAR_10000, Else, Flag, Moment, Omit, Text, Word, Words, shaped
from services.proxmox.volumes import Volume

Backup = Volume
"""A volume whose content is backup: only one that was finished is there."""

MOST_JOBS, MOST_RUNS = 1000, 100


@with_config(ROW)
@dataclass(frozen=True, slots=True, kw_only=True)
class BackupJob:
    """A job of vzdump. Which guests are its own is told by `pool`, or else `vmid`, or else `all` but `exclude`.

    On a `node` of its own it takes only the guests there. `schedule` is one of systemd's calendar events.
    """

    id: Word
    schedule: Text = ""
    enabled: Annotated[bool, Else(True)] = True
    all: Flag = False
    pool: Text = ""
    vmid: Words = ()
    exclude: Words = ()
    node: Text = ""
    storage: Text = ""
    dumpdir: Text = ""
    mode: Text = ""
    comment: Text = ""
    next_run: Annotated[Moment, Field(validation_alias="next-run")] = None

    def covers(self, guest: Guest) -> bool:
        """Whether it backs up this guest (pve-manager, `PVE::VZDump::get_included_guests`), when it runs at all."""
        if self.node and self.node != guest.node:
            return False
        if self.pool:
            return self.pool == guest.pool
        if self.vmid:
            return str(guest.vmid) in self.vmid
        return (self.all or bool(self.exclude)) and str(guest.vmid) not in self.exclude

    @property
    def target(self) -> str:
        """The storage it writes to; empty where it writes to a directory that Proxmox does not list."""
        return "" if self.dumpdir else self.storage or "local"


class _Run(TypedDict):
    timestamp: Annotated[int, Field(ge=0, lt=YEAR_10000)]


_JOBS = TypeAdapter(list[Annotated[BackupJob, Omit()]], config=BY_NEED)
_RUNS = TypeAdapter(list[_Run], config=BY_NEED)


def jobs(answer: Answer) -> tuple[BackupJob, ...]:
    """`GET /cluster/backup`. Raises BadAnswer."""
    return tuple(shaped(_JOBS, answer)[:MOST_JOBS])


def runs(answer: Answer) -> tuple[int, ...]:
    """`GET /cluster/jobs/schedule-analyze`: when a schedule comes next, in Unix seconds. Raises BadAnswer."""
    return tuple(run["timestamp"] for run in shaped(_RUNS, answer)[:MOST_RUNS])
