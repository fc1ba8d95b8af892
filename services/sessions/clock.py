"""The store's clock, by which every age goes: whoever sets ours makes nothing older or younger."""

from typing import Any

from redis.asyncio import Redis

from services.store.connection import Store

_NOW = "return redis.call('TIME')"


async def stores_clock(store: Store, key: str) -> float:
    """What it shows, in Unix seconds, where a key lies. Raises StoreUnavailable."""

    async def ask(client: Redis) -> float:
        return seconds(*await client.eval(_NOW, 1, key))

    return await store.run(ask)


def seconds(whole: Any, micros: Any) -> float:
    """The store's two numbers as one."""
    return int(whole) + int(micros) / 1_000_000
