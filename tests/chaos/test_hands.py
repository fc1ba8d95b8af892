"""An administrator's hand in the store, a clock that jumps, and whoever reads all that the store ever saw."""

import asyncio
import contextlib
import threading
import time

import pytest

from services.simulator.accounts import Account, Grant
from services.simulator.household import ACCOUNTS
from services.simulator.privileges import ADMINISTRATOR
from tests import harness
from tests.chaos.program import KID, ROOT, assert_no_trace, browser, jump, program, who
from tests.chaos.servers import StoreServer
from tests.harness import sign_in
from tests.socket_client import load, runs, tab
from tests.test_secrets import _Tickets, found

SECONDS = {"SESSION_MAX_SECONDS": "4", "SESSION_IDLE_SECONDS": "60"}
LONGEST = 4
TWO_HOURS = 7200


# F15


def test_time_limits_taken_off(server, sim):
    """With every time limit taken off in the store, and off again after each use, a session ends at its longest age."""
    with program(server.url, sim, **SECONDS) as up, browser(up) as root:
        born = time.monotonic()
        while who(root) == ROOT.userid:
            for key in server.keys("*"):
                server.ask("PERSIST", key)
            assert time.monotonic() < born + LONGEST + 2
            time.sleep(0.05)
        assert time.monotonic() > born + LONGEST - 1.5
        assert who(root) == 401
        assert_no_trace(up)


# F16


@pytest.mark.parametrize("command", ["DEL", "FLUSHALL"])
async def test_removed(server, up, command):
    """Within a second of a DEL or FLUSHALL by hand no request, event or timer of the session gets through."""
    with browser(up) as root, browser(up, KID) as kid:
        page = load(root)
        async with tab(up, root, page) as open_tab:
            await open_tab.until(open_tab.data)
            if command == "DEL":
                mine = [key for key in server.keys("*session:*") if key not in _of(server, up, kid)]
                assert len(mine) == 1
                server.ask("DEL", *mine)
            else:
                server.ask("FLUSHALL")
            gone, ran = time.monotonic(), len(runs(up, "open"))
            assert who(root) == 401
            await asyncio.sleep(max(0, gone + 1 - time.monotonic()))
            late = len(runs(up, "open"))
            await open_tab.emit("event", page.click("open"))
            with contextlib.suppress(AssertionError):
                await open_tab.until(lambda: open_tab.closed, 3)
            assert not open_tab.data(gone + 1)
            assert open_tab.closed
            assert open_tab.closed - gone < 2
            assert [path for _, path in open_tab.opened() if path.startswith("/login")]
            assert len(runs(up, "open")) == late == ran
        assert who(kid) == (KID.userid if command == "DEL" else 401)
        assert_no_trace(up)


def _of(server, up, client):
    """The keys of one browser's session: they are touched when it is used."""
    before = {key: server.ask("OBJECT", "IDLETIME", key) for key in server.keys("*session:*")}
    for key in before:
        server.ask("EXPIRE", key, 7000)
    assert who(client) not in {401, 503}
    return [key for key in before if server.ask("TTL", key) > 7000]


# F18


@pytest.mark.parametrize(
    "seconds", [-TWO_HOURS, TWO_HOURS, -30, -90 * 24 * 3600], ids=["back", "forth", "a little back", "months back"]
)
def test_clock_jumps(server, sim, seconds):
    """However the program's clock jumps while a session lives, no session lives longer than its longest age."""
    with program(server.url, sim, **SECONDS) as up, browser(up) as root:
        born = time.monotonic()
        jump(up, seconds)
        lived = _lives_until(root, born + LONGEST + 4)
        assert lived < born + LONGEST + 1
        with up.client(cookies=dict(root.cookies)) as thief:
            jump(up, 0)
            assert who(thief) == 401
        assert_no_trace(up)


async def test_clock_jumps_under_an_open_tab(server, sim):
    """Nor does a jump back keep an open tab alive beyond its session's longest age."""
    with program(server.url, sim, **SECONDS) as up, browser(up) as root:
        born = time.monotonic()
        async with tab(up, root, load(root)) as open_tab:
            await open_tab.until(open_tab.data)
            jump(up, -TWO_HOURS)
            with contextlib.suppress(AssertionError):
                await open_tab.until(lambda: open_tab.closed, LONGEST + 4)
            assert not open_tab.data(born + LONGEST + 1)
            assert open_tab.closed
        assert_no_trace(up)


def test_signed_in_with_a_clock_ahead(server, sim):
    """A session begun while the clock was two hours ahead lives no longer, when the clock is set right, than others."""
    with program(server.url, sim, **SECONDS) as up:
        jump(up, TWO_HOURS)
        with up.client() as client:
            assert sign_in(client).status_code == 200
            born = time.monotonic()
            jump(up, 0)
            assert _lives_until(client, born + LONGEST + 4) < born + LONGEST + 1
        assert_no_trace(up)


