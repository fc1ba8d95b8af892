"""The per-principal index: what a list of sessions needs, sealed under a key of the server's alone, and no secret."""

import hashlib
import json
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from redis.asyncio import Redis

from services.errors import StoreCorrupt, StoreError
from services.keys import KeyRing
from services.sealing import fields_of, key_id_of, seal_bytes, unseal_bytes
from services.sessions.clock import stores_clock
from services.sessions.limits import Limits
from services.sessions.record import record_key
from services.sessions.session import short
from services.store.connection import Store

logger = logging.getLogger(__name__)

NO_KEY = -2  # the store's answer to PTTL for a key that is not there
_LONGEST_AGENT = 400
_MOST_KEYS = 10_000
"""Principals whose key is remembered."""


SPARE_SECONDS = 60
"""For so much longer a list is there than the last session on it may live: else that would end for want of the list."""

_ADD = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HLEN', KEYS[1])
"""

_REPLACE = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One session in its principal's index. `started` is Unix seconds by the store's clock, `agent` the User-Agent."""

    principal: str
    started: float
    address: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """A live session as a list shows it. Times are Unix seconds by the store's clock."""

    hash: str
    principal: str
    started: float
    last_used: float
    address: str
    agent: str

    @property
    def fingerprint(self) -> str:
        """What names the session to people: it opens nothing."""
        return short(self.hash)


