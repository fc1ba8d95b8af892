"""Websockets whose other end does not read, in a server of this process, whose buffers can be looked at."""

import asyncio
import contextlib

import pytest
import uvicorn

from tests.harness import free_port
from ui import protocol, unread
from ui.protocol import BoundedHead, BoundedSocket

PING = bytes([0x89, 0xFD]) + bytes(4) + b"p" * 125
CLOSE = bytes([0x88, 0x82]) + bytes(4) + (1000).to_bytes(2)
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def accepting(scope, receive, send):
    """An application that takes any websocket, and waits for its end."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass


@pytest.fixture
async def server():
    """A server whose shutdown is the test's."""
    port = free_port()
    config = uvicorn.Config(
        accepting, host="127.0.0.1", port=port, lifespan="off", log_config=None, http=BoundedHead, ws=BoundedSocket
    )
    running = uvicorn.Server(config)
    work = asyncio.create_task(running.serve())
    await become(lambda: running.started)
    yield running
    running.should_exit = True
    await asyncio.wait_for(work, 30)


async def become(condition):
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def pinging(server, most):
    """The server's end of a websocket that has pinged until so many bytes of answers are unread, and its writer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.config.port, limit=1024)
    writer.write(HANDSHAKE)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    (up,) = server.server_state.connections
    writer.transport.pause_reading()
    try:
        while up.transport.get_write_buffer_size() < most and up in server.server_state.connections:
            writer.write(PING * 500)
            await asyncio.sleep(0)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(writer.drain(), 10)
        yield up, writer
    finally:
        writer.transport.abort()


async def test_answers_to_pings_do_not_pile_up(server):
    """Who sends pings and reads no pongs is hung up on once they are many."""
    async with pinging(server, 2 * protocol.MOST_UNREAD):
        assert not server.server_state.connections


async def test_unread_websockets_are_given_up(server, monkeypatch):
    """A websocket that is closing, and whose last bytes nobody reads, is not there for ever."""
    monkeypatch.setattr(unread, "READ_SECONDS", 0.5)
    async with pinging(server, 1) as (_, writer):
        writer.write(CLOSE)
        await become(lambda: not server.server_state.connections)


async def test_no_farewell_holds_up_the_end(server):
    """A server ends in peace though one of its websockets is closing, and its last bytes are not read."""
    async with pinging(server, 1) as (up, writer):
        writer.write(CLOSE)
        await become(up.transport.is_closing)
        assert server.server_state.connections
        server.should_exit = True
        await become(lambda: not server.server_state.connections)
