"""The cluster as an account last saw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.errors import ProxmoxError, StoreError
from services.proxmox import Address, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is well, read at a slower pace. None is what this account may not know, or is not known yet: never zero."""

    quorate: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The cluster as last seen. `taken` is Unix seconds, 0 before the first; `error` why there is no newer one.

    `unreached` are the addresses that gave no answer last time, and why; others may have answered in their place.
    """

    resources: Resources = field(default_factory=Resources)
    health: Health = field(default_factory=Health)
    taken: float = 0
    error: ProxmoxError | StoreError | None = None
    unreached: Mapping[Address, ProxmoxError] = field(default_factory=dict[Address, ProxmoxError])
