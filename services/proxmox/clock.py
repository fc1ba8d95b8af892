"""Whose clock is behind it when Proxmox refuses a ticket: it says no word of why.

A ticket, `PVE:user@realm:8HEX::signature`, carries the time at which a node made it. Whichever node is asked takes it
from 300 s before that time to 7200 s after it, by its own clock (`PVE::AccessControl`), which the Date of its answer
shows.
"""

import re
import time
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime

from services.proxmox.models import Ticket

SKEW_SECONDS = 300
"""Proxmox takes tickets from so far in the future; beyond it a sign-in fails, or its ticket does."""

TICKET_SECONDS = 7200
"""How long Proxmox accepts a ticket."""

_ROUNDING = 5.0  # seconds: a Date has whole ones, and a refusal is written three after it was decided
_TICKET = re.compile(r"PVE:.+:([0-9A-F]{8})::[^:]+", re.DOTALL)  # told from its end: a userid may hold almost anything


def shown(date: str) -> float | None:
    """Unix seconds of a Date header; None where it is none."""
    with suppress(ValueError, OverflowError):
        told = parsedate_to_datetime(date)
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    return None


def is_off(ticket: Ticket, date: str) -> bool:
    """Whether this refused ticket is out of its time by the clock of who refused it, and by ours is not."""
    now, made = shown(date), _TICKET.fullmatch(ticket.ticket.get_secret_value())
    if now is None or made is None:
        return False
    age, by_us = now - int(made[1], 16), time.time() - ticket.issued
    return by_us < TICKET_SECONDS - _ROUNDING and not _ROUNDING - SKEW_SECONDS <= age <= TICKET_SECONDS
