"""A proxy before the store that delays, cuts, garbles and mixes up what the store answers."""

import asyncio
import contextlib
import enum
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator

from tests.harness import InThread

GREETINGS = 4
"""Replies at a connection's beginning that are true: the client asks several things at once there."""

ABRUPTLY = struct.pack("ii", 1, 0)  # SO_LINGER: a reset instead of a goodbye


class Lie(enum.Enum):
    """What becomes of a reply."""

    RESET = "half of it, then a reset"
    CUT = "half of it, then the end"
    HALF = "half of it, then silence"
    GARBAGE = "noise in its place"
    TWICE = "the reply before it once more, behind it"
    SHIFTED = "an earlier reply in its place, and so on ever after: one, two or three late"


class Proxy:
    """Between the program and the store; the lies are counted in replies over all connections."""

    def __init__(self, port: int):
        self.upstream = port
        self.port = 0
        self.delay = 0.0
        self.lie: Lie | None = None
        self.every, self.next = 20, 0
        self.replies = 0
        self.told = 0
        self.reused = 0
        """Commands that came on a connection after a lie was told on it."""

        self._tasks: set[asyncio.Task] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Proxy":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        store_reader, store_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        line = _Line(self, writer)
        ways = [
            asyncio.create_task(self._up(line, reader, store_writer)),
            asyncio.create_task(line.down(store_reader)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            store_writer.close()
            self._tasks.discard(asyncio.current_task())

    async def _up(self, line: "_Line", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                self.reused += line.lied
                writer.write(chunk)


class _Line:
    """One connection's way down."""

    def __init__(self, proxy: Proxy, writer: asyncio.StreamWriter):
        self.proxy = proxy
        self.writer = writer
        self.greetings = GREETINGS
        self.lied = False
        self.late = 0
        self.before = deque([b"+OK\r\n"] * 3, maxlen=3)

    async def down(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                reply = await read_reply(reader)
                if self.proxy.delay:
                    await asyncio.sleep(self.proxy.delay)
                await self._pass_on(reply)
                self.before.append(reply)

    async def _pass_on(self, reply: bytes) -> None:
        proxy = self.proxy
        proxy.replies += 1
        self.greetings -= 1
        if proxy.lie and self.greetings < 0 and proxy.replies >= proxy.next and not self.lied:
            proxy.next = proxy.replies + proxy.every
            self.lied = True
            proxy.told += 1
            await self._lie(proxy.lie, reply)
        else:
            self.writer.write(self.before[-self.late] if self.late else reply)

    async def _lie(self, lie: Lie, reply: bytes) -> None:
        half = reply[: max(1, len(reply) // 2)]
        match lie:
            case Lie.RESET:
                self.writer.write(half)
                await asyncio.sleep(0.02)
                self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
                self.writer.transport.abort()
                raise ConnectionResetError
            case Lie.CUT:
                self.writer.write(half)
                raise ConnectionResetError
            case Lie.HALF:
                self.writer.write(half)
                await asyncio.Event().wait()
            case Lie.GARBAGE:
                self.writer.write(os.urandom(64))
            case Lie.TWICE:
                self.writer.write(reply + self.before[-1])
            case Lie.SHIFTED:
                self.late = 1 + self.proxy.told % 3
                self.writer.write(self.before[-self.late])


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    """One whole reply, RESP 2 or 3."""
    head = await reader.readuntil(b"\r\n")
    kind, length = head[:1], head[1:-2]
    if kind in b"$=!" and length != b"-1":
        return head + await reader.readexactly(int(length) + 2)
    if kind in b"*~>%|" and length != b"-1":
        count = int(length) * (2 if kind in b"%|" else 1) + (kind == b"|")
        return head + b"".join([await read_reply(reader) for _ in range(count)])
    return head


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy before the store at a port."""
    with InThread(Proxy(port)) as proxy:
        yield proxy
