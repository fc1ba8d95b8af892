"""The one funnel to Redis or Valkey."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Self, TypeVar, cast

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ClusterCrossSlotError, RedisClusterException, RedisError, ResponseError

from services.errors import StoreCorrupt, StoreUnavailable
from services.store.address import parse
from services.store.channel import messages, subscribed
from services.store.clients import (
    CONNECTIONS,
    close_client,
    drop_idle,
    find_primary,
    is_one_server,
    look_again,
    may_fail_over,
    one_connection,
    open_client,
    primaries,
    reached_a_replica,
)
from services.telemetry import measured
from services.telemetry.figures import STORE

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEADLINE = 1.0
"""Seconds in which every operation answers or fails."""

SETTLE_SECONDS = 0.5
"""For so long a write waits for a replica."""

PRIMARY_SECONDS = 1.0
"""For so long the word of the Sentinels on who is the primary counts: one that was cut off and comes back must not be
asked over a connection from before."""

_BATCH = 1000

_ERROR_CODE = re.compile(r"\b[A-Z]{3,}\b")
_NONSENSE = (TypeError, ValueError, IndexError, AttributeError)


class Store:
    """A bounded number of connections, and `run`, through which every operation goes."""

    def __init__(self, client: Redis, prefix: str = "proxgate:", *, exposed: bool = False) -> None:
        self._client = client
        self._prefix = prefix
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._pinging: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._settling = True
        self._primary_asked = float("-inf")
        self._may_fail_over = may_fail_over(client)
        self.one_server = is_one_server(client)
        """Whether all keys lie on one server, so that a script may look at any of them together."""

        self.exposed = exposed
        """Whether others on a network may use it without showing anything first."""

    @classmethod
    def open(cls, url: SecretStr, prefix: str = "proxgate:") -> Self:
        """Prepare for an address of any kind that `services.store.address` knows. Connects at first use, not here.

        Raises SettingsError for an address that cannot be read; its text holds no password.
        """
        address = parse(url)
        return cls(open_client(address, DEADLINE), prefix, exposed=address.exposed)

    def key(self, *parts: str) -> str:
        """A key of ours: the prefix, then the parts with colons between."""
        return self._prefix + ":".join(parts)

    async def run(self, operation: Callable[[Redis], Awaitable[T]], *, settle: bool = False) -> T:
        """Do one operation within the deadline. In a Cluster, a transaction or script of it may touch one slot only.

        Where Sentinels may put a replica in the primary's place, `settle` waits up to SETTLE_SECONDS until one of them
        has what was written; going on without is logged and no error, since a primary alone must serve too. A store
        that shall rather refuse has `min-replicas-to-write` set.

        Raises StoreUnavailable when the store is down, slow, full or refuses, StoreCorrupt when a key of ours is
        of another type. Of the errors in a pipeline's list of answers only those of the second kind are left there.
        """
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            with measured(STORE, "store"):
                async with _translated(), self._room:
                    if self._may_fail_over:
                        await self._find_primary()
                    wait = settle and self._may_fail_over
                    answer = _sound(await (self._settled(operation) if wait else operation(self._client)))
        except StoreUnavailable as exc:
            self._look_again()
            if isinstance(exc.__cause__, _NONSENSE):
                await drop_idle(self._client)
            raise
        if task and task.cancelling() > cancelled:  # Python 3.11's wait_for, in redis-py, can lose a cancellation
            raise asyncio.CancelledError
        return answer

    async def over_slots(self, operation: Callable[[Redis], Awaitable[T]], *, settle: bool = False) -> T | None:
        """As `run`, for one operation over keys of several slots.

        None, and nothing done, where no server takes that: in a Cluster, or where several servers pass for one.
        """

        @wraps(operation)
        async def tried(client: Redis) -> T | None:
            try:
                return await operation(client)
            except ClusterCrossSlotError:
                self.one_server = False
                return None

        return await self.run(tried, settle=settle) if self.one_server else None

    async def _settled(self, operation: Callable[[Redis], Awaitable[T]]) -> T:
        async with one_connection(self._client) as (client, connection):
            answer = await operation(client)
            settled = await reached_a_replica(connection, int(SETTLE_SECONDS * 1000))
        if self._settling and not settled:
            logger.warning("no replica of the store confirms what is written: a failover would lose it")
        self._settling = settled
        return answer

    async def _find_primary(self) -> None:
        if time.monotonic() > self._primary_asked + PRIMARY_SECONDS:
            self._primary_asked = time.monotonic()
            await find_primary(self._client)

    def _look_again(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(look_again(self._client))

    async def scan(self, pattern: str) -> AsyncGenerator[str]:
        """Every key that matches the prefix and this pattern, once; in batches, each within its deadline."""
        match, seen = self._prefix + pattern, set[str]()
        for server in await self.run(primaries):
            cursor = 0
            while True:
                cursor, names = await self._batch(server, cursor, match)
                for name in names:
                    if name not in seen:
                        seen.add(name)
                        yield name
                if not cursor:
                    break

    async def _batch(self, server: Any, cursor: int, match: str) -> tuple[int, list[str]]:
        async def scan(_: Redis) -> tuple[int, list[bytes]]:
            answer: Any = await server.execute_command("SCAN", cursor, "MATCH", match, "COUNT", _BATCH)
            return answer[0], answer[1]

        following, names = await self.run(scan)
        return following, [name.decode() for name in names]

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell whoever listens just now. Nothing is kept."""

        async def publish(client: Redis) -> None:
            await client.publish(self._prefix + channel, message)

        await self.run(publish)

    async def listen(self, channel: str) -> AsyncGenerator[bytes]:
        """What is published from now on, over a connection of its own.

        Raises StoreUnavailable when there is none or it is lost: what was published meanwhile is lost with it.
        """
        async with _translated():
            connection = await subscribed(self._client, self._prefix + channel)
        try:
            async with _translated(None):
                async for message in messages(connection, DEADLINE):
                    yield message
        finally:
            await connection.disconnect(nowait=True)

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the store answers; one question for all who ask at the same time."""
        if self._pinging is None or self._pinging.done():
            self._pinging = asyncio.ensure_future(self._ping())
            self._pinging.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._pinging)

    async def _ping(self) -> None:

        async def ping(client: Redis) -> None:
            if await client.ping() is not True:
                raise ValueError("no pong")

        await self.run(ping)

    async def eviction_policies(self) -> frozenset[str]:
        """What its servers do when they are full: `noeviction` is the one that drops no session."""

        async def info(client: Redis) -> frozenset[str]:
            told = [await server.execute_command("INFO", "memory") for server in await primaries(client)]
            return frozenset(str(memory.get("maxmemory_policy", "unknown")) for memory in told)

        return await self.run(info)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await close_client(self._client)


@asynccontextmanager
async def _translated(deadline: float | None = DEADLINE) -> AsyncGenerator[None]:
    """Turn whatever the store's client raises into our own errors."""
    try:
        async with asyncio.timeout(deadline):
            yield
    except ResponseError as exc:
        if "WRONGTYPE" in str(exc):  # of a pipeline, not at the start
            raise StoreCorrupt("a key of ours is of another type") from exc
        code = _ERROR_CODE.search(str(exc)) if type(exc) is ResponseError else None
        raise StoreUnavailable(code[0] if code else type(exc).__name__) from exc
    except _NONSENSE as exc:
        raise StoreUnavailable("an answer that makes no sense") from exc
    except (RedisError, RedisClusterException, OSError, TimeoutError, EOFError) as exc:
        raise StoreUnavailable(type(exc).__name__) from exc


def _sound(answer: T) -> T:
    """Raise the first error in a pipeline's answers that is not of one key alone: a part of the store is silent."""
    answers = cast(list[Any], answer) if isinstance(answer, list) else []
    for one in answers:
        if isinstance(one, Exception) and "WRONGTYPE" not in str(one):
            raise one
    return cast(T, answer)
