"""The records in the store, and the tombstones of those that have ended. Ages go by the store's clock, not by ours.

    session:{<hash>}    the sealed record; its TTL is the idle limit
    ended:{<hash>}      why the session is over: with it no record opens, whoever brings one back
    renewing:{<hash>}   the lock of a renewal
    browser:<hash>      the session that a browser has

The braces keep a session's three keys in one slot of a Cluster.
"""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from services.errors import EndReason, StoreCorrupt, StoreUnavailable
from services.keys import KeyRing
from services.sealing import seal_bytes, unseal_bytes
from services.sessions.clock import stores_clock
from services.sessions.questions import Answer, Questions
from services.sessions.record import Record, ended_key, hash_id, record_key, seal, sealed_with_first, unseal
from services.store.connection import Store

# What asks twice, since the answer was lost, is told the same twice: each process writes a word of its own.
_BURY = """
local before = redis.call('GET', KEYS[2])
if not before then redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[3], 'EX', ARGV[2]) end
redis.call('DEL', KEYS[1])
return (not before or string.sub(before, -#ARGV[3]) == ARGV[3]) and 1 or 0
"""

_LOCK = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

_PAUSED = b"paused"

_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'XX', 'KEEPTTL')
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lay there: the record, and when it was read, by the store's clock."""

    record: Record
    now: float
    """Unix seconds."""

    left: float
    """Seconds that were left of the idle limit; infinite where somebody has taken the limit away."""

    stale: bool = False
    """Whether an older key had sealed it."""

    listed: bool | None = None
    """Whether the index that was named lists the session; None where none was named, or could be asked along."""


