"""TLS connections that share what redis-py makes anew for each: to load the system's authorities takes 30 ms, and when
all connections are lost at once, none of them would be back within its deadline.
"""

import os
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import RedisSSLContext, SSLConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection

_kept: dict[tuple[Any, ...], RedisSSLContext] = {}
_MOST_KEPT = 8


class TlsConnection(SSLConnection):
    """To a server, a Sentinel or a node of a Cluster."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = _shared(self.ssl_context)


class WatchedTlsConnection(SentinelManagedSSLConnection):
    """To whom the Sentinels name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = _shared(self.ssl_context)


def _shared(made: RedisSSLContext) -> RedisSSLContext:
    """One made alike from the same files, as long as these have not changed."""
    settings = tuple(str(getattr(made, name)) for name in RedisSSLContext.__slots__)
    key = (settings, *(_changed(file) for file in (made.ca_certs, made.certfile, made.keyfile)))
    if key not in _kept and len(_kept) >= _MOST_KEPT:
        _kept.clear()
    return _kept.setdefault(key, made)


def _changed(file: str | None) -> int:
    with suppress(OSError):
        return os.stat(file).st_mtime_ns if file else 0
    return 0
