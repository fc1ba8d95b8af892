"""What somebody without an account can make us keep: pages, memory, connections, log lines."""

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
import time
from pathlib import Path

import nicegui
import pytest
from pydantic import SecretStr

from services.certificate import kept_certificate
from services.errors import EndReason, SessionEnded
from services.proxmox import ApiToken
from services.sessions import Life, Limits, Sessions
from tests import harness
from tests.harness import PAGE, SECRET, sign_in, until
from tests.socket_client import cookies_of, is_in, load, query_of, read_page
from tests.socket_client import socket as opened
from ui.protocol import HEAD_SECONDS
from ui.server import MOST_CONNECTIONS
from ui.tabs import LOGIN_PER_ADDRESS, WAITING_PER_SESSION
from ui.unread import READ_BYTES, READ_SECONDS

pytestmark = pytest.mark.slow

VERSION = nicegui.__version__


@pytest.fixture(scope="module")
def own(valkey_url, sim):
    """A process of its own, whose memory and log are measured."""
    settings = harness.for_proxmox(sim)
    with harness.proxgate(REDIS_URL=valkey_url, SESSION_SECRET=SECRET, STORE_PREFIX="strangers:", **settings) as up:
        yield up


@pytest.fixture(scope="module")
def secure(valkey_url, sim, tmp_path_factory):
    """The same over https."""
    own = kept_certificate(tmp_path_factory.mktemp("tls"), "localhost")
    settings = {"TLS_CERT_FILE": str(own.certificate), "TLS_KEY_FILE": str(own.key), **harness.for_proxmox(sim)}
    with harness.proxgate(scheme="https", REDIS_URL=valkey_url, STORE_PREFIX="shakes:", **settings) as up:
        yield up


def memory(running):
    """Resident memory of the process in bytes; Linux only."""
    status = Path(f"/proc/{running.process.pid}/status")
    if not status.exists():
        pytest.skip("the memory of another process is read from /proc")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) * 1024


@pytest.mark.parametrize(
    "path",
    [
        "/assets/a/b",
        "/assets/",
        f"/_nicegui/{VERSION}/resources/x",
        f"/_nicegui/{VERSION}/esm/x",
        f"/_nicegui/{VERSION}/static",
        f"/_nicegui/{VERSION}/other/x",
        "/_nicegui/0.0.0/static/nicegui.js",
        f"/_nicegui/{VERSION}/static/no-such-file",
        f"/_nicegui/{VERSION}/libraries/no-such-file",
    ],
)
def test_no_open_path_builds_a_page(own, path):
    """A stranger's request for a file that is not there gets a few words, and no page of NiceGUI's."""
    with own.client() as jar:
        answer = jar.get(path, headers={"Accept": "*/*"})
        assert answer.status_code in {401, 404}
        assert "client_id" not in answer.text
        assert len(answer.text) < 200


async def test_packets_with_attachments_are_not_collected(own):
    """A packet that announces attachments is refused, and what is sent after it is not kept."""
    with own.client() as jar:
        page = load(jar, "/login")
        before = memory(own)
        async with opened(own, query_of(page.client_id), cookies_of(jar)) as up:
            await up.send('459999999999-["event",{}]')
            for _ in range(100):
                if up.closed:
                    break
                await up.socket.send(b"\0" * 1_000_000)
            assert memory(own) - before < 40_000_000


def test_silent_connections_are_closed(own):
    """Who says nothing, or half a head, is hung up on; who has a request under way is not."""
    silent, half = (socket.create_connection(("localhost", own.port)) for _ in range(2))
    half.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    for connection in (silent, half):
        connection.settimeout(HEAD_SECONDS + 5)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        connection.close()


def test_who_does_not_shake_hands_is_hung_up_on(secure):
    """Over https a handshake has no longer than a head, and the log hears nothing of one that does not come."""
    size = len(secure.output())
    silent, half = (socket.create_connection(("localhost", secure.port)) for _ in range(2))
    half.sendall(b"\x16\x03\x01")
    for connection in (silent, half):
        connection.settimeout(HEAD_SECONDS + 20)  # asyncio's own patience is a minute
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        connection.close()
    assert len(secure.output()) == size


