"""Sockets whose answers nobody reads: what waits for them has an end."""

import contextlib
import socket
import struct
import time

import pytest

from tests import harness
from tests.chaos.test_floods import MOST_MB, resident
from tests.socket_client import cookies_of, load, query_of, signed_in

pytestmark = pytest.mark.slow

SECONDS = 6
FLOODS = {
    "another namespace, which comes back in the answer": "40/" + "a" * 900_000 + ",",
    "messages that ask for an acknowledgement": '421["log",{}]',
}


@pytest.fixture(scope="module")
def own(valkey_url, sim):
    """A program of one's own, whose memory nobody else fills."""
    with harness.proxgate(REDIS_URL=valkey_url, STORE_PREFIX="unread:", **harness.for_proxmox(sim)) as up:
        yield up


def masked(text):
    """A text frame as a browser sends it, but for its length in eight bytes, however short."""
    return struct.pack(">BBQ", 0x81, 0xFF, len(text)) + b"\0\0\0\0" + text.encode()


def let_in(up, client, page):
    """A tab's socket, whose answers are not read from now on."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(0.5)
    line.connect(("127.0.0.1", up.port))
    query = query_of(page.client_id, next_message_id=page.message_id)
    line.sendall(
        f"GET /_nicegui_ws/socket.io/?{query} HTTP/1.1\r\nHost: localhost:{up.port}\r\nOrigin: {up.url}\r\n"
        f"Cookie: {cookies_of(client)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in line.recv(200)
    line.sendall(masked("40"))
    return line


@pytest.mark.parametrize("who", ["a stranger", "somebody signed in"])
@pytest.mark.parametrize("flood", FLOODS)
def test_what_waits_has_an_end(own, who, flood):
    """However much somebody asks for and leaves unread, the program keeps little of it and goes on."""
    whoever = own.client() if who == "a stranger" else signed_in(own)
    many = max(1, 30_000 // len(FLOODS[flood]))
    with whoever as client:
        line = let_in(own, client, load(client, "/login" if who == "a stranger" else "/"))
        before, until = resident(own), time.monotonic() + SECONDS
        with line, contextlib.suppress(OSError):
            while time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    line.sendall(masked("3") + masked(FLOODS[flood]) * many)
        assert client.get("/healthz").status_code == 200
        assert resident(own) - before < MOST_MB
