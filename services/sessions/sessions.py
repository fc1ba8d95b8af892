"""The life of a session: create, read, renew, end, list, and the signed-in Proxmox client of each."""

import logging
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis.asyncio import Redis

from services.errors import (
    EndReason,
    ProxmoxError,
    SessionEnded,
    StoreCorrupt,
    StoreError,
    TicketRejected,
)
from services.keys import KeyRing
from services.proxmox import Credential, Proxmox, ProxmoxClient, Ticket
from services.sessions.cookie import new_id
from services.sessions.index import FINGERPRINT_LENGTH, Entry, Index, ListedSession
from services.sessions.limits import Limits
from services.sessions.record import Record, hash_id, record_key, seal, unseal
from services.store.connection import Store

logger = logging.getLogger(__name__)

RENEWAL_LOCK_MS = 15_000

TICKET_SECONDS = 7200
"""How long Proxmox accepts a ticket."""

TIDY_INDEX_EVERY = 50
"""At so many entries an index is rid of those whose sessions have expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that was live when it was read. It holds no ticket: `Sessions.credentials` fetches that when used."""

    id: str = field(repr=False)
    principal: str
    created: float
    ends: float
    """Unix seconds at which it reaches its longest age."""

    @property
    def hash(self) -> str:
        """What stands for the id in the store and in memory."""
        return hash_id(self.id)

    @property
    def fingerprint(self) -> str:
        """What names the session in logs and lists: it opens nothing."""
        return self.hash[:FINGERPRINT_LENGTH]


