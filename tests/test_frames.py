"""What one socket may bring, and what is held for it while the store is silent."""

import asyncio

import pytest

from tests.socket_client import load, signed_in, tab
from ui.frames import MOST_BYTES, MOST_HELD, Valve
from ui.server import LARGEST_FRAME

MIB = 1024 * 1024


async def test_a_frame_has_a_size(server):
    """A frame of more than a mebibyte ends its socket; a somewhat smaller one does not, and other tabs go on."""
    with signed_in(server) as client:
        page = load(client, "/")
        async with tab(server, client, load(client, "/")) as other:
            async with tab(server, client, page) as up:
                await up.emit("log", {"message": "x" * 900_000})
                await up.emit("handshake", {"client_id": "last"}, ack=9)
                await up.until(lambda: up.acknowledged(9) is False, 20)
                await up.send("42" + "x" * LARGEST_FRAME)
                await up.until(lambda: up.closed, 20)
            assert not other.closed


class Silent:
    """A watch that hears nothing of the store."""

    def alive(self, hash):
        return False

    async def confirmed(self, hash):
        await asyncio.Event().wait()


@pytest.mark.parametrize(("text", "fits"), [("42" + "x" * MIB, MOST_BYTES // MIB - 1), ("42x", MOST_HELD)])
async def test_no_more_is_held(text, fits):
    """With the store silent so much waits, out as in, and no more: then the socket is closed."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.receive", "text": text}

    valve = Valve(Silent(), "hash", receive, send)
    for _ in range(fits):
        await valve.send({"type": "websocket.send", "text": text})
    assert sent == []
    await valve.send({"type": "websocket.send", "text": text})
    assert sent == [{"type": "websocket.close", "code": 1013}]
    async with asyncio.timeout(20):
        assert (await valve.receive())["type"] == "websocket.disconnect"
    valve.close()
