"""How long sessions and tickets live, and how many there may be."""

from dataclasses import dataclass

MOST_SESSIONS = 20
"""Of one principal; one more, and the one idle for longest ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long sessions and tickets live, in seconds: the settings of the same names."""

    idle: int = 7200
    longest: int = 43200
    renew_ticket: int = 1800
