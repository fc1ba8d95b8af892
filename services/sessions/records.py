"""The records in the store, and the tombstones of those that have ended. Ages go by the store's clock, not by ours.

    session:{<hash>}    the sealed record; its TTL is the idle limit
    ended:{<hash>}      why the session is over: with it no record opens, whoever brings one back
    renewing:{<hash>}   the lock of a renewal
    browser:<hash>      the session that a browser has

The braces keep a session's three keys in one slot of a Cluster.
"""

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ClusterCrossSlotError

from services.errors import EndReason, StoreCorrupt, StoreUnavailable
from services.keys import KeyRing
from services.sealing import seal_bytes, unseal_bytes
from services.sessions.clock import seconds, stores_clock
from services.sessions.record import Record, hash_id, record_key, seal, sealed_with_first, unseal
from services.store.connection import Store

_READ = """
local value, ended = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local left = redis.call('PTTL', KEYS[1])
if value and not ended and (ARGV[2] == '1' or left == -1) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
local clock, listed = redis.call('TIME'), -1
if KEYS[3] then
  listed = redis.pcall('HEXISTS', KEYS[3], ARGV[3])
  if type(listed) == 'table' then
    if not string.find(listed.err, 'WRONGTYPE') then return listed end
    listed = 0
  end
end
return {value, ended, left, clock[1], clock[2], listed}
"""

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

# Of each three keys what `ask_all` wants to know; for those that live, which are nearly all, the first alone.
_ASK = """
local told = {}
for at = 1, #KEYS, 3 do
  local left, ended = redis.pcall('PTTL', KEYS[at]), redis.pcall('GET', KEYS[at + 1])
  local listed = redis.pcall('HEXISTS', KEYS[at + 2], string.match(KEYS[at], '{(%x+)}$'))
  told[#told + 1] = ended == false and listed == 1 and left or {left, ended, listed}
end
return told
"""

_AT_ONCE = 100
"""Sessions that one script looks at: the store answers nobody else meanwhile."""

_MOST_PLACES = 10_000
"""Sessions whose keys are remembered as they are sent."""

_Places = tuple[bytes, bytes, bytes]
"""The keys that tell whether a session lives: its record, its tombstone, and its principal's list."""

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
        self._places = lru_cache(_MOST_PLACES)(self._places_of)
        self._together = store.one_server
        """Whether one question may be about keys of several slots; not where several servers pass for one."""

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
        keys = (self._key(hash), self._ended_key(hash))

        async def ask(client: Redis, *keys: str) -> Any:
            return await client.eval(_READ, len(keys), *keys, idle, int(touch), hash)

        async def read(client: Redis) -> tuple[bytes | None, object, int, float, int]:
            # The touch is the read: no second round trip, and a record that is gone stays gone.
            try:
                answer = await ask(client, *keys, *([index] if index and self._together else []))
            except ClusterCrossSlotError:
                self._together = False
                answer = await ask(client, *keys)
            value, ended, left, clock, micro, listed = answer
            if not isinstance(value, bytes | None):
                raise TypeError("a record is bytes")
            return value, ended, int(left), seconds(clock, micro), int(listed)

        value, ended, left, now, listed = await self._store.run(read)
        if value is None or ended is not None:  # a record that came back after its end opens nothing
            return reason_of(ended)
        record = unseal(value, self._keys, id, keys[0])
        stale = not sealed_with_first(value, self._keys)
        if stale and touch:
            with suppress(StoreUnavailable):  # a store that is full still reads; the next use tries again
                await self._seal_anew(id, value, record)
        return Found(
            record=record,
            now=now,
            left=left / 1000 if left >= 0 else float("inf"),
            stale=stale,
            listed=None if listed < 0 else listed == 1,
        )

    async def write(self, id: str, record: Record, idle: int) -> None:
        """Write a new record, for `idle` seconds."""
        key = self._key(hash_id(id))
        value = seal(record, self._keys, id, key)

        async def write(client: Redis) -> None:
            await client.set(key, value, ex=idle)

        await self._store.run(write)

    async def rewrite(self, id: str, record: Record) -> bool:
        """Put another record in the place of one that is there; False, and nothing written, where none is."""
        key = self._key(hash_id(id))
        value = seal(record, self._keys, id, key)

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
        key, first = self._store.key("browser", hash_id(browser)), self._keys.first
        value = seal_bytes(whose.encode(), first, first.index, key)

        async def write(client: Redis) -> bytes | None:
            before: Any = await client.set(key, value, ex=seconds, get=True)
            return before

        with suppress(StoreCorrupt):
            before = await self._store.run(write)
            return unseal_bytes(before, self._keys, lambda made: made.index, key).decode() if before else ""
        await self._overwrite(key, value, seconds)
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

    async def ask_all(self, asked: Iterable[tuple[str, str]]) -> list[tuple[Any, Any, Any]]:
        """For each hash and the index that lists it: milliseconds left, why it ended, whether it is listed.

        In one round trip; an exception where a key cannot be read, so that it blinds us to no other.
        """
        places = [self._places(hash, index) for hash, index in asked]

        async def ask(client: Redis) -> list[tuple[Any, Any, Any]]:
            if self._together:
                try:
                    return await _ask_by_script(client, places)
                except ClusterCrossSlotError:
                    self._together = False
            return await _ask_each(client, places)

        return await self._store.run(ask) if places else []

    async def _overwrite(self, key: str, value: bytes, seconds: int) -> None:
        """Whatever lies there must keep nobody out."""

        async def write(client: Redis) -> None:
            await client.set(key, value, ex=seconds)

        await self._store.run(write)

    async def _seal_anew(self, id: str, before: bytes, record: Record) -> None:
        """With today's first key, unless somebody has written another record meanwhile."""
        key = self._key(hash_id(id))
        value = seal(record, self._keys, id, key)

        async def replace(client: Redis) -> None:
            await client.eval(_REPLACE, 1, key, before, value)

        await self._store.run(replace)

    def _places_of(self, hash: str, index: str) -> _Places:
        return self._key(hash).encode(), self._ended_key(hash).encode(), index.encode()

    def _key(self, hash: str) -> str:
        return record_key(self._store, hash)

    def _ended_key(self, hash: str) -> str:
        return self._store.key("ended", f"{{{hash}}}")

    def _lock_key(self, hash: str) -> str:
        return self._store.key("renewing", f"{{{hash}}}")


