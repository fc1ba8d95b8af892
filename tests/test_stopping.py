"""The end of a running program, with people in the middle of things, and the next one in its place."""

import asyncio
import contextlib
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from services.simulator import Account, Fault
from services.simulator.household import ACCOUNTS
from services.store.locks import holder
from tests import browser, harness
from tests.harness import PAGE, until
from tests.socket_client import Poller, cookies_of, load, query_of, read_page, signed_in, tab
from tests.socket_client import socket as opened
from tests.test_store_down import OwnValkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MOST_SECONDS = 10
AT_ONCE, TABS = 8, 20
"""Sign-ins, as many as Proxmox is asked at once; and open tabs."""

TICKET = "/access/ticket"
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def pve():
    """A simulated Proxmox with accounts enough."""
    people = [Account(userid=f"user{number}@pve", password="demo") for number in range(AT_ONCE)]
    with harness.simulator(accounts=(*ACCOUNTS, *people)) as running:
        yield running


@pytest.fixture
def slow(pve):
    """Sets how many seconds a sign-in takes at Proxmox."""
    yield lambda seconds: setattr(pve, "fault", Fault(path=TICKET, delay=seconds))
    pve.fault = Fault()


@pytest.fixture
def house(pve, valkey_url, tmp_path, request):
    """Starts one program after the other, in the same place: port, store, data."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)
    return House(pve, valkey_url, f"stopping-{name}:", tmp_path / "data")


class House:
    """The place of one program at a time."""

    def __init__(self, pve, url, prefix, data):
        self.pve, self.url, self.prefix, self.data = pve, url, prefix, data
        self.port = harness.free_port()

    def start(self, **settings):
        """The program on the shared store."""
        shared = {"REDIS_URL": self.url, "STORE_PREFIX": self.prefix, "SESSION_SECRET": harness.SECRET}
        return harness.proxgate(port=self.port, **{**shared, **harness.for_proxmox(self.pve), **settings})

    def start_alone(self):
        """The program with a store of its own."""
        settings = {"PROXGATE_DATA_DIR": str(self.data), **harness.for_proxmox(self.pve)}
        return harness.proxgate(port=self.port, **settings)

    def own_store(self):
        """The number of its own store's process, 0 when it has gone."""
        pid = holder(self.data / "store" / "alive")
        with contextlib.suppress(OSError):
            return pid if b"valkey" in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        return 0

    def sessions(self):
        """How many records there are in the shared store, and how many entries in the lists of accounts."""
        with harness.admin(self.url) as store:
            lists = store.keys(f"{self.prefix}index:*")
            return len(store.keys(f"{self.prefix}session:*")), sum(store.hlen(one) for one in lists)

    def asked(self):
        """How many sign-ins have come to Proxmox."""
        return sum(one.path == TICKET for one in tuple(self.pve.requests))


async def stopped(up, *signals):
    """Send these, a moment apart; the exit status, within ten seconds of the first."""
    began = time.monotonic()
    for number in signals or (signal.SIGTERM,):
        up.process.send_signal(number)
        await asyncio.sleep(0.3)
    status = await asyncio.to_thread(up.process.wait, 30)
    took = time.monotonic() - began
    assert took < MOST_SECONDS, f"{took:.1f} s"
    assert "Traceback" not in up.output(), up.output()[-3000:]
    return status


async def sign_in(up, number):
    """What became of a sign-in: the browser with its cookie, an answer that is none, or no answer."""
    client = httpx.AsyncClient(base_url=up.url, timeout=30, trust_env=False)
    form = {"username": f"user{number}", "realm": "pve", "password": "demo"}
    try:
        answer = await client.post("/login", data=form, headers=JSON)
    except httpx.TransportError:
        return None
    return client if answer.status_code == 200 else answer.status_code


async def is_in(client, url, name):
    """Whether a browser has the session of this account."""
    answer = await client.get(f"{url}/nowhere", headers=PAGE)
    return answer.status_code == 404 and name in answer.text


