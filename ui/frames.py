"""The valve in a tab's socket: data passes only while the session was confirmed less than a second ago.

With the store silent, data waits on both sides, in order; Engine.IO's own packets (ping, pong, upgrade) go on, so
that the socket outlives the silence.
"""

import asyncio
import json
from collections import deque

from starlette.types import Message, Receive, Send

from services.errors import SessionEnded
from services.sessions.watch import Watch

MOST_HELD = 1000
MOST_BYTES = 4 * 1024 * 1024
"""What is held on either side; a socket with more is closed, and its page loads anew."""

_GONE: Message = {"type": "websocket.disconnect", "code": 1000}


class Valve:
    """Between one socket and the application."""

    def __init__(self, watch: Watch, hash: str, receive: Receive, send: Send) -> None:
        self._watch = watch
        self._hash = hash
        self._receive = receive
        self._send = send
        self._came: deque[Message] = deque()
        self._goes: deque[Message] = deque()
        self._over = False
        self._reading: asyncio.Future[Message] | None = None
        self._flushing: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """The next message for the application, as ASGI has it. After the session's end no data, until the socket's."""
        while not (self._came and self._watch.alive(self._hash)):
            message = await self._read()
            if message is not None and not is_data(message):
                return message
            if message is not None and not self._over:
                self._came.append(message)
            if _is_too_much(self._came):
                return _GONE
        return self._came.popleft()

    async def send(self, message: Message) -> None:
        """Send what may pass now, keep what has to wait."""
        if not is_data(message) or (not self._goes and self._watch.alive(self._hash)):
            return await self._send(message)
        self._goes.append(message)
        if _is_too_much(self._goes):
            self._goes.clear()
            return await self._send({"type": "websocket.close", "code": 1013})
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return None

    def close(self) -> None:
        """Nothing passes any more."""
        self._goes.clear()
        for task in (self._reading, self._flushing):
            if task is not None:
                task.cancel()

    async def _read(self) -> Message | None:
        """The next message from the browser; None when there is news of what waits."""
        self._reading = self._reading or asyncio.ensure_future(self._receive())
        waits: set[asyncio.Future[Message] | asyncio.Future[None]] = {self._reading}
        news = asyncio.ensure_future(self._watch.confirmed(self._hash)) if self._came else None
        if news is not None:
            waits.add(news)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if news is not None and news.done():
                if news.exception() is not None:  # the session is over: what waited is never obeyed
                    self._over = True
                    self._came.clear()
                return None
        finally:
            if news is not None:
                news.cancel()
        message, self._reading = self._reading.result(), None
        return message

    async def _flush(self) -> None:
        while self._goes:
            try:
                await self._watch.confirmed(self._hash)
                await self._send(self._goes.popleft())
            except (SessionEnded, OSError):  # or the browser has gone meanwhile
                return self._goes.clear()
        return None


def _is_too_much(held: deque[Message]) -> bool:
    size = sum(len(message.get("text") or message.get("bytes") or "") for message in held) if len(held) > 1 else 0
    return len(held) > MOST_HELD or size > MOST_BYTES


def frame(event: str, data: dict[str, object]) -> str:
    """One of NiceGUI's own messages to a page, as its socket carries it."""
    return "42" + json.dumps([event, data])


def is_data(message: Message) -> bool:
    """Whether a message carries anything of the page."""
    if message["type"] not in {"websocket.receive", "websocket.send"}:
        return False
    return not (message.get("text") or "4").startswith(("0", "1", "2", "3", "5", "6"))
