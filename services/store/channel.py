"""Messages of a channel, over a connection that does nothing else.

Not by redis-py's own pub/sub: that connects again in silence, and nobody learns what was missed.
"""

from collections.abc import AsyncGenerator
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError

from services.store.clients import connection_of_its_own

_QUIET_SECONDS = 5.0
"""After so long without a message the other side is asked whether it is still there."""


async def subscribed(client: Redis, channel: str) -> AbstractConnection:
    """A connection on which the channel's messages come from now on."""
    connection = await connection_of_its_own(client)
    try:
        await connection.send_command("SUBSCRIBE", channel)
        await connection.read_response()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def messages(connection: AbstractConnection, deadline: float) -> AsyncGenerator[bytes]:
    """Each as it comes. Raises ConnectionError when the connection is lost, or its other end silent."""
    asked = False
    while True:
        answer = cast(Any, await connection.read_response(timeout=deadline if asked else _QUIET_SECONDS))
        if answer is None and asked:
            raise ConnectionError("silent")
        asked = answer is None
        if answer is None:
            await connection.send_command("PING")
        elif answer[0] == b"message":
            yield answer[2]
