"""How long sessions and tickets live."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long sessions and tickets live, in seconds: the settings of the same names."""

    idle: int = 7200
    longest: int = 43200
    renew_ticket: int = 1800
