"""The one funnel to Redis or Valkey."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from services.errors import SettingsError, StoreCorrupt, StoreUnavailable

T = TypeVar("T")

DEADLINE = 1.0
"""Seconds in which every operation answers or fails."""

CONNECTIONS = 32

_ERROR_CODE = re.compile(r"\b[A-Z]{3,}\b")
_NONSENSE = (TypeError, ValueError, IndexError, AttributeError)
_TLS_FILES = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}


class Store:
    """A bounded pool of connections, and `run`, through which every operation goes."""

    def __init__(self, client: Redis, prefix: str = "proxgate:") -> None:
        self._client = client
        self._prefix = prefix
        self._pinging: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, url: SecretStr, prefix: str = "proxgate:") -> Self:
        """Prepare for a `redis://`, `rediss://` or `unix://` address. Connects at first use, not here.

        Raises SettingsError for an address that cannot be read; its text holds no password.
        """
        try:
            pool = BlockingConnectionPool.from_url(
                _with_tls_files(url.get_secret_value()),
                max_connections=CONNECTIONS,
                timeout=DEADLINE / 2,
                socket_timeout=DEADLINE,
                socket_connect_timeout=DEADLINE,
                retry=Retry(NoBackoff(), 1),  # a connection that the server closed meanwhile costs nobody an error
            )
            pool.connection_class(**pool.connection_kwargs)  # connects nothing, and knows every wrong parameter
        except (ValueError, TypeError):
            mend = "use redis://, rediss:// or unix:// as in rediss://user:password@host:6379/0?ca_file=/path/ca.pem"
            raise SettingsError("REDIS_URL", mend) from None
        return cls(Redis(connection_pool=pool), prefix)

    def key(self, *parts: str) -> str:
        """A key of ours: the prefix, then the parts with colons between."""
        return self._prefix + ":".join(parts)

    async def run(self, operation: Callable[[Redis], Awaitable[T]]) -> T:
        """Do one operation within the deadline.

        Raises StoreUnavailable when the store is down, slow, full or refuses, StoreCorrupt when a key of ours is
        of another type.
        """
        async with _translated():
            return await operation(self._client)

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

    async def eviction_policy(self) -> str:
        """What the store does when it is full: `noeviction` is the one that drops no session."""

        async def info(client: Redis) -> str:
            memory: dict[str, object] = await client.info("memory")
            return str(memory.get("maxmemory_policy", "unknown"))

        return await self.run(info)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose(close_connection_pool=True)


@asynccontextmanager
async def _translated(deadline: float = DEADLINE) -> AsyncGenerator[None]:
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
    except (RedisError, OSError, TimeoutError, EOFError) as exc:
        raise StoreUnavailable(type(exc).__name__) from exc


def _with_tls_files(url: str) -> str:
    """Spell `ca_file`, `cert_file` and `key_file` as redis-py does."""
    parts = urlsplit(url)
    query = [(_TLS_FILES.get(name, name), value) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode(query)))
