"""Our own limit on sign-ins: it acts before Proxmox is asked, which has none and pays three seconds a failure.

Counted atomically in the store, so across replicas and restarts; with the store down nobody is let through.
A try is counted before Proxmox is asked and given back unless Proxmox said no: of any number of parallel guesses
no more than the limit ever reach Proxmox, and outages cost nobody a try.
"""

import hashlib
import ipaddress
import logging
import secrets
import time
import unicodedata
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from services.errors import InvalidCredentials, StoreError, TooManyAttempts
from services.store.connection import Store

logger = logging.getLogger(__name__)

WINDOW = 900
"""Seconds in which failures are counted, from the first of them."""

PER_ACCOUNT = 10
PER_ADDRESS = 30

SLOTS = 8
"""Sign-ins under way at Proxmox at once, over all replicas: it has about a dozen workers in all."""

SLOT_SECONDS = 15
"""A slot whose holder died is free again after so long; longer than any sign-in takes."""

SLOT_RETRY = 3


@dataclass(frozen=True, slots=True)
class _Counter:
    key: str
    limit: int


class Limiter:
    """Counts failed sign-ins per account and per address, and leases slots for those under way."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @asynccontextmanager
    async def attempt(self, userid: str, address: str) -> AsyncGenerator[None]:
        """Around one question to Proxmox. Raises TooManyAttempts, or StoreUnavailable, before it is asked."""
        counters = (
            _Counter(self._key("account", _normalised(userid)), PER_ACCOUNT),
            _Counter(self._key("address", _network(address)), PER_ADDRESS),
        )
        await self._count(counters)
        failed = False
        try:
            async with self._slot():
                yield
        except InvalidCredentials:
            failed = True
            raise
        finally:
            if not failed:
                await self._give_back(counters)

    def _key(self, kind: str, what: str) -> str:
        return self._store.key("limit", kind, hashlib.sha256(what.encode()).hexdigest())

    async def _count(self, counters: tuple[_Counter, ...]) -> None:
        async def count(client: Redis) -> "list[Any]":
            async with client.pipeline(transaction=True) as pipe:
                for counter in counters:
                    pipe.incr(counter.key)
                    pipe.expire(counter.key, WINDOW, nx=True)
                    pipe.ttl(counter.key)
                return await pipe.execute()

        answers = await self._store.run(count)
        waits = [ttl for counter, tries, ttl in zip(counters, answers[::3], answers[2::3], strict=True)
                 if tries > counter.limit]  # fmt: skip
        if waits:
            await self._give_back(counters)  # a refusal of ours is no failure, and must not prolong the wait
            raise TooManyAttempts(max(1, *waits))

    async def _give_back(self, counters: tuple[_Counter, ...]) -> None:
        async def give_back(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipe:
                for counter in counters:
                    pipe.decr(counter.key)
                    pipe.expire(counter.key, WINDOW, nx=True)  # never a counter without an end
                await pipe.execute()

        with suppress(StoreError):  # the window gives it back in the end
            await self._store.run(give_back)

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        key, lease, now = self._store.key("limit", "slots"), secrets.token_hex(8), time.time()

        async def take(client: Redis) -> "list[Any]":
            async with client.pipeline(transaction=True) as pipe:
                pipe.zremrangebyscore(key, "-inf", now - SLOT_SECONDS)
                pipe.zadd(key, {lease: now})
                pipe.zcard(key)
                pipe.expire(key, SLOT_SECONDS * 2)
                return await pipe.execute()

        async def leave(client: Redis) -> None:
            await client.zrem(key, lease)

        try:
            if (await self._store.run(take))[2] > SLOTS:
                raise TooManyAttempts(SLOT_RETRY)
            yield
        finally:
            with suppress(StoreError):
                await self._store.run(leave)


def _normalised(userid: str) -> str:
    """Twins of an account share a counter; they never share an identity."""
    return unicodedata.normalize("NFKC", userid).casefold()


def _network(address: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)
