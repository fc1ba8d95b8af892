"""Our own limit on sign-ins: it acts before Proxmox is asked, which has none and pays three seconds a failure.

Counted atomically in the store and by its clock, so across replicas and restarts; with the store down nobody is let
through. A try is counted before Proxmox is asked and given back unless Proxmox said no: of any number of parallel
guesses no more than the limit ever reach Proxmox, and outages cost nobody a try. Beyond the limit a single try is let
through after each wait, and the waits grow: that makes at most five more in any window.

    door ─▶ address ─▶ account, or the account on a device that it knows ─▶ slot ─▶ Proxmox

In this order: who is stopped at one counter touches none behind it.
"""

import hashlib
import ipaddress
import secrets
import unicodedata
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis

from services.auth.pending import TRIP_SECONDS
from services.errors import CodeRefused, InvalidCredentials, Outage, StoreError, TooManyAttempts, Unreachable
from services.store.connection import Store

WINDOW = 900
"""Seconds for which a failure counts."""

PER_ACCOUNT = 10
"""Failures in a window for an account, over all devices that have not signed in to it; as many for each that has."""

PER_ADDRESS = 30
"""Failures in a window for an IPv4 address or an IPv6 /64; as many starts of an OpenID trip."""

PER_REALM = 80
"""Starts of an OpenID trip in ten minutes for a realm: with more than 100 under way Proxmox takes no more."""

FIRST_WAIT = 30
"""Seconds from the latest failure to the next try once the limit is reached; each failure more doubles it."""

LONGEST_WAIT = 300
"""Seconds beyond which the wait does not grow."""

DEVICE_SECONDS = 90 * 24 * 3600
"""Seconds for which a device is known for an account after a sign-in."""

SLOTS = 8
"""Sign-ins under way at Proxmox at once, over all replicas: it has about a dozen workers in all."""

MOST_INSIDE = 2 * SLOTS
"""Sign-ins that one process looks at at once, half of them from one network: more than the slots, for those refused."""

SLOT_SECONDS = 15
"""Seconds after which a slot whose holder died is free again; longer than any sign-in takes."""

SLOT_RETRY = 3
"""Seconds to wait, as told to whom no slot was free."""

SPARE = 64
"""Members that a set in the store may hold beyond its limit; and devices that are known for one account."""

_ENTER = """
local member, clock = ARGV[1], redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
for place, key in ipairs(KEYS) do
  local limit, window, first, longest, most = unpack(ARGV, 5 * place - 3, 5 * place + 1)
  redis.call('ZREM', key, member)  -- the client asks again when an answer was lost
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', key, now, '+inf')) do
    redis.call('ZADD', key, now, ahead)  -- the clock was set back
  end
  local beyond = redis.call('ZCARD', key) - limit
  if beyond >= 0 then
    local latest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0
    local rest = latest + math.min(first * 2 ^ beyond, longest) - now
    if rest > 0 then return {place, math.ceil(rest)} end
  end
  redis.call('ZADD', key, now, member)
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - most)
  redis.call('EXPIRE', key, window + 1)
end
return {0, 0}
"""

