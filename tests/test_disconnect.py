"""A client that hangs up during its sign-in: the server carries on, and the try stays counted."""

import socket
import struct

import pytest

from services.auth.limiter import PER_ACCOUNT
from tests import harness
from tests.harness import sign_in, until

ABRUPTLY = struct.pack("ii", 1, 0)  # SO_LINGER: a reset instead of a goodbye
AT_ONCE = 5  # fewer than there are slots


@pytest.fixture(scope="module")
def slow():
    """A simulated Proxmox that takes a second to refuse."""
    with harness.simulator(speed=3.0) as running:
        yield running


@pytest.fixture
def up(valkey_url, slow, request):
    """A program of the test's own at that Proxmox, with counters of its own."""
    prefix = f"disconnect-{request.node.callspec.id}:"
    with harness.proxgate(REDIS_URL=valkey_url, STORE_PREFIX=prefix, **harness.for_proxmox(slow)) as running:
        yield running


def guess(up):
    """A connection on which a wrong password is on its way."""
    body = b"username=alice&realm=pve&password=wrong"
    connection = socket.create_connection(("localhost", up.port))
    head = f"POST /login HTTP/1.1\r\nHost: localhost:{up.port}\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode() + body)
    return connection


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_a_guess_counts_though_its_client_hangs_up(up, slow, abruptly):
    """A guess that Proxmox was asked about stays counted when its client is gone before the answer is there."""
    before = len(slow.requests)

    def asked():
        return sum(one.path == "/access/ticket" for one in list(slow.requests)[before:])

    for number in range(PER_ACCOUNT // AT_ONCE):
        connections = [guess(up) for _ in range(AT_ONCE)]
        until(lambda due=(number + 1) * AT_ONCE: asked() == due)
        assert up.output().count("event=failure") <= number * AT_ONCE  # Proxmox has not answered yet
        for connection in connections:
            if abruptly:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
            connection.close()
        until(lambda due=(number + 1) * AT_ONCE: up.output().count("event=failure") == due)
    with up.client() as jar:
        assert sign_in(jar, "alice", "pve").status_code == 429
    assert asked() == PER_ACCOUNT
