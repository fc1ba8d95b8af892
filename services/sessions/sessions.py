"""The life of a session: create, read, end, list, and the signed-in Proxmox client of each."""

import logging
import math
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from services.audit import Audit, Event, Kind
from services.errors import EndReason, KeyUnknown, SessionEnded, StoreCorrupt, StoreError, TicketRejected
from services.keys import KeyRing
from services.proxmox import Credential, Proxmox, ProxmoxClient, Ticket
from services.proxmox.clock import TICKET_SECONDS
from services.sessions.beginning import Beginnings
from services.sessions.cookie import new_id
from services.sessions.graveyard import Graveyard
from services.sessions.index import NO_KEY, Entry, Index, ListedSession
from services.sessions.limits import MOST_SESSIONS, Limits
from services.sessions.questions import Answer
from services.sessions.record import Record, hash_id
from services.sessions.records import Found, Records, reason_of
from services.sessions.renewal import Renewals, by_our_clock, by_stores_clock
from services.sessions.session import Named, Session, short
from services.store.connection import Store

logger = logging.getLogger(__name__)

MOST_KNOWN = 10_000
"""Sessions whose principals this process remembers; the rest cost one question to the store more."""

ENDED_CHANNEL = "ended"
"""Where every end is told to all replicas, as `<hash> <reason>`: for speed alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    hash: str
    principal: str


class Life(NamedTuple):
    """What the store said of a session: `reason` is None while it lives, for `left` seconds more if nothing is done."""

    reason: EndReason | None = None
    left: float = 0
    buried: bool = False
    """Whether the end has been noted in the store; else nobody has told it yet."""


class Sessions:
    """All sessions in one store. Every method raises StoreUnavailable when the store is down."""

    def __init__(self, store: Store, keys: KeyRing, proxmox: Proxmox, limits: Limits) -> None:
        self._store = store
        self._proxmox = proxmox
        self._index = Index(store, keys, limits)
        self._records = Records(store, keys)
        self._beginnings = Beginnings(store, self._records, self._index, limits)
        self._graveyard = Graveyard(limits.longest)
        self._known: dict[str, str] = {}  # principals by hash: which list to ask along, and never what it says
        self.audit = Audit(store, keys)
        self._renewals = Renewals(self._records, proxmox, limits, self.audit, self._found, self.end)
        self.limits = limits

    async def create(self, credential: Credential, *, address: str, agent: str, browser: str = "") -> Session:
        """Begin a session with a new id for someone whom Proxmox has just accepted.

        `browser` is an opaque id of the browser, if it has one: it keeps at most one session, however many
        sign-ins it starts at once, so the one before is ended.
        """
        id, seen = new_id(), time.monotonic()
        now = await self._records.now(id)
        record = Record(created=now, credential=by_stores_clock(credential, now))
        session = self._session(id, record, now, seen)
        entry = Entry(principal=session.principal, started=now, address=address, agent=agent)
        count, before = await self._beginnings.write(id, record, entry, browser)
        if before:
            await self._leave_browser(before, session)
        if count > MOST_SESSIONS:
            with suppress(StoreError):  # the next sign-in makes room for both
                await self._make_room(session)
        return session

    async def read(self, id: str, *, touch: bool = True) -> Session:
        """The live session with this id; `touch` moves its idle limit. Raises SessionEnded."""
        seen = time.monotonic()
        found = await self._read(id, touch=touch)
        return self._session(id, found.record, found.now, seen)

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the store answers."""
        await self._store.ping()

    async def end(self, session: Named, reason: EndReason, address: str = "") -> None:
        """End one session, by somebody at that address if by anybody.

        Its id opens nothing from here on, here and on every replica; why it ended stays readable for its tabs.
        """
        self._known.pop(session.hash, None)
        first = await self._records.bury(session.hash, reason, self.limits.longest)
        news = self._graveyard.add(session.hash, reason)
        with suppress(StoreError):  # without a record it leaves the list when that is read
            await self._index.remove(session.principal, session.hash)
        if not (first and news):
            return
        with suppress(StoreError):  # the others find out by themselves
            await self._store.publish(ENDED_CHANNEL, f"{session.hash} {reason.value}".encode())
        kind = Kind.SIGN_OUT if reason is EndReason.SIGNED_OUT else Kind.END
        await self.audit.note(Event(
            kind=kind, principal=session.principal, address=address, session=short(session.hash), outcome=reason.value
        ))  # fmt: skip

    async def end_others(self, session: Session, address: str = "") -> int:
        """End every other session of this one's principal; how many there were."""
        return await self._end_all(session.principal, EndReason.ENDED, address, but=session.hash)

    async def end_all(self, principal: str, reason: EndReason = EndReason.ENDED) -> int:
        """End every session of a principal; how many there were."""
        return await self._end_all(principal, reason)

    async def list(self, principal: str) -> tuple[ListedSession, ...]:
        """The principal's live sessions, newest first."""
        return await self._index.list(principal)

    async def count(self) -> int:
        """How many sessions there are, in the store."""
        return await self._records.count()

    async def list_all(self) -> tuple[ListedSession, ...]:
        """Every live session, for the administrator."""
        return await self._index.list_all()

    @asynccontextmanager
    async def credentials(self, session: Session) -> AsyncGenerator[ProxmoxClient]:
        """The session's signed-in Proxmox client, its ticket renewed when due:

            async with sessions.credentials(session) as proxmox:
                resources = await proxmox.resources()

        Raises SessionEnded, also when Proxmox no longer accepts the ticket: the session ends with it. What is lent is
        good for as long as its ticket: whoever works for hours borrows anew.
        """
        found = await self.keep_fresh(session)
        try:
            yield self._proxmox.signed_in(by_our_clock(found.record.credential, found.now))
        except TicketRejected as exc:
            if (await self._found(session)).record.credential != found.record.credential:
                raise  # what was lent has been renewed meanwhile: the session itself is well
            await self.end(session, EndReason.REJECTED)
            raise SessionEnded(EndReason.REJECTED) from exc

    async def keep_fresh(self, session: Session) -> Found:
        """The session's record, its ticket renewed when due. Raises SessionEnded."""
        found = await self._found(session)
        return await self._renewals.renewed(session, found) if self._renewals.due(found) else found

    async def confirm(self, sessions: Iterable[Named]) -> dict[str, Life]:
        """For each session, by the hash of its id, whether it lives and else why it ended; in one round trip."""
        asked = tuple(sessions)
        answers = await self._records.ask_all((one.hash, self._index.key(one.principal)) for one in asked)
        return {one.hash: self._life(one.hash, answers[one.hash]) for one in asked}

    def heard_of_end(self, message: bytes) -> tuple[str, EndReason]:
        """What ENDED_CHANNEL told, as the hash and the reason; from here on this process knows of it too."""
        hash, _, words = message.decode("ascii", "replace").partition(" ")
        reason = reason_of(words.encode())
        self._graveyard.add(hash, reason)
        return hash, reason

    # below: what the records say

    def _session(self, id: str, record: Record, now: float, seen: float) -> Session:
        left = record.created + self.limits.longest - now
        return Session(
            id=id, principal=record.principal, created=record.created, deadline=time.monotonic() + left, seen=seen
        )

    async def _found(self, session: Session) -> Found:
        return await self._read(session.id, touch=False)

    async def _read(self, id: str, *, touch: bool) -> Found:
        hash = hash_id(id)
        known = self._known.get(hash)
        index = self._index.key(known) if known else ""
        try:
            found = await self._records.read(id, self.limits.idle, touch=touch, index=index)
        except KeyUnknown as exc:  # another replica may know it
            logger.error("session refused session=%s: %s", short(hash), exc)  # noqa: TRY400
            raise SessionEnded(EndReason.ENDED) from exc
        except StoreCorrupt as exc:
            # Something unreadable is never trusted, and not kept either.
            logger.error("unreadable session dropped session=%s: %s", short(hash), exc)  # noqa: TRY400
            await self._records.drop(hash)
            raise SessionEnded(EndReason.ENDED) from exc
        if isinstance(found, EndReason):
            self._known.pop(hash, None)
            raise SessionEnded(self._graveyard.reason(hash) or found)
        named = _Named(hash=hash, principal=found.record.principal)
        listed = found.listed if known == named.principal else None
        if reason := self._graveyard.reason(hash) or self._outlived(found) or await self._unlisted(named, listed):
            await self.end(named, reason)
            raise SessionEnded(reason)
        self._know(named)
        if found.stale:  # else the list could not describe it any more once that key is gone
            await self._index.seal_anew(named.principal, hash)
        return found

    async def _unlisted(self, named: Named, listed: bool | None) -> EndReason | None:
        """The list is what counts: what its owner cannot find must not live."""
        if listed is None:
            listed = await self._index.lists(named.principal, named.hash)
        return None if listed else EndReason.ENDED

    def _know(self, named: Named) -> None:
        """Who has come again lately is remembered for longest."""
        self._known.pop(named.hash, None)
        self._known[named.hash] = named.principal
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _outlived(self, found: Found) -> EndReason | None:
        """Whether a record is past its own time, whatever the store's TTL says."""
        record, now = found.record, found.now
        if now >= record.created + self.limits.longest:
            return EndReason.AGE
        if isinstance(record.credential, Ticket) and now >= record.credential.issued + TICKET_SECONDS:
            unused = self.limits.idle - found.left
            used_lately = unused < TICKET_SECONDS - self.limits.renew_ticket  # and yet no renewal succeeded
            return EndReason.REJECTED if used_lately and math.isfinite(found.left) else EndReason.IDLE
        return None

    def _life(self, hash: str, answer: Answer) -> Life:
        left, ended, listed = answer
        known = self._graveyard.reason(hash)
        if ended is not None or left == NO_KEY or not isinstance(left, int):
            return Life(known or reason_of(ended), buried=ended is not None)
        if known or listed != 1:
            return Life(known or EndReason.ENDED)
        return Life(None, left / 1000 if left >= 0 else math.inf)

    # below: what one session means for others

    async def _leave_browser(self, before: str, session: Session) -> None:
        """End what this browser had `before`."""
        hash, _, principal = before.partition(" ")
        named = _Named(hash=hash, principal=principal)
        if hash == session.hash:  # the store's answer to a question that it was asked twice
            return
        life = (await self.confirm([named]))[hash]
        if not life.buried and life.reason is not EndReason.IDLE:  # else it was ended before, or has run out
            await self.end(named, EndReason.SIGNED_OUT)

    async def _make_room(self, session: Session) -> None:
        """End those that were idle for longest, beyond the most that a principal may have."""
        others = [one for one in await self._index.list(session.principal) if one.hash != session.hash]
        others.sort(key=lambda one: one.last_used)
        for one in others[: max(0, len(others) + 1 - MOST_SESSIONS)]:
            await self.end(one, EndReason.ENDED)

    async def _end_all(self, principal: str, reason: EndReason, address: str = "", *, but: str = "") -> int:
        alive = {one.hash for one in await self._index.list(principal)} - {but}
        # Those that the index cannot describe are ended too.
        for hash in await self._index.hashes(principal):
            if hash != but:
                await self.end(_Named(hash=hash, principal=principal), reason, address)
        return len(alive)