@contextlib.asynccontextmanager
async def busy(up):
    """Somebody's open tabs, by socket and by poll, and pages asked for all the time."""
    with signed_in(up) as client:
        async with contextlib.AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(tab(up, client, load(client, "/"))) for _ in range(TABS)]
            poll = await stack.enter_async_context(Poller(up, cookies_of(client), load(client, "/").client_id))
            assert await poll.open()
            work = [asyncio.create_task(_poll(poll)), asyncio.create_task(_look(up, client))]
            yield client, tabs
            for one in work:
                one.cancel()


async def _poll(poll):
    with contextlib.suppress(httpx.TransportError):
        while (await poll.get()).status_code == 200:
            await poll.post("3")


async def _look(up, client):
    async with httpx.AsyncClient(base_url=up.url, cookies=client.cookies, trust_env=False) as looking:
        with contextlib.suppress(httpx.TransportError):
            while True:
                await looking.get("/login", headers=PAGE)


@pytest.mark.parametrize("seconds", [1, 8], ids=["Proxmox answers in time", "Proxmox answers too late"])
async def test_no_half_login(house, slow, seconds):
    """SIGTERM in the middle of sign-ins: each has a cookie that the next instance takes, or leaves no session."""
    with house.start() as up:
        async with busy(up) as (client, _):
            slow(seconds)
            before = house.asked()
            work = [asyncio.create_task(sign_in(up, number)) for number in range(AT_ONCE)]
            await asyncio.to_thread(until, lambda: house.asked() == before + AT_ONCE, 30)
            assert await stopped(up) == 0
            ends = await asyncio.gather(*work)
    came_in = [(number, one) for number, one in enumerate(ends) if isinstance(one, httpx.AsyncClient)]
    assert seconds == 1 or set(ends) == {503}  # told to come again
    assert len(came_in) == (AT_ONCE if seconds == 1 else 0), ends
    assert house.sessions() == (len(came_in) + 1, len(came_in) + 1)
    with house.start() as up:
        for number, one in came_in:
            assert await is_in(one, up.url, f"user{number}@pve")
            await one.aclose()
        async with httpx.AsyncClient(cookies=client.cookies, trust_env=False) as before:
            assert await is_in(before, up.url, "root@pam")


async def test_tabs_are_told(house):
    """Open tabs are closed with the word that the server restarts, and find the next instance with their session."""
    with house.start() as up:
        async with busy(up) as (client, tabs):
            assert await stopped(up) == 0
            await tabs[0].until(lambda: all(one.closed for one in tabs))
            assert {one.socket.close_code for one in tabs} == {1012}
            assert not any(one.opened() for one in tabs), "nobody is sent to the login card"
    with house.start() as up, up.client(cookies=client.cookies) as again:
        async with opened(up, query_of("00000000-0000-4000-8000-000000000000"), cookies_of(again)) as old:
            await old.until(lambda: any(text.startswith("44") for _, text in old.frames))  # load anew
        answer = again.get("/", headers=PAGE)
        assert answer.status_code == 200
        async with tab(up, again, read_page(answer.text)):
            pass


async def test_nobody_comes_in_during_the_drain(house, slow):
    """While the last answers are awaited new connections are refused, so that a proxy goes elsewhere at once."""
    with house.start() as up:
        slow(3)
        before = house.asked()
        work = asyncio.create_task(sign_in(up, 0))
        await asyncio.to_thread(until, lambda: house.asked() > before, 30)
        up.process.terminate()
        await asyncio.to_thread(until, lambda: _refuses(up.port), 2)
        assert not work.done()
        assert up.process.poll() is None
        client = await work
        assert isinstance(client, httpx.AsyncClient)
        await client.aclose()
        assert await asyncio.to_thread(up.process.wait, MOST_SECONDS) == 0


LEFT_UNDONE = {
    "an upgrade": "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
    "a body": "POST /logout HTTP/1.1\r\nHost: a\r\n",
}


