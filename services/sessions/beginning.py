"""What is written when a session begins: its record, its entry in the list, and whose its browser is from now on.

In one round trip, and nobody sees a part of it; a Cluster, and what passes for one server and is several, is told one
thing after the other.
"""

from contextlib import suppress
from typing import Any

from redis.asyncio import Redis

from services.errors import StoreCorrupt
from services.sessions.index import SPARE_SECONDS, Entry, Index
from services.sessions.limits import Limits
from services.sessions.record import Record, hash_id
from services.sessions.records import Records
from services.store.connection import Store

_BEGIN = """
local hash, idle, listed, longest = unpack(ARGV, 1, 4)
redis.call('SET', KEYS[1], ARGV[5], 'EX', idle)
redis.call('HSET', KEYS[2], hash, ARGV[6])
redis.call('EXPIRE', KEYS[2], listed)
local before = KEYS[3] and redis.call('SET', KEYS[3], ARGV[7], 'EX', longest, 'GET') or false
return {redis.call('HLEN', KEYS[2]), before}
"""


class Beginnings:
    """Writes them. Raises StoreUnavailable when the store is down."""

    def __init__(self, store: Store, records: Records, index: Index, limits: Limits) -> None:
        self._store = store
        self._records = records
        self._index = index
        self._limits = limits

    async def write(self, id: str, record: Record, entry: Entry, browser: str) -> tuple[int, str]:
        """How many sessions the principal has then, and whose the `browser`, if there is one, was before."""
        whose = f"{hash_id(id)} {entry.principal}"
        with suppress(StoreCorrupt):  # a key is of another type: each by itself knows what then
            written = await self._at_once(id, record, entry, browser, whose)
            if written is not None:
                return written
        # The list takes out what has no record, so that comes first; nobody knows the id before both are there.
        await self._records.write(id, record, self._limits.idle)
        count = await self._index.add(entry, hash_id(id))
        return count, await self._records.change_browser(browser, whose, self._limits.longest) if browser else ""

    async def _at_once(self, id: str, record: Record, entry: Entry, browser: str, whose: str) -> tuple[int, str] | None:
        """None where no script may touch all of it."""
        hash, longest = hash_id(id), self._limits.longest
        places = [self._records.sealed(id, record), self._index.sealed(entry, hash)]
        if browser:
            places.append(self._records.sealed_browser(browser, whose))
        keys, values = zip(*places, strict=True)
        limits = (self._limits.idle, longest + SPARE_SECONDS, longest)

        async def write(client: Redis) -> tuple[int, bytes | None]:
            told: Any = await client.eval(_BEGIN, len(keys), *keys, hash, *limits, *values)
            count, before = told
            if not isinstance(before, bytes | None):
                raise TypeError("whose a browser is, is bytes")
            return int(count), before

        written = await self._store.over_slots(write, settle=True)
        return written and (written[0], self._records.read_browser(keys[-1], written[1]))