def reason_of(ended: object) -> EndReason:
    """Why a session is gone: as it was left for its tabs, else it ran out for idleness."""
    if ended is None:
        return EndReason.IDLE
    words = ended.decode("ascii", "replace").partition(" ")[0] if isinstance(ended, bytes) else ""
    return EndReason(words) if words in set(EndReason) else EndReason.ENDED


async def _ask_by_script(client: Redis, places: Sequence[_Places]) -> list[tuple[Any, Any, Any]]:
    """In a tenth of the time that each command by itself takes us."""
    parts = [places[start : start + _AT_ONCE] for start in range(0, len(places), _AT_ONCE)]
    async with client.pipeline(transaction=False) as pipe:
        for part in parts:
            pipe.eval(_ASK, 3 * len(part), *chain.from_iterable(part))
        answers = await pipe.execute(raise_on_error=False)
    return [one for part, answer in zip(parts, answers, strict=True) for one in _told(answer, len(part))]


async def _ask_each(client: Redis, places: Sequence[_Places]) -> list[tuple[Any, Any, Any]]:
    """As a Cluster wants it, where a script may look at the keys of one session alone."""
    async with client.pipeline(transaction=False) as pipe:
        for record, ended, index in places:
            pipe.pttl(record)
            pipe.get(ended)
            pipe.hexists(index, _hash_in(record))
        answers = await pipe.execute(raise_on_error=False)
    return [_judged(one) for one in zip(answers[::3], answers[1::3], answers[2::3], strict=True)]


def _hash_in(key: bytes) -> str:
    """A session's hash, as its key has it in braces."""
    return key[key.rindex(b"{") + 1 : -1].decode()


def _told(answer: Any, count: int) -> list[tuple[Any, Any, Any]]:
    """What `_ASK` tells of so many sessions."""
    if isinstance(answer, Exception):
        raise answer
    if not isinstance(answer, list) or len(answers := cast(list[Any], answer)) != count:
        raise TypeError("one word for each session")
    return [(one, None, 1) if type(one) is int else _judged(one) for one in answers]


def _judged(answers: Any) -> tuple[Any, Any, Any]:
    """Errors too, if they tell of a key of another type; any other tells nothing, least of all of an end."""
    left, ended, listed = (answers, None, None) if isinstance(answers, Exception) else answers
    for answer in (left, ended, listed):
        if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
            raise answer
    if not isinstance(left, int):
        raise TypeError("a time to live is a number")
    return left, ended, listed
