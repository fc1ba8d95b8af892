"""What happened at the door: one line of the log an event, and each account's own last events, for itself to read.

Two lists an account in the store, each with an end: what became of its own sessions, and what others did who typed its
name, so that no stranger's failures push out what is its own. A name under which nobody signed in has no list.
"""

import hashlib
import json
import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from services.errors import StoreCorrupt, StoreError
from services.keys import KeyRing
from services.logs import Bound
from services.sealing import fields_of, seal_bytes, unseal_bytes
from services.store.connection import Store
from services.telemetry import figures

logger = logging.getLogger(__name__)

MOST_KEPT = 50
"""Events in each of an account's two lists."""

KEPT_SECONDS = 90 * 24 * 3600
"""Seconds from its latest event after which a list is gone."""

# One round trip for whoever is named: the time it takes tells nobody whether this account has ever signed in here.
_PUSH = """
if ARGV[1] == '' and redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""

_PLAIN = re.compile(r"[\w@.:!+/%~-]+")


class Kind(StrEnum):
    """What an event is."""

    SIGN_IN = "sign-in"
    FAILURE = "failure"  # of a sign-in, by whoever named the account
    SECOND_FACTOR = "second-factor"  # the password was right
    LIMITED = "limited"  # our own limit acted
    RENEWAL_FAILED = "renewal-failed"
    SIGN_OUT = "sign-out"
    END = "end"  # of a session, by anything but signing out
    ACTION = "action"  # something that Proxmox was told to do, whose own list of tasks tells of it
    REFUSAL = "refusal"  # of what no page of ours sends: another site's, with a forged cookie, to another's tab


_LOGGED_ALONE = {"not-its-tab"}
"""Outcomes that say nothing to the account they came from."""

_OWN = {Kind.SIGN_IN, Kind.RENEWAL_FAILED, Kind.SIGN_OUT, Kind.END}
_BEGUN = ("ok", "UPID:")
_GOOD = {Kind.ACTION, Kind.SIGN_IN, Kind.SECOND_FACTOR, Kind.SIGN_OUT, Kind.END}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `principal` is the userid or token id as far as it is known, `address` that of the person.

    `session` is the session's short fingerprint; `outcome` a word such as "ok", an EndReason's or an error's name;
    `about` what was done to what, or by what somebody signs in; `time` Unix seconds. What is not known is empty.
    """

    kind: Kind
    principal: str
    address: str = ""
    session: str = ""
    about: str = ""
    outcome: str = ""
    time: float = field(default_factory=time.time)


class Audit:
    """Notes events, and knows the last ones of each account."""

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys
        self._refusals = defaultdict[tuple[bool, str], Bound](Bound)

    async def note(self, event: Event) -> None:
        """Log an event, and keep it for the account if the store can; of refusals of one sort only so many a minute."""
        _count(event)
        if event.kind is Kind.REFUSAL and not self._refusals[event.principal != "", event.outcome].lets_through():
            return
        _log(event)
        if event.principal and event.kind is not Kind.ACTION and event.outcome not in _LOGGED_ALONE:
            with suppress(StoreError):  # the log has it
                await self._keep(event)

    async def recent(self, principal: str, most: int = MOST_KEPT) -> tuple[Event, ...]:
        """The account's last events, newest first. Raises StoreUnavailable."""
        found = [event for own in (True, False) for event in await self._read(self._place(principal, own=own))]
        return tuple(sorted(found, key=lambda event: -event.time)[:most])

    async def _keep(self, event: Event) -> None:
        own, place = self._place(event.principal, own=True), self._place(event.principal, own=event.kind in _OWN)
        value = seal_bytes(json.dumps(asdict(event)).encode(), self._keys.first, self._keys.first.index, place)
        begins = "1" if event.kind is Kind.SIGN_IN else ""

        async def push(client: Redis) -> None:
            await client.eval(_PUSH, 2, own, place, begins, value, MOST_KEPT, KEPT_SECONDS)

        await self._store.run(push)

    async def _read(self, place: str) -> Iterable[Event]:
        """A list, without what cannot be read: its key is gone, or it was not written for this place."""

        async def fetch(client: Redis) -> list[Any]:
            found: list[Any] = await client.lrange(place, 0, MOST_KEPT - 1)
            return found

        try:
            values = await self._store.run(fetch)
        except StoreCorrupt as exc:
            logger.error("unreadable events: %s", exc)  # noqa: TRY400
            return []
        opened = (self._opened(value, place) for value in dict.fromkeys(values))  # once, though it was sent again
        return [event for event in opened if event]

    def _opened(self, value: bytes, place: str) -> Event | None:
        with suppress(StoreCorrupt, ValueError, TypeError, KeyError):
            plain = fields_of(Event, unseal_bytes(value, self._keys, lambda key: key.index, place))
            plain["kind"] = Kind(plain["kind"])
            return Event(**plain)
        return None

    def _place(self, principal: str, *, own: bool) -> str:
        """Where a list lies; the braces keep an account's two on one server of a Cluster."""
        hash = hashlib.sha256(principal.encode("utf-8", "surrogatepass")).hexdigest()
        return self._store.key("audit", f"{{{hash}}}", "own" if own else "others")


def _log(event: Event) -> None:
    fields = {
        "event": event.kind.value,
        "principal": event.principal,
        "address": event.address,
        "session": event.session,
        "about": event.about,
        "outcome": event.outcome,
    }
    line = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items() if value)
    well = event.kind in _GOOD and (event.kind is not Kind.ACTION or event.outcome.startswith(_BEGUN))
    logger.log(logging.INFO if well else logging.WARNING, "%s", line, extra={"fields": fields})


def _count(event: Event) -> None:
    """For the figures: no word in them is one that somebody typed, or one of very many."""
    match event.kind:
        case Kind.SIGN_IN | Kind.FAILURE:
            figures.SIGN_INS.labels(event.outcome).inc()
        case Kind.SECOND_FACTOR | Kind.LIMITED:
            figures.SIGN_INS.labels(event.kind.value).inc()
        case Kind.RENEWAL_FAILED:
            figures.RENEWALS.labels(event.outcome).inc()
        case Kind.SIGN_OUT | Kind.END:
            figures.SESSION_ENDS.labels(event.outcome).inc()
        case Kind.ACTION:
            figures.ACTIONS.labels("begun" if event.outcome.startswith(_BEGUN) else event.outcome).inc()
        case Kind.REFUSAL:
            figures.REFUSALS.labels(event.outcome).inc()


def _quoted(value: str) -> str:
    """A value that holds no space, sign of equality or quote, or else in quotes: it cannot pass for two."""
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