class Named(Protocol):
    """What ending a session needs to know of it."""

    @property
    def hash(self) -> str: ...
    @property
    def principal(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    hash: str
    principal: str


class Sessions:
    """All sessions in one store. Every method raises StoreUnavailable when the store is down."""

    def __init__(self, store: Store, keys: KeyRing, proxmox: Proxmox, limits: Limits) -> None:
        self._store = store
        self._keys = keys
        self._proxmox = proxmox
        self._index = Index(store, keys, limits)
        self.limits = limits

    async def create(self, credential: Credential, *, address: str, agent: str, browser: str = "") -> Session:
        """Begin a session with a new id for someone whom Proxmox has just accepted.

        `browser` is an opaque id of the browser, if it has one: it keeps at most one session, however many
        sign-ins it starts at once, so the one before is ended.
        """
        record = Record(created=time.time(), credential=credential)
        session = self._session(new_id(), record)
        key, index = self._record_key(session.hash), self._index.key(session.principal)
        entry = Entry(principal=session.principal, started=record.created, address=address, agent=agent)
        value = seal(record, self._keys, session.id, key)
        listed = self._index.seal(entry, session.hash)

        async def write(client: Redis) -> tuple[int, bytes | None]:
            async with client.pipeline(transaction=True) as pipe:
                pipe.hset(index, session.hash, listed)
                pipe.expire(index, self.limits.longest)
                pipe.set(key, value, ex=self.limits.idle)
                pipe.hlen(index)
                if browser:
                    pipe.set(self._browser_key(browser), session.hash, ex=self.limits.longest, get=True)
                answers = await pipe.execute()
                return int(answers[3]), answers[4] if browser else None

        try:
            count, before = await self._store.run(write)
        except StoreCorrupt:  # the index is none, which must keep nobody out
            await self._drop(index, self._browser_key(browser))
            count, before = await self._store.run(write)
        if before is not None:
            hash = before.decode("ascii", "replace")
            await self._end([_Named(hash=hash, principal=session.principal)], EndReason.SIGNED_OUT)
        if count % TIDY_INDEX_EVERY == 0:
            with suppress(StoreError):
                await self._index.tidy(session.principal)
        return session

    async def read(self, id: str, *, touch: bool = True) -> Session:
        """The live session with this id; `touch` moves its idle limit. Raises SessionEnded."""
        return self._session(id, await self._read(id, touch=touch))

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the store answers."""
        await self._store.ping()

    async def renew(self, session: Session) -> None:
        """Exchange a ticket for a new one, once however many ask: the others go on with the old one.

        Raises SessionEnded when Proxmox refuses the ticket; any other trouble leaves the old one in use.
        """
        record = await self._read(session.id, touch=False)
        if not isinstance(record.credential, Ticket) or not await self._lock_renewal(session):
            return
        try:
            renewed = await self._proxmox.renew(record.credential)
        except TicketRejected as exc:
            await self.end(session, EndReason.REJECTED)
            raise SessionEnded(EndReason.REJECTED) from exc
        except ProxmoxError as exc:
            logger.warning("ticket not renewed session=%s: %s", session.fingerprint, type(exc).__name__)
            return
        await self._rewrite(session, Record(created=record.created, credential=renewed))

    async def end(self, session: Named, reason: EndReason) -> None:
        """End one session. Its id opens nothing from here on; why it ended stays readable for its tabs."""
        await self._end([session], reason)
        logger.info("session ended session=%s principal=%s reason=%s", session.hash[:FINGERPRINT_LENGTH],
                    session.principal, reason)  # fmt: skip

    async def end_all(self, principal: str, reason: EndReason = EndReason.ENDED) -> int:
        """End every session of a principal; how many there were."""
        alive = await self._index.list(principal)
        # Those that the index cannot describe are ended too.
        every = [_Named(hash=hash, principal=principal) for hash in await self._index.hashes(principal)]
        await self._end(every, reason)
        logger.info("all sessions ended principal=%s count=%d reason=%s", principal, len(alive), reason)
        return len(alive)

    async def list(self, principal: str) -> tuple[ListedSession, ...]:
        """The principal's live sessions, newest first."""
        return await self._index.list(principal)

    async def list_all(self) -> tuple[ListedSession, ...]:
        """Every live session, for the administrator."""
        return await self._index.list_all()

    @asynccontextmanager
    async def credentials(self, session: Session) -> AsyncGenerator[ProxmoxClient]:
        """The session's signed-in Proxmox client, its ticket renewed when due:

            async with sessions.credentials(session) as proxmox:
                resources = await proxmox.resources()

        Raises SessionEnded, also when Proxmox no longer accepts the ticket: the session ends with it.
        """
        credential = (await self._read(session.id, touch=False)).credential
        if isinstance(credential, Ticket) and time.time() - credential.issued >= self.limits.renew_ticket:
            await self.renew(session)
            credential = (await self._read(session.id, touch=False)).credential
        try:
            yield self._proxmox.signed_in(credential)
        except TicketRejected as exc:
            await self.end(session, EndReason.REJECTED)
            raise SessionEnded(EndReason.REJECTED) from exc

    async def confirm(self, hashes: Iterable[str]) -> dict[str, EndReason | None]:
        """For each hash of a session's id, None while it lives and else why it ended; in one round trip."""
        wanted = tuple(hashes)

        async def ask(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                for hash in wanted:
                    pipe.exists(self._record_key(hash))
                    pipe.get(self._ended_key(hash))
                return await pipe.execute(raise_on_error=False)  # one bad key must not blind us to the others

        answers = await self._store.run(ask) if wanted else []
        return {
            hash: None if lives == 1 and ended is None else _reason(ended)
            for hash, lives, ended in zip(wanted, answers[::2], answers[1::2], strict=True)
        }

    # below: the store's keys and their contents

    def _session(self, id: str, record: Record) -> Session:
        ends = record.created + self.limits.longest
        return Session(id=id, principal=record.principal, created=record.created, ends=ends)

    def _record_key(self, hash: str) -> str:
        return record_key(self._store, hash)

    def _ended_key(self, hash: str) -> str:
        return self._store.key("ended", hash)

    def _browser_key(self, browser: str) -> str:
        return self._store.key("browser", hash_id(browser))

    async def _read(self, id: str, *, touch: bool) -> Record:
        hash = hash_id(id)
        key = self._record_key(hash)

        async def read(client: Redis) -> tuple[bytes | None, object]:
            async with client.pipeline(transaction=False) as pipe:
                # The touch is the read: no second round trip, and a record that is gone stays gone.
                pipe.getex(key, ex=self.limits.idle) if touch else pipe.get(key)
                pipe.get(self._ended_key(hash))
                value, ended = await pipe.execute()
            if not isinstance(value, bytes | None):
                raise TypeError("a record is bytes")
            return value, ended

        try:
            value, ended = await self._store.run(read)
            if value is None or ended is not None:  # a record that came back after its end opens nothing
                raise SessionEnded(_reason(ended))
            record = unseal(value, self._keys, id, key)
        except StoreCorrupt as exc:
            # Something unreadable is never trusted, and not kept either.
            logger.error("unreadable session dropped session=%s: %s", hash[:FINGERPRINT_LENGTH], exc)  # noqa: TRY400
            await self._drop(key, self._ended_key(hash))
            raise SessionEnded(EndReason.ENDED) from exc
        if reason := self._outlived(record):
            await self.end(self._session(id, record), reason)
            raise SessionEnded(reason)
        return record

    def _outlived(self, record: Record) -> EndReason | None:
        """Whether a record is past its own time, whatever the store's TTL says."""
        now = time.time()
        if now >= record.created + self.limits.longest:
            return EndReason.AGE
        if isinstance(record.credential, Ticket) and now >= record.credential.issued + TICKET_SECONDS:
            return EndReason.IDLE  # a session in use has its ticket renewed long before
        return None

    async def _drop(self, *keys: str) -> None:
        async def delete(client: Redis) -> None:
            await client.delete(*keys)

        await self._store.run(delete)

    async def _lock_renewal(self, session: Session) -> bool:
        async def lock(client: Redis) -> bool:
            key = self._store.key("renewing", session.hash)
            return bool(await client.set(key, b"1", nx=True, px=RENEWAL_LOCK_MS))

        return await self._store.run(lock)

    async def _rewrite(self, session: Session, record: Record) -> None:
        key = self._record_key(session.hash)
        value = seal(record, self._keys, session.id, key)

        async def write(client: Redis) -> None:
            # XX: a record that was ended meanwhile is never brought back.
            await client.set(key, value, xx=True, keepttl=True)

        await self._store.run(write)

    async def _end(self, sessions: Iterable[Named], reason: EndReason) -> None:
        async def delete(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipe:
                for session in sessions:
                    pipe.delete(self._record_key(session.hash))
                    pipe.hdel(self._index.key(session.principal), session.hash)
                    pipe.set(self._ended_key(session.hash), reason.value, ex=self.limits.longest, nx=True)
                await pipe.execute()

        await self._store.run(delete)


def _reason(ended: object) -> EndReason:
    """Why a session is gone: as it was left for its tabs, else it ran out for idleness."""
    if ended is None:
        return EndReason.IDLE
    words = ended.decode("ascii", "replace") if isinstance(ended, bytes) else ""
    return EndReason(words) if words in set(EndReason) else EndReason.ENDED
