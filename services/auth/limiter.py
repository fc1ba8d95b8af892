"""Our own limit on sign-ins: it acts before Proxmox is asked, which has none and pays three seconds a failure.

Counted atomically in the store, so across replicas and restarts; with the store down nobody is let through.
A try is counted before Proxmox is asked and given back unless Proxmox said no: of any number of parallel guesses
no more than the limit ever reach Proxmox, and outages cost nobody a try.
"""

import hashlib
import ipaddress
import math
import secrets
import time
import unicodedata
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from redis.asyncio import Redis

from services.errors import InvalidCredentials, StoreError, TooManyAttempts
from services.store.connection import Store

WINDOW = 900
"""Seconds for which a failure counts."""

PER_ACCOUNT = 10
PER_ADDRESS = 30

SLOTS = 8
"""Sign-ins under way at Proxmox at once, over all replicas: it has about a dozen workers in all."""

SLOT_SECONDS = 15
"""A slot whose holder died is free again after so long; longer than any sign-in takes."""

SLOT_RETRY = 3


@dataclass(frozen=True, slots=True)
class _Counter:
    """A sorted set in the store: one member for each try, scored by its time. It forgets by itself."""

    key: str
    limit: int
    window: int


class Limiter:
    """Counts failed sign-ins per account and per address, and leases slots for those under way."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @asynccontextmanager
    async def attempt(self, userid: str, address: str) -> AsyncGenerator[None]:
        """Around one question to Proxmox. Raises TooManyAttempts, or StoreUnavailable, before it is asked."""
        failures = (
            _Counter(self._key("account", _normalised(userid)), PER_ACCOUNT, WINDOW),
            _Counter(self._key("address", network(address)), PER_ADDRESS, WINDOW),
        )
        slots = (_Counter(self._store.key("limit", "slots"), SLOTS, SLOT_SECONDS),)
        async with self._counted(failures) as tried, self._counted(slots, SLOT_RETRY):
            try:
                yield
            except InvalidCredentials:
                tried.stays = True
                raise

    @asynccontextmanager
    async def _counted(self, counters: tuple[_Counter, ...], wait: int = 0) -> AsyncGenerator["_Try"]:
        """A member in each counter, taken out again at the end unless it stays."""
        tried = _Try(name=secrets.token_hex(8), at=time.time())
        try:
            if waits := await self._enter(counters, tried):
                # Taken out again: a refusal of ours is no failure, and must not prolong the wait.
                raise TooManyAttempts(wait or max(waits))
            yield tried
        finally:
            if not tried.stays:
                await self._leave(counters, tried)

    def _key(self, kind: str, what: str) -> str:
        return self._store.key("limit", kind, hashlib.sha256(what.encode()).hexdigest())

    async def _enter(self, counters: tuple[_Counter, ...], tried: "_Try") -> list[int]:
        """Count a try; the seconds to wait for each counter that is full without it."""

        async def enter(client: Redis) -> list[int]:
            async with client.pipeline(transaction=True) as pipe:
                for counter in counters:
                    pipe.zremrangebyscore(counter.key, "-inf", tried.at - counter.window)
                    pipe.zadd(counter.key, {tried.name: tried.at})
                    pipe.expire(counter.key, counter.window + 1)
                    pipe.zcard(counter.key)
                    pipe.zrange(counter.key, 0, 0, withscores=True)
                answers = await pipe.execute()
            return [
                max(1, math.ceil(oldest[0][1] + counter.window - tried.at))
                for counter, count, oldest in zip(counters, answers[3::5], answers[4::5], strict=True)
                if count > counter.limit
            ]

        return await self._store.run(enter)

    async def _leave(self, counters: tuple[_Counter, ...], tried: "_Try") -> None:
        async def leave(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipe:
                for counter in counters:
                    pipe.zrem(counter.key, tried.name)
                await pipe.execute()

        with suppress(StoreError):  # it is forgotten in the end
            await self._store.run(leave)


@dataclass(slots=True, kw_only=True)
class _Try:
    """A try under way. It stays counted when Proxmox said no."""

    name: str
    at: float
    stays: bool = False


def _normalised(userid: str) -> str:
    """Twins of an account share a counter; they never share an identity."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", userid).casefold())


def network(address: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)
