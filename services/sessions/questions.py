"""What the store is asked of sessions, of as many as come up at once in one round trip.

Both scripts look at three keys of each session: its record, its tombstone, and the list of its principal's sessions. A
Cluster, and what passes for one server and is several, is asked for one session at a time, and for its list apart.
What is asked of all of them each second is kept short: each key that is sent costs us about a microsecond.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from services.errors import StoreCorrupt
from services.sessions.clock import seconds
from services.sessions.record import ended_key, record_key
from services.store.connection import Store
from services.store.together import Together

# An argument for each session: the idle limit in seconds, below zero where it is not to be set anew. A limit that
# somebody has taken away is.
_READ = """
local told = redis.call('TIME')
for at = 1, #KEYS, 3 do
  local record, index, idle = KEYS[at], KEYS[at + 2], tonumber(ARGV[(at + 2) / 3])
  local value, ended, left = redis.pcall('GET', record), redis.pcall('GET', KEYS[at + 1]), redis.pcall('PTTL', record)
  if type(value) == 'string' and ended == false and (idle > 0 or left == -1) then
    redis.call('EXPIRE', record, math.abs(idle))
  end
  local listed = -1
  if index ~= record then listed = redis.pcall('HEXISTS', index, string.match(record, '{(%x+)}$')) end
  told[#told + 1] = {value, ended, left, listed}
end
return told
"""

# The lists, each before the records of those whom it has to list; the arguments are how a tombstone's key begins, and
# how many records follow each list. A tombstone lies in its record's slot, so it may go without saying. For those that
# live, which are nearly all, the milliseconds left alone.
_ASK = """
local told, index = {}, 1
for at = 2, #ARGV do
  local last = index + ARGV[at]
  for record = index + 1, last do
    local hash = string.match(KEYS[record], '{(%x+)}$')
    local left, ended = redis.pcall('PTTL', KEYS[record]), redis.pcall('GET', ARGV[1] .. '{' .. hash .. '}')
    local listed = redis.pcall('HEXISTS', KEYS[index], hash)
    told[#told + 1] = ended == false and listed == 1 and left or {left, ended, listed}
  end
  index = last + 1
end
return told
"""

_AT_ONCE = 100
"""Sessions that one script looks at, and few more: the store answers nobody else meanwhile."""

_MOST_PLACES = 10_000
"""Sessions whose keys are remembered as they are sent."""

_Places = tuple[bytes, bytes, bytes]
"""The keys of a session."""

Answer = tuple[Any, Any, Any]
"""Milliseconds that a session has left, why it ended, whether it is listed."""


class Told(NamedTuple):
    """What the store holds of a session."""

    value: bytes | None
    """The sealed record."""

    ended: bytes | None
    """Why it is over, in the tombstone's words."""

    left: int
    """Milliseconds of the idle limit; -1 where there is none."""

    listed: bool | None
    """Whether the list that was named has it; None where none was named, or could be asked along."""

    now: float
    """The store's clock, in Unix seconds."""


class Questions:
    """Asks them. Every method raises StoreUnavailable when the store is down."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._places = lru_cache(_MOST_PLACES)(self._places_of)
        self._reads = Together(self._read, _AT_ONCE)

    async def read(self, hash: str, idle: int, *, touch: bool, index: str) -> Told:
        """What there is of one session; `touch` sets its idle limit anew, to so many seconds.

        Raises StoreCorrupt where a key of it is of another type.
        """
        asked = (self._places(hash, index), idle if touch else -idle)
        told = await self._reads.ask(asked) if self._store.one_server else (await self._read([asked]))[0]
        if told is None:
            raise StoreCorrupt("a key of ours is of another type")
        return told

    async def _read(self, asked: Sequence[tuple[_Places, int]]) -> list[Told | None]:
        """For each what there is, None where a key is of another type: that is no error of the others'."""

        async def read(client: Redis) -> list[Told | None]:
            # The touch is the read: no second round trip, and a record that is gone stays gone.
            return await _read_by_script(client, asked)

        async def read_apart(client: Redis) -> list[Told | None]:
            apart = [((record, ended, record), idle) for (record, ended, _), idle in asked]
            return [told for one in apart for told in await _read_by_script(client, [one])]

        told = await self._store.over_slots(read)
        return await self._store.run(read_apart) if told is None else told

    async def ask_all(self, asked: Iterable[tuple[str, str]]) -> dict[str, Answer]:
        """What there is of each hash and the index that lists it, by the hash.

        In one round trip; an exception where a key cannot be read, so that it blinds us to no other.
        """
        lists: dict[str, list[str]] = {}
        for hash, index in asked:
            lists.setdefault(index, []).append(hash)

        if not lists:
            return {}
        answers = await self._store.over_slots(partial(self._ask_by_script, lists))
        if answers is None:
            answers = await self._store.run(partial(self._ask_each, lists))
        return dict(zip(chain.from_iterable(lists.values()), answers, strict=True))

    async def _ask_by_script(self, lists: Mapping[str, list[str]], client: Redis) -> list[Answer]:
        """In a tenth of the time that each command by itself takes us."""
        tombstones, counts = self._store.key("ended", ""), list[int]()
        async with client.pipeline(transaction=False) as pipe:
            for part in _parts(lists):
                keys: list[Any] = []
                for index, hashes in part:
                    keys.append(index)
                    keys += [self._places(hash, index)[0] for hash in hashes]
                pipe.eval(_ASK, len(keys), *keys, tombstones, *(str(len(hashes)) for _, hashes in part))
                counts.append(len(keys) - len(part))
            answers = await pipe.execute(raise_on_error=False)
        return [one for count, answer in zip(counts, answers, strict=True) for one in _told(answer, count)]

    async def _ask_each(self, lists: Mapping[str, list[str]], client: Redis) -> list[Answer]:
        """As a Cluster wants it, where a script may look at the keys of one session alone."""
        async with client.pipeline(transaction=False) as pipe:
            for index, hashes in lists.items():
                for hash in hashes:
                    record, ended, _ = self._places(hash, index)
                    pipe.pttl(record)
                    pipe.get(ended)
                    pipe.hexists(index, hash)
            answers = await pipe.execute(raise_on_error=False)
        return [_judged(one) for one in zip(answers[::3], answers[1::3], answers[2::3], strict=True)]

    def _places_of(self, hash: str, index: str) -> _Places:
        record = record_key(self._store, hash).encode()
        return record, ended_key(self._store, hash).encode(), index.encode() or record


async def _read_by_script(client: Redis, asked: Sequence[tuple[_Places, int]]) -> list[Told | None]:
    keys = chain.from_iterable(places for places, _ in asked)
    limits = (str(idle) for _, idle in asked)
    answer: Any = await client.eval(_READ, 3 * len(asked), *keys, *limits)  # pyright: ignore[reportArgumentType]
    clock, micro, *told = answer
    if len(told) != len(asked):
        raise TypeError("one answer for each session")
    now = seconds(clock, micro)
    return [_read_answer(now, *one) for one in told]


def _read_answer(now: float, value: object, ended: Any, left: object, listed: object) -> Told | None:
    if _is_of_another_type(listed):
        listed = 0  # what is no list has nobody on it
    if any(map(_is_of_another_type, (value, ended))):
        return None
    if not isinstance(value, bytes | None) or not isinstance(left, int) or not isinstance(listed, int):
        raise TypeError("a record is bytes, and times and numbers are whole")
    return Told(value=value, ended=ended, left=left, listed=None if listed < 0 else listed == 1, now=now)


def _is_of_another_type(answer: object) -> bool:
    """Raises any other error that is in an answer: it tells nothing, least of all of an end."""
    if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
        raise answer
    return isinstance(answer, Exception)


def _parts(lists: Mapping[str, list[str]]) -> Generator[list[tuple[str, list[str]]]]:
    """The lists with those whom they have to list, as one script looks at them."""
    part: list[tuple[str, list[str]]] = []
    count = 0
    for one in lists.items():
        part.append(one)
        count += len(one[1])
        if count >= _AT_ONCE:
            yield part
            part, count = [], 0
    if part:
        yield part


def _told(answer: Any, count: int) -> list[Answer]:
    """What `_ASK` tells of so many sessions."""
    if isinstance(answer, Exception):
        raise answer
    if not isinstance(answer, list) or len(answers := cast(list[Any], answer)) != count:
        raise TypeError("one word for each session")
    return [(one, None, 1) if type(one) is int else _judged(one) for one in answers]


def _judged(answers: Any) -> Answer:
    """Errors too, if they tell of a key of another type."""
    left, ended, listed = (answers, None, None) if isinstance(answers, Exception) else answers
    for answer in (left, ended, listed):
        _is_of_another_type(answer)
    if not isinstance(left, int):
        raise TypeError("a time to live is a number")
    return left, ended, listed