class Index:
    """Every principal's list of sessions: a hash in the store, with one sealed entry a session."""

    def __init__(self, store: Store, keys: KeyRing, limits: Limits) -> None:
        self._store = store
        self._keys = keys
        self._limits = limits
        self._key = lru_cache(_MOST_KEYS)(self._key_of)

    def key(self, principal: str) -> str:
        """Where a principal's index lies."""
        return self._key(principal)

    async def add(self, entry: Entry, hash: str) -> int:
        """List a session; how many there are then. The index lives as long as the last one may."""
        index, value = self.sealed(entry, hash)

        async def add(client: Redis) -> int:
            return int(await client.eval(_ADD, 1, index, hash, value, self._limits.longest + SPARE_SECONDS))

        with suppress(StoreCorrupt):
            return await self._store.run(add, settle=True)
        await self._drop(index)  # it is none, which must keep nobody out
        return await self._store.run(add, settle=True)

    def sealed(self, entry: Entry, hash: str) -> tuple[str, bytes]:
        """Where a session's list lies, and what stands for it there."""
        index = self.key(entry.principal)
        return index, seal_entry(entry, self._keys, f"{index} {hash}")

    async def seal_anew(self, principal: str, hash: str) -> None:
        """Seal an entry with today's first key, if an older one has; a favour, so nothing goes wrong without it."""
        index, first = self.key(principal), self._keys.first

        async def get(client: Redis) -> bytes | None:
            found: Any = client.hget(index, hash)
            return await found

        with suppress(StoreError):
            before = await self._store.run(get)
            if before is None or key_id_of(before) == first.id:
                return
            place = f"{index} {hash}"
            value = seal_entry(unseal_entry(before, self._keys, place), self._keys, place)

            async def replace(client: Redis) -> None:
                await client.eval(_REPLACE, 1, index, hash, before, value)

            await self._store.run(replace)

    async def lists(self, principal: str, hash: str) -> bool:
        """Whether a session is on its principal's list."""

        async def ask(client: Redis) -> bool:
            found: Any = client.hexists(self.key(principal), hash)
            return bool(await found)

        with suppress(StoreCorrupt):
            return await self._store.run(ask)
        return False

    async def remove(self, principal: str, hash: str) -> None:
        """List a session no more."""
        with suppress(StoreCorrupt):
            await self._forget(self.key(principal), [hash])

    async def list(self, principal: str) -> tuple[ListedSession, ...]:
        """The principal's live sessions, newest first."""
        return await self._list(self.key(principal))

    async def list_all(self) -> tuple[ListedSession, ...]:
        """Every live session, by principal."""
        found: list[ListedSession] = []
        async for index in self._store.scan("index:*"):
            found += await self._list(index)
        return tuple(sorted(found, key=lambda listed: (listed.principal, -listed.started)))

    async def hashes(self, principal: str) -> Collection[str]:
        """What stands for the principal's sessions, those too whose entries cannot be read."""
        return await self._entries(self.key(principal))

    async def _entries(self, index: str) -> dict[str, bytes]:
        """The index as it lies there; one that is none of ours is dropped."""

        async def fields(client: Redis) -> dict[bytes, bytes]:
            found: dict[Any, Any] = await client.hgetall(index)
            return found

        try:
            found = await self._store.run(fields)
        except StoreCorrupt as exc:
            logger.error("unreadable index dropped: %s", exc)  # noqa: TRY400
            await self._drop(index)
            return {}
        return {name.decode("ascii", "replace"): value for name, value in found.items()}

    async def _list(self, index: str) -> tuple[ListedSession, ...]:
        entries = await self._entries(index)
        left = await self._lifetimes(index, entries)
        now = await stores_clock(self._store, index) if left else 0
        listed = [self._listed(index, hash, entries[hash], now, ttl) for hash, ttl in left.items()]
        alive = [one for one in listed if one and now < one.started + self._limits.longest]
        return tuple(sorted(alive, key=lambda one: -one.started))

    async def _lifetimes(self, index: str, hashes: Collection[str]) -> dict[str, int]:
        """Milliseconds until each session falls idle, -1 for never; entries whose sessions are gone are taken out."""

        async def ask(client: Redis) -> list[int]:
            async with client.pipeline(transaction=False) as pipe:
                for hash in hashes:
                    pipe.pttl(record_key(self._store, hash))
                return await pipe.execute()

        left = dict(zip(hashes, await self._store.run(ask) if hashes else [], strict=True))
        await self._forget(index, [hash for hash, ttl in left.items() if ttl == NO_KEY])
        return {hash: ttl for hash, ttl in left.items() if ttl != NO_KEY}

    def _listed(self, index: str, hash: str, value: bytes, now: float, ttl: int) -> ListedSession | None:
        try:
            entry = unseal_entry(value, self._keys, f"{index} {hash}")
        except StoreCorrupt as exc:
            logger.error("unreadable index entry session=%s: %s", short(hash), exc)  # noqa: TRY400
            return None
        used = now - self._limits.idle + ttl / 1000 if ttl >= 0 else entry.started
        return ListedSession(
            hash=hash,
            principal=entry.principal,
            started=entry.started,
            last_used=max(entry.started, used),
            address=entry.address,
            agent=entry.agent,
        )

    async def _forget(self, index: str, hashes: Collection[str]) -> None:
        """Entries whose sessions have expired."""
        if not hashes:
            return

        async def delete(client: Redis) -> None:
            await client.hdel(index, *hashes)

        await self._store.run(delete)

    def _key_of(self, principal: str) -> str:
        return self._store.key("index", hashlib.sha256(principal.encode()).hexdigest())

    async def _drop(self, index: str) -> None:
        async def delete(client: Redis) -> None:
            await client.delete(index)

        await self._store.run(delete)


def seal_entry(entry: Entry, keys: KeyRing, place: str) -> bytes:
    """Encrypt an entry for its place, `<index key> <field>`."""
    plain = json.dumps({**asdict(entry), "agent": entry.agent[:_LONGEST_AGENT]})
    return seal_bytes(plain.encode(), keys.first, keys.first.index, place)


def unseal_entry(value: bytes, keys: KeyRing, place: str) -> Entry:
    """Decrypt what `seal_entry` wrote. Raises StoreCorrupt."""
    plain = unseal_bytes(value, keys, lambda key: key.index, place)
    try:
        return Entry(**fields_of(Entry, plain))
    except (ValueError, TypeError) as exc:
        raise StoreCorrupt("is not an index entry") from exc