@pytest.mark.parametrize("head", LEFT_UNDONE.values(), ids=LEFT_UNDONE)
async def test_what_strangers_leave_undone(house, slow, head):
    """A request that its sender never finishes costs nobody the answer to a sign-in, nor the program its good end."""
    with house.start() as up, socket.create_connection(("127.0.0.1", up.port)) as stranger:
        stranger.sendall(f"{head}Content-Length: 40\r\n\r\na".encode())
        slow(2)
        before = house.asked()
        work = asyncio.create_task(sign_in(up, 0))
        await asyncio.to_thread(until, lambda: house.asked() > before, 30)
        assert await stopped(up) == 0
        client = await work
        assert isinstance(client, httpx.AsyncClient)
        await client.aclose()


def _refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


SIGNALS = {
    "SIGTERM": (signal.SIGTERM,),
    "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
    "SIGINT": (signal.SIGINT,),
    "SIGINT, SIGTERM": (signal.SIGINT, signal.SIGTERM),
    "SIGTERM, SIGINT": (signal.SIGTERM, signal.SIGINT),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}


@pytest.mark.parametrize("signals", SIGNALS.values(), ids=SIGNALS)
async def test_upgrade_in_place(house, slow, signals):
    """Its own store outlives the last answer, and ends with the program; the next one on the same data knows everybody.

    However often it is told: whoever was signing in is in.
    """
    with house.start_alone() as up, signed_in(up) as client:
        assert house.own_store()
        slow(1.5)
        before = house.asked()
        work = asyncio.create_task(sign_in(up, 0))
        await asyncio.to_thread(until, lambda: house.asked() > before, 30)
        assert await stopped(up, *signals) == 0
        assert house.own_store() == 0
        came_in = await work
        assert isinstance(came_in, httpx.AsyncClient)
    with house.start_alone() as up:
        async with httpx.AsyncClient(cookies=client.cookies, trust_env=False) as first:
            assert await is_in(first, up.url, "root@pam")
        assert await is_in(came_in, up.url, "user0@pve")
        await came_in.aclose()


@pytest.mark.parametrize("how", ["silent", "dead"])
async def test_without_its_store(house, tmp_path, how):
    """A store that has fallen silent, or died, holds nobody up."""
    store = OwnValkey(tmp_path)
    store.start()
    try:
        with house.start(REDIS_URL=store.url) as up:
            async with busy(up):
                with store.silent() if how == "silent" else store.dead():
                    await asyncio.sleep(1.5)
                    assert await stopped(up) == 0
    finally:
        store.kill()


@pytest.mark.browser
@pytest.mark.parametrize("sockets", [True, False], ids=["websocket", "long poll"])
def test_open_pages_come_back_by_themselves(house, sockets):
    """After an upgrade in place every open page shows itself again, with nobody doing anything, and no login card."""
    with contextlib.ExitStack() as stack:
        chromium = stack.enter_context(browser.launched())
        up = stack.enter_context(house.start_alone())
        context = chromium.new_context(base_url=up.url)
        if not sockets:
            context.add_init_script("delete window.WebSocket")
        watched = [browser.Watched(context) for _ in range(2)]
        home, guests = (one.page for one in watched)
        browser.sign_in(browser.card(home))
        browser.see_guest(guests, "homeassistant")
        for page in (home, guests):
            page.evaluate("window.before = true")
        cookie = _session(context)
        asked = [len(one.addresses) for one in watched]
        assert up.stop(MOST_SECONDS) == 0
        up = stack.enter_context(house.start_alone())
        for page in (home, guests):
            until(lambda page=page: page.wait_for_timeout(100) or _is_new(page), 40)
        expect(home.get_by_role("heading", name="Overview")).to_be_visible()
        expect(guests.get_by_role("gridcell", name="homeassistant")).to_be_visible()
        for one, count in zip(watched, asked, strict=True):
            assert not [address for address in one.addresses[count:] if "/login" in address.partition("?")[0]]
            assert one.mistakes() == []
        assert _session(context) == cookie
        context.close()


def _is_new(page):
    with contextlib.suppress(Exception):  # in the middle of loading
        return page.evaluate("window.before === undefined && location.protocol.startsWith('http')")
    return False


def _session(context):
    return next(one["value"] for one in context.cookies() if one["name"] == "proxgate")
