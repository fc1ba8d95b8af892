"""Connections that send or leave unread too much, in a server of this process, whose buffers can be looked at."""

import asyncio
import contextlib
import gc
import socket
import struct
import weakref

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
    """Takes any websocket, and waits for its end; to a request it tells the names of its headers."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/slow":
            await asyncio.sleep(1)
        body = b" ".join(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
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


async def said(server, *parts):
    """All that the server says to these, until it hangs up or has said nothing more for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.config.port)
    heard = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        for part in parts:
            writer.write(part)
            await asyncio.wait_for(writer.drain(), 10)
        while more := await asyncio.wait_for(reader.read(65536), 2):
            heard += more
    writer.transport.abort()
    return heard


CHUNKED = b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"


async def test_trailers_are_no_headers(server):
    """What follows a body is told to nobody as a header."""
    heard = await said(server, CHUNKED + b"X-Forwarded-For: 192.0.2.1\r\n\r\n")
    assert heard.endswith(b"host transfer-encoding")


@pytest.mark.parametrize("trailer", [b"a:b\r\n" * 10_000, b"x" * 50_000], ids=["many", "one long one"])
async def test_trailers_have_an_end(server, trailer):
    """Who sends them for ever is hung up on."""
    assert await said(server, CHUNKED + b"a: ", *[trailer] * 40) == b""
    await become(lambda: not server.server_state.connections)


async def test_too_many_headers(server):
    """A request with more headers than anybody has is refused, and what comes after it is not looked at."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    assert (await said(server, head % (b"a:b\r\n" * (protocol.MOST_HEADERS - 1)))).startswith(b"HTTP/1.1 200")
    heard = await said(server, head % (b"a:b\r\n" * protocol.MOST_HEADERS) + head % b"")
    assert heard.startswith(b"HTTP/1.1 400")
    assert heard.count(b"HTTP/1.1") == 1


async def test_a_long_head_behind_another_request(server):
    """A head that comes in the same read as something else may be no longer than one that comes alone."""
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab"
    get = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: %s\r\n\r\n" % (b"x" * (protocol.LARGEST_HEAD + 1))
    heard = await said(server, post + get)
    assert heard.count(b"HTTP/1.1 400") == 1
    assert heard.count(b"HTTP/1.1") <= 2


async def test_too_many_requests_at_once(server):
    """So many may be sent before an answer is there; with more the connection is given up."""
    one = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await said(server, one * protocol.MOST_WAITING)).count(b"HTTP/1.1 200") == protocol.MOST_WAITING
    assert (await said(server, one * (protocol.MOST_WAITING + 1))).count(b"HTTP/1.1 200") < protocol.MOST_WAITING
    assert (await said(server, one * 5_000)).count(b"HTTP/1.1 200") < protocol.MOST_WAITING
    await become(lambda: not server.server_state.connections)


REQUEST = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n"
CUT = {
    "answered": REQUEST % (b"", b"x" * 50_000),
    "none of three answered": (REQUEST % (b"slow", b"x" * 15_000)) * 3,
    "a websocket": HANDSHAKE,
    "no such websocket": HANDSHAKE.replace(b"Version: 13", b"Version: 1"),
}


@pytest.mark.parametrize("sent", CUT.values(), ids=CUT)
async def test_what_was_cut_leaves_nothing(server, monkeypatch, sent):
    """The memory of a connection that has ended is free, without Python looking for it."""
    made = []
    server.config.timeout_keep_alive = 3600

    def noting(connect):
        def connection_made(self, transport):
            made.append(weakref.ref(self))
            connect(self, transport)

        return connection_made

    for kind in (BoundedHead, BoundedSocket):
        monkeypatch.setattr(kind, "connection_made", noting(kind.connection_made))
    gc.collect()
    gc.disable()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", server.config.port)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(sent)
        await become(lambda: made)
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await become(lambda: not any(ref() for ref in made))
    finally:
        gc.enable()