_KNOWS = """
local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
return since and tonumber(since) > redis.call('TIME')[1] - ARGV[2] and 1 or 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counter:
    """A sorted set in the store: one member for each try, scored by its time. It forgets by itself."""

    key: str
    limit: int
    window: int = WINDOW
    first: int = FIRST_WAIT
    longest: int = LONGEST_WAIT
    lease: bool = False
    """Whether a member goes at the end in any case; who finds such a counter full is told to come back soon."""

    @property
    def limits(self) -> tuple[int, ...]:
        """As `_ENTER` takes them."""
        return self.limit, self.window, self.first, self.longest, self.limit + SPARE


@dataclass(slots=True)
class _Try:
    """A try under way. It stays counted when Proxmox said no."""

    name: str
    stays: bool = False


class Limiter:
    """Counts failed sign-ins per account and per address, and leases slots for those under way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inside: Counter[str] = Counter()

    @asynccontextmanager
    async def attempt(self, account: str, address: str, device: str = "") -> AsyncGenerator[None]:
        """Around one question to Proxmox; if that raises InvalidCredentials the try stays counted, else it does not,
        but for what Proxmox left unanswered more than PER_ACCOUNT times in a window.

        Without an `account`, as for who returns from an OpenID provider, only the address counts. Raises
        TooManyAttempts or StoreError before Proxmox is asked.
        """
        with self._door(address):
            failures = [self._counter("address", network(address), PER_ADDRESS)]
            if account:
                failures.append(await self._of_account(_normalised(account), device))
            async with self._counted(*failures, self._slots()) as tried:
                try:
                    yield
                except InvalidCredentials:
                    tried.stays = True
                    raise
                except Unreachable as exc:
                    unanswered = exc.sent and exc.outage is Outage.SILENT
                    tried.stays = unanswered and not await self._forgives(account or network(address))
                    raise

    @asynccontextmanager
    async def trial(self, address: str) -> AsyncGenerator[None]:
        """Around a guess that Proxmox does not judge: it counts on the address as in `attempt`, and takes no slot."""
        async with self._counted(self._counter("address", network(address), PER_ADDRESS)) as tried:
            try:
                yield
            except CodeRefused:
                tried.stays = True
                raise

    @asynccontextmanager
    async def errand(self, address: str, realm: str) -> AsyncGenerator[str]:
        """Around the start of an OpenID trip, which counts however it ends; gives its name. Raises like `attempt`."""
        starts = self._counter("errand", network(address), PER_ADDRESS)
        under_way = self._counter("trips", realm, PER_REALM, TRIP_SECONDS)
        with self._door(address):
            async with self._counted(starts, under_way, self._slots()) as tried:
                tried.stays = True
                yield tried.name

    async def arrived(self, realm: str, name: str) -> None:
        """A trip has come to its end, and is under way no longer."""
        await self._leave((self._counter("trips", realm, PER_REALM, TRIP_SECONDS),), name)

    async def remember(self, account: str, device: str) -> None:
        """From now on, for DEVICE_SECONDS, no stranger's failures keep this device from this account.

        `device` is an opaque id that nobody can choose or guess. Raises StoreError.
        """
        await self._enter([self._devices(_normalised(account))], _hash(device))

    @contextmanager
    def _door(self, address: str) -> Generator[None]:
        """In a burst most are refused here, before they cost the store anything: no slot could be free for them.

        One network alone leaves half of the room to others.
        """
        place = network(address)
        if self._inside.total() >= MOST_INSIDE or self._inside[place] >= SLOTS:
            raise TooManyAttempts(SLOT_RETRY)
        self._inside[place] += 1
        try:
            yield
        finally:
            self._inside[place] -= 1
            self._inside += Counter()  # forgets who is at zero

    async def _forgives(self, who: str) -> bool:
        """Whether a question that Proxmox got and did not answer in time costs nothing: it may have been a guess."""
        silent = _Counter(
            key=self._store.key("limit", "silent", _hash(_normalised(who))),
            limit=PER_ACCOUNT, first=WINDOW, longest=WINDOW,
        )  # fmt: skip
        with suppress(StoreError, TooManyAttempts):
            await self._enter([silent], secrets.token_hex(8))
            return True
        return False

    async def _of_account(self, account: str, device: str) -> _Counter:
        """The device's own counter if the account knows it, else the strangers'."""
        if device and await self._knows(account, device):
            return self._counter("device", f"{account}\0{device}", PER_ACCOUNT)
        return self._counter("account", account, PER_ACCOUNT)

    async def _knows(self, account: str, device: str) -> bool:
        key, asked = self._devices(account).key, (_hash(device), DEVICE_SECONDS)

        async def ask(client: Redis) -> bool:
            return bool(await client.eval(_KNOWS, 1, key, *asked))

        return await self._store.run(ask)

    def _devices(self, account: str) -> _Counter:
        """The devices that an account knows. As there is never a wait it refuses none, but forgets the oldest."""
        key = self._store.key("limit", "known", _hash(account))
        return _Counter(key=key, limit=0, window=DEVICE_SECONDS, first=0, longest=0)

    def _slots(self) -> _Counter:
        """Leases. With a wait as long as the window, a full counter lets nobody through."""
        key, seconds = self._store.key("limit", "slots"), SLOT_SECONDS
        return _Counter(key=key, limit=SLOTS, window=seconds, first=seconds, longest=seconds, lease=True)

    def _counter(self, kind: str, what: str, limit: int, window: int = WINDOW) -> _Counter:
        return _Counter(key=self._store.key("limit", kind, _hash(what)), limit=limit, window=window)

    @asynccontextmanager
    async def _counted(self, *counters: _Counter) -> AsyncGenerator[_Try]:
        """A member in each counter, taken out again at the end unless it stays. Raises TooManyAttempts."""
        tried = _Try(secrets.token_hex(8))
        try:
            await self._enter(counters, tried.name)
            yield tried
        finally:
            await self._leave([counter for counter in counters if counter.lease or not tried.stays], tried.name)

    async def _enter(self, counters: Sequence[_Counter], member: str) -> None:
        """Count a member in one counter after the other. Raises TooManyAttempts at the first that is full, which then
        holds what it held before.

        In one script; a script each in a Cluster, where they may lie on different servers.
        """
        told = await self._store.over_slots(partial(_enter, counters, member))
        if told is not None:
            return _judge(counters, *told)
        for counter in counters:
            _judge([counter], *await self._store.run(partial(_enter, [counter], member)))
        return None

    async def _leave(self, counters: Sequence[_Counter], member: str) -> None:
        if not counters:
            return

        async def leave(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for counter in counters:
                    pipe.zrem(counter.key, member)
                await pipe.execute()

        with suppress(StoreError):  # it is forgotten in the end
            await self._store.run(leave)


async def _enter(counters: Sequence[_Counter], member: str, client: Redis) -> tuple[int, int]:
    """Which counter, from 1 on, has no room for the member, and for how many seconds; 0 and 0 where each has."""
    keys = [counter.key for counter in counters]
    limits = [limit for counter in counters for limit in counter.limits]
    told: Any = await client.eval(_ENTER, len(keys), *keys, member, *limits)
    place, wait = map(int, told)
    if not 0 <= place <= len(counters):
        raise ValueError("no such counter")
    return place, wait


def _judge(counters: Sequence[_Counter], place: int, wait: int) -> None:
    if place:
        raise TooManyAttempts(SLOT_RETRY if counters[place - 1].lease else wait)


def _hash(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()


def _normalised(account: str) -> str:
    """Twins of an account share a counter; they never share an identity."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", account).casefold())


def network(address: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)