def test_who_does_not_shake_hands_costs_little(secure):
    """A connection over https that says nothing takes less than 128 KiB of memory."""
    before = memory(secure)
    with contextlib.ExitStack() as held:
        for _ in range(400):
            held.enter_context(socket.create_connection(("localhost", secure.port)))
        until(lambda: connections(secure) >= 400)
        secure.client(verify=False).get("/healthz")  # what was taken has its buffer by now
        assert memory(secure) - before < 400 * 128 * 1024


def test_a_form_that_does_not_come_is_given_up(own):
    """A form whose body stays away is answered 408, and holds nothing."""
    with socket.create_connection(("localhost", own.port)) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: localhost:{own.port}\r\nContent-Length: 100\r\n"
        connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nusername".encode())
        connection.settimeout(15)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


UPGRADE = "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{more}\r\n"
ODD_UPGRADES = {
    "a body": "Content-Length: 40\r\n",
    "a body in chunks": "Transfer-Encoding: chunked\r\n",
    "many headers": "a: b\r\n" * 300,
    "a long header": f"a: {'b' * 20_000}\r\n",
}


@pytest.mark.parametrize("more", ODD_UPGRADES.values(), ids=ODD_UPGRADES)
def test_upgrades_of_no_browser_are_refused(own, more):
    """What the websocket library would not read is answered 400, and its connection closed."""
    with socket.create_connection(("localhost", own.port)) as connection:
        connection.settimeout(30)
        connection.sendall(UPGRADE.format(path="/healthz", more=more).encode())
        assert to_the_end(connection).startswith(b"HTTP/1.1 400")


def to_the_end(connection):
    """What comes until the other end closes. Raises TimeoutError when it does not."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(1 << 16):
            came += more
    return came


def test_no_byte_after_an_answer_holds_a_connection(own):
    """The rest of a body that nobody waits for, part or all of it, or an empty line, keeps no connection open."""
    with contextlib.ExitStack() as stack:
        held = []
        for size, rest in ((100_000, b"a"), (3, b"abc"), (0, b"\r\n")):
            connection = stack.enter_context(socket.create_connection(("localhost", own.port)))
            connection.settimeout(60)
            connection.sendall(f"POST /logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 303")
            connection.sendall(rest)
            held.append(connection)
        for connection in held:
            to_the_end(connection)


def asks(own, path, times=1):
    """A connection that has asked for a file, so many times without waiting, and takes little of it at once."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("localhost", own.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{own.port}\r\n\r\n".encode() * times)
    return connection


def connections(own):
    """How many files the process has open that are sockets."""
    files = Path(f"/proc/{own.process.pid}/fd").iterdir()
    return sum(os.readlink(file).startswith("socket:") for file in list(files) if file.is_symlink())


LARGE = f"/_nicegui/{VERSION}/static/quasar.umd.js"


def test_an_answer_that_nobody_reads_is_given_up(own):
    """Who asks for more than the system takes, and never reads it, is hung up on."""
    until(lambda: own.client().get("/healthz").is_success)
    before = connections(own)
    held = [asks(own, LARGE, 10) for _ in range(5)]
    until(lambda: connections(own) >= before + 5)
    until(lambda: connections(own) <= before, 2 * READ_SECONDS + 40, 1)
    for connection in held:
        connection.close()


def test_an_upgrade_ahead_of_an_answer_is_hung_up_on(own):
    """Who asks for a websocket with an earlier request unanswered gets neither, and leaves nothing waiting."""
    with socket.create_connection(("localhost", own.port)) as connection:
        connection.settimeout(30)
        first = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall((first + UPGRADE.format(path="/healthz", more="")).encode())
        assert to_the_end(connection) == b""


