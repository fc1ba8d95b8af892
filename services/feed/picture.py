"""The cluster as an account last saw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.errors import ProxmoxError, StoreError
from services.proxmox import Address, Resources, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprotected:
    """A guest without a successful backup within twice its job's interval (seconds; None where no job has it).

    `latest` is when its last backup was made, in Unix seconds; None where there is none.
    """

    vmid: int
    latest: int | None = None
    interval: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is well, read more slowly than the rest. None is what this account may not know, or nobody knows yet.

    `quorate` is None, too, where a node stands `alone`. `failed` are the tasks of the last day that ended in an error,
    latest first, of the nodes that this account may audit and that are there, as each told last. Where such a node has
    never told, or of some guest it cannot be told whether it is `unprotected`, that is not the whole.
    """

    quorate: bool | None = None
    alone: bool = False
    failed: tuple[Task, ...] | None = None
    failed_whole: bool = True
    unprotected: tuple[Unprotected, ...] | None = None
    unprotected_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The cluster as last seen. `taken` is Unix seconds, 0 before the first; `error` why there is no newer one.

    `tasks` are the latest of each node, those that run among them, as far as this account may see them, as they were
    read within the last minutes; None where they are not known, which is not the same as none. `unreached` are the
    addresses that gave no answer last time, and why; others may have answered in their place.
    """

    resources: Resources = field(default_factory=Resources)
    tasks: tuple[Task, ...] | None = None
    health: Health = field(default_factory=Health)
    taken: float = 0
    error: ProxmoxError | StoreError | None = None
    unreached: Mapping[Address, ProxmoxError] = field(default_factory=dict[Address, ProxmoxError])

    @property
    def busy(self) -> bool:
        """Whether a task is known to run."""
        return any(task.running for task in self.tasks or ())
