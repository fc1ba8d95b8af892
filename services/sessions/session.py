"""A session as the rest of the program knows it: who, since when, until when. It holds no ticket."""

import time
from dataclasses import dataclass, field
from typing import Protocol

from services.sessions.record import hash_id

FINGERPRINT_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that was live when it was read: `Sessions.credentials` fetches its ticket when it is used."""

    id: str = field(repr=False)
    principal: str
    created: float
    """Unix seconds, by the store's clock."""

    deadline: float = field(compare=False)
    """When it reaches its longest age, by `time.monotonic()`: whoever sets our clock does not move it."""

    seen: float = field(default_factory=time.monotonic, compare=False)
    """When the store was asked about it, by `time.monotonic()`: no answer is younger than its question."""

    hash: str = field(init=False, repr=False, compare=False)
    """What stands for the id in the store and in memory; made once, since every tab is asked for it at every end."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", hash_id(self.id))

    @property
    def fingerprint(self) -> str:
        """What names the session in logs and lists: it opens nothing."""
        return short(self.hash)


class Named(Protocol):
    """What ending a session needs to know of it."""

    @property
    def hash(self) -> str: ...
    @property
    def principal(self) -> str: ...


def short(hash: str) -> str:
    """A session's hash as people and logs see it."""
    return hash[:FINGERPRINT_LENGTH]