def test_who_reads_slowly_gets_it_all(own):
    """A slow line is no reason to hang up."""
    with asks(own, LARGE) as connection, own.client() as client:
        length = len(client.get(LARGE, headers={"Accept-Encoding": "identity"}).content)
        connection.settimeout(30)
        began, came = time.monotonic(), b""
        while time.monotonic() < began + 1.5 * READ_SECONDS:
            came += connection.recv(READ_BYTES // 8)
            time.sleep(0.1)  # ten times the least
        while len(came.partition(b"\r\n\r\n")[2]) < length:
            came += connection.recv(1 << 16)
        assert len(came.partition(b"\r\n\r\n")[2]) == length


async def test_malformed_messages_do_not_fill_the_log(own):
    """However many refused messages a stranger sends, the log gets some lines and no stack trace."""
    with own.client() as jar:
        page = load(jar, "/login")
        size = len(own.output())
        async with opened(own, query_of(page.client_id), cookies_of(jar)) as up:
            for name in ("ack", "handshake", "javascript_response", "event"):
                for _ in range(100):
                    await up.send("42" + json.dumps([name, {"client_id": page.client_id}]))
            await up.emit("handshake", {"client_id": "last"}, ack=9)
            await up.until(lambda: up.closed or up.acknowledged(9) is False)
        assert len(own.output()) - size < 10_000
        assert "Traceback" not in own.output()


def test_one_session_cannot_open_pages_without_end(own):
    """Pages whose sockets do not come are counted for a signed-in account too."""
    with own.client() as jar:
        sign_in(jar, "nobody", "pve")
        answers = [jar.get("/", headers=PAGE).status_code for _ in range(WAITING_PER_SESSION + 5)]
        assert answers[0] == 200
        assert set(answers[WAITING_PER_SESSION:]) == {429}


async def test_a_record_that_comes_back_after_its_end_opens_nothing(store, keys):
    """A session that was ended stays ended, even when its record is put back from a copy."""
    sessions = Sessions(store, keys, None, Limits())  # no Proxmox is asked
    made = await sessions.create(ApiToken(tokenid="a@pve!t", secret=SecretStr("s")), address="", agent="")
    key = store.key("session", f"{{{made.hash}}}")
    copy = await store.run(lambda client: client.get(key))
    await sessions.end(made, EndReason.ENDED)
    await store.run(lambda client: client.set(key, copy))
    for one in (sessions, Sessions(store, keys, None, Limits())):
        assert await one.confirm([made]) == {made.hash: Life(reason=EndReason.ENDED, buried=True)}
        with pytest.raises(SessionEnded):
            await one.read(made.id)


async def test_cards_with_sockets_are_counted_too(own):
    """One address has so many login cards open at a time, and no more, though each has its socket."""
    async with contextlib.AsyncExitStack() as stack:
        with own.client() as jar:
            for _ in range(LOGIN_PER_ADDRESS):
                page = await asyncio.to_thread(until, lambda: _card(jar), 30, 0.5)
                up = await stack.enter_async_context(opened(own, query_of(page.client_id), cookies_of(jar)))
                await up.until(lambda up=up: is_in(up), 20)
            assert jar.get("/login", headers=PAGE).status_code == 429
    with own.client() as jar:
        await asyncio.to_thread(until, lambda: jar.get("/login", headers=PAGE).status_code == 200, 30, 0.5)


def _card(jar):
    """A login card, or None while those of the test before are still counted."""
    answer = jar.get("/login", headers=PAGE)
    return read_page(answer.text) if answer.status_code == 200 else None


def test_cards_come_back_after_a_flood(own):
    """Strangers who open cards and leave cost the next person a few seconds at most."""
    with own.client() as jar:
        for _ in range(60):
            jar.get("/login", headers=PAGE)
        assert jar.get("/login", headers=PAGE).status_code == 429
        started = time.monotonic()
        until(lambda: jar.get("/login", headers=PAGE).status_code == 200, 15, 0.5)
        assert time.monotonic() - started < 12


def test_connections_have_an_end(own):
    """Beyond so many connections a request is answered 503, and below them again as ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * MOST_CONNECTIONS:
        pytest.skip("this machine lets no process open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * MOST_CONNECTIONS, hard))
    try:
        with contextlib.ExitStack() as held, own.client() as client:

            def full():
                for _ in range(MOST_CONNECTIONS // 2):  # who says nothing is hung up on after ten seconds
                    held.enter_context(socket.create_connection(("127.0.0.1", own.port), 10))
                return client.get("/healthz").status_code == 503

            assert client.get("/healthz").status_code == 200
            assert not full()
            assert full() or full()
        with own.client() as client:
            until(lambda: client.get("/healthz").status_code == 200, 30, 0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