@pytest.mark.parametrize("kind", ["valkey"])
def test_replayed_after_its_end(server, sim):
    """A cookie that somebody has kept opens nothing after either end of its session, wherever the clock is set."""
    with program(server.url, sim, SESSION_IDLE_SECONDS="2", SESSION_MAX_SECONDS="5") as up:
        with browser(up) as root:
            time.sleep(2.5)
            assert _opened(up, root) == [401] * 3
        with browser(up) as root:
            until = time.monotonic() + 5.5
            while time.monotonic() < until:
                who(root)
                time.sleep(0.1)
            assert _opened(up, root) == [401] * 3
        assert_no_trace(up)


def _opened(up, client):
    """What a browser's cookies open with the clock as it is, two hours behind, and two hours ahead."""
    seen = []
    for seconds in (0, -TWO_HOURS, TWO_HOURS):
        jump(up, seconds)
        with up.client(cookies=dict(client.cookies)) as thief:
            seen.append(who(thief))
    jump(up, 0)
    return seen


def test_no_jump(server, sim):
    """Without a jump the session lives as long as it may: what is measured above is not a session that never lived."""
    with program(server.url, sim, **SECONDS) as up, browser(up) as root:
        born = time.monotonic()
        assert born + LONGEST - 1.5 < _lives_until(root, born + LONGEST + 4) < born + LONGEST + 1


def _lives_until(client, end):
    """When a session that is used all the while was last seen alive."""
    alive = time.monotonic()
    while time.monotonic() < end:
        if who(client) == ROOT.userid:
            alive = time.monotonic()
        time.sleep(0.05)
    return alive


# F20

PASSWORD, WRONG = "canary-password-7c1be0aa42", "canary-wrong-05d1f3be9c"
SECRET = "canary-session-secret-93be07d1aa5f4c22"
STORE_PASSWORD = "canary-store-5f7e1c93ab"
PLANTED = "canary-planted-" + "0123456789" * 3
CANARY = Account(userid="canary@pve", password=PASSWORD, grants=(Grant("/", ADMINISTRATOR),))


@contextlib.contextmanager
def monitored(server):
    """All that the store is told, as MONITOR shows it."""
    seen, over = [], threading.Event()

    def listen():
        with server.admin(socket_timeout=None) as admin, admin.monitor() as monitor:
            for command in monitor.listen():
                seen.append(command["command"])
                if over.is_set():
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    harness.until(lambda: server.admin().echo(b"begun") and any("begun" in one for one in tuple(seen)))
    yield seen
    over.set()
    server.admin().ping()
    thread.join(5)


def test_nothing_to_find(kind, tmp_path):
    """Whoever hears all that the store is told, and has its dump and its journal, finds no password, ticket, CSRF
    token, session's id or secret; a canary that is put there is found in all three."""
    house = harness.simulator(accounts=(*ACCOUNTS, CANARY), provider=True)
    plain = {"rdbcompression": "no", "aof-use-rdb-preamble": "no"}
    with (
        house as pve,
        StoreServer(kind, tmp_path / "store", STORE_PASSWORD, **plain) as server,
        monitored(server) as seen,
    ):
        tickets = _Tickets(pve)
        with program(server.url, pve, SESSION_SECRET=SECRET, TICKET_RENEW_SECONDS="1") as up, up.client() as client:
            assert sign_in(client, "canary", "pve", WRONG).status_code == 401
            assert sign_in(client, "canary", "pve", PASSWORD).status_code == 200
            asyncio.run(_watch_overview(up, client))
            with up.client() as half:
                assert sign_in(half, "bob", "pve").status_code == 200
                ids = {cookie.partition(".")[0] for cookie in (*client.cookies.values(), *half.cookies.values())}
            harness.until(lambda: len(tickets.signatures()) > 3, 10)
            with server.admin() as admin:
                admin.set("planted", PLANTED)
                admin.save()
                dumps = b"".join(key + admin.dump(key) for key in admin.scan_iter() if key != b"planted")
            secrets = {PASSWORD, WRONG, SECRET, STORE_PASSWORD, *ids, *tickets.signatures()}
            assert len(ids) >= 4
            files = {
                "MONITOR": "\n".join(seen),
                "journal": b"".join(file.read_bytes() for file in server.directory.rglob("*.aof")).decode("latin-1"),
                "dump": (server.directory / "dump.rdb").read_bytes().decode("latin-1"),
            }
            for name, content in files.items():
                assert PLANTED in content, name
                assert "session:" in content, name
                assert found(secrets, content) == [], name
            assert found(secrets, dumps.decode("latin-1")) == []
            assert_no_trace(up)


async def _watch_overview(up, client):
    """An open overview for some seconds: its ticket is renewed."""
    async with tab(up, client, load(client, "/")) as open_tab:
        await open_tab.until(open_tab.data)
        await asyncio.sleep(3)