class Records:
    """Reads and writes them. Every method raises StoreUnavailable when the store is down."""

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys
        self._word = secrets.token_hex(8)
        self._questions = Questions(store)

    async def now(self, id: str) -> float:
        """The store's clock, in Unix seconds, where the session with this id lies."""
        return await stores_clock(self._store, self._key(hash_id(id)))

    async def read(self, id: str, idle: int, *, touch: bool, index: str = "") -> Found | EndReason:
        """The record of the session with this id, or why there is none.

        `touch` sets the idle limit anew, to so many seconds; so does a limit that somebody has taken away. `index` is
        the key of the list that it should be on, if that is known: then one question does for both.
        Raises StoreCorrupt for something there that we did not write.
        """
        hash = hash_id(id)
        told = await self._questions.read(hash, idle, touch=touch, index=index)
        if told.value is None or told.ended is not None:  # a record that came back after its end opens nothing
            return reason_of(told.ended)
        record = unseal(told.value, self._keys, id, self._key(hash))
        stale = not sealed_with_first(told.value, self._keys)
        if stale and touch:
            with suppress(StoreUnavailable):  # a store that is full still reads; the next use tries again
                await self._seal_anew(id, told.value, record)
        left = told.left / 1000 if told.left >= 0 else float("inf")
        return Found(record=record, now=told.now, left=left, stale=stale, listed=told.listed)

    async def write(self, id: str, record: Record, idle: int) -> None:
        """Write a new record, for `idle` seconds."""
        key, value = self.sealed(id, record)

        async def write(client: Redis) -> None:
            await client.set(key, value, ex=idle)

        await self._store.run(write)

    def sealed(self, id: str, record: Record) -> tuple[str, bytes]:
        """Where a record lies, and as what."""
        key = self._key(hash_id(id))
        return key, seal(record, self._keys, id, key)

    async def rewrite(self, id: str, record: Record) -> bool:
        """Put another record in the place of one that is there; False, and nothing written, where none is."""
        key, value = self.sealed(id, record)

        async def write(client: Redis) -> bool:
            # XX: a record that was ended meanwhile is never brought back.
            return bool(await client.set(key, value, xx=True, keepttl=True))

        return await self._store.run(write)

    async def count(self) -> int:
        """How many records there are."""
        return len([key async for key in self._store.scan("session:*")])

    async def bury(self, hash: str, reason: EndReason, seconds: int) -> bool:
        """Take a record away and leave the reason for so long; whether this process did it first, now or before.

        Where a replica may take the primary's place, it knows by then, if any answers.
        """

        keys = (self._key(hash), self._ended_key(hash))

        async def bury(client: Redis) -> bool:
            return bool(await client.eval(_BURY, 2, *keys, reason.value, seconds, self._word))

        return await self._store.run(bury, settle=True)

    async def drop(self, hash: str) -> None:
        """Take away what cannot be read."""

        async def delete(client: Redis) -> None:
            await client.delete(self._key(hash), self._ended_key(hash))

        await self._store.run(delete)

    async def change_browser(self, browser: str, whose: str, seconds: int) -> str:
        """Note `whose` a browser is, for so long; what was noted before, empty if nothing that can be read."""
        key, value = self.sealed_browser(browser, whose)

        async def write(client: Redis) -> bytes | None:
            before: Any = await client.set(key, value, ex=seconds, get=True)
            return before

        with suppress(StoreCorrupt):
            return self.read_browser(key, await self._store.run(write))
        await self._overwrite(key, value, seconds)
        return ""

    def sealed_browser(self, browser: str, whose: str) -> tuple[str, bytes]:
        """Where it is noted `whose` a browser is, and as what."""
        key, first = self._store.key("browser", hash_id(browser)), self._keys.first
        return key, seal_bytes(whose.encode(), first, first.index, key)

    def read_browser(self, key: str, noted: bytes | None) -> str:
        """Whose a browser is; empty where that is not noted, or cannot be read."""
        with suppress(StoreCorrupt):
            return unseal_bytes(noted, self._keys, lambda made: made.index, key).decode() if noted else ""
        return ""

    async def lock(self, hash: str, milliseconds: int) -> bool:
        """Take the lock of a renewal, unless somebody has it."""

        async def lock(client: Redis) -> bool:
            return bool(await client.eval(_LOCK, 1, self._lock_key(hash), self._word, milliseconds))

        return await self._store.run(lock)

    async def unlock(self, hash: str) -> None:
        """Give the lock back, if this process has it."""

        async def unlock(client: Redis) -> None:
            await client.eval(_UNLOCK, 1, self._lock_key(hash), self._word)

        await self._store.run(unlock)

    async def pause(self, hash: str, milliseconds: int) -> None:
        """Keep the lock for so long, and say that nobody works behind it."""

        async def pause(client: Redis) -> None:
            await client.set(self._lock_key(hash), _PAUSED, px=milliseconds)

        await self._store.run(pause)

    async def under_way(self, hash: str) -> bool:
        """Whether somebody works behind the lock."""

        async def ask(client: Redis) -> object:
            return await client.get(self._lock_key(hash))

        return await self._store.run(ask) not in {None, _PAUSED}

    async def ask_all(self, asked: Iterable[tuple[str, str]]) -> dict[str, Answer]:
        """What there is of each hash and the index that lists it, by the hash."""
        return await self._questions.ask_all(asked)

    async def _overwrite(self, key: str, value: bytes, seconds: int) -> None:
        """Whatever lies there must keep nobody out."""

        async def write(client: Redis) -> None:
            await client.set(key, value, ex=seconds)

        await self._store.run(write)

    async def _seal_anew(self, id: str, before: bytes, record: Record) -> None:
        """With today's first key, unless somebody has written another record meanwhile."""
        key, value = self.sealed(id, record)

        async def replace(client: Redis) -> None:
            await client.eval(_REPLACE, 1, key, before, value)

        await self._store.run(replace)

    def _key(self, hash: str) -> str:
        return record_key(self._store, hash)

    def _ended_key(self, hash: str) -> str:
        return ended_key(self._store, hash)

    def _lock_key(self, hash: str) -> str:
        return self._store.key("renewing", f"{{{hash}}}")


def reason_of(ended: object) -> EndReason:
    """Why a session is gone: as it was left for its tabs, else it ran out for idleness."""
    if ended is None:
        return EndReason.IDLE
    words = ended.decode("ascii", "replace").partition(" ")[0] if isinstance(ended, bytes) else ""
    return EndReason(words) if words in set(EndReason) else EndReason.ENDED
