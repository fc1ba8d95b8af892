"""temporary"""

import time
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    SIGN_IN = "sign-in"
    FAILURE = "failure"
    SECOND_FACTOR = "second-factor"
    LIMITED = "limited"
    RENEWAL_FAILED = "renewal-failed"
    SIGN_OUT = "sign-out"
    END = "end"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    kind: Kind
    principal: str
    address: str = ""
    session: str = ""
    outcome: str = ""
    time: float = field(default_factory=time.time)


import logging

logger = logging.getLogger(__name__)


class Audit:
    def __init__(self, store, keys): ...
    async def note(self, event):
        logger.info(
            "event=%s principal=%s address=%s session=%s outcome=%s",
            event.kind,
            event.principal,
            event.address,
            event.session,
            event.outcome,
        )

    async def recent(self, principal, most=50):
        return ()
