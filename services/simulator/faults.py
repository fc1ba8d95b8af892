"""What goes wrong on purpose, and what arrived."""

from dataclasses import dataclass, field

from services.proxmox.models import Address
from services.simulator.request import Parameters


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong on purpose, for every path that starts with `path` (below `/api2/json`).

    `hang` accepts requests and never answers; `reset` ends their connection abruptly; `status` answers all of them
    with it; `delay` comes before each of these and is in real seconds.
    """

    path: str = ""
    hang: bool = False
    reset: bool = False
    status: int | None = None
    delay: float = 0.0

    def strikes(self, path: str) -> bool:
        """Whether anything goes wrong for this path."""
        return path.startswith(self.path) and (self.hang or self.reset or self.status is not None or self.delay > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request that arrived, and at which door. Its parameters hold passwords, so they are never printed."""

    door: Address
    method: str
    path: str
    headers: tuple[str, ...]
    parameters: Parameters = field(repr=False)
