"""What strangers may cost: login cards are counted and forgotten, everything else builds nothing."""

import asyncio
import http.client
import time
from dataclasses import dataclass

import httpx
import pytest

from tests import harness
from tests.socket_client import Page, Tab, cookies_of, is_in, load, query_of, refused, socket, tab, until

pytestmark = pytest.mark.slow

CAP = 40
"""Login cards of one address whose sockets have not come yet."""


@pytest.fixture(scope="module")
def own(valkey_url, sim):
    """A program of this module's own, its login cards filled up."""
    settings = {"SESSION_SECRET": harness.SECRET, "TRUSTED_PROXIES": "127.0.0.1", "STORE_PREFIX": "cards:"}
    with harness.proxgate(REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up:
        yield up


@dataclass
class Aging:
    """A connected card that grows old beside the tests, and the thread in which its socket lives."""

    client: httpx.Client
    page: Page
    tab: Tab
    thread: harness.InThread


@pytest.fixture(scope="module", autouse=True)
def aging(own):
    """A login card with its socket, open from the start of these tests."""
    with own.client(headers={"X-Forwarded-For": "192.0.2.78"}) as client:
        page = load(client, "/login")
        thread = harness.InThread(tab(own, client, page, tab_id="same"))
        with thread as up:
            yield Aging(client, page, up, thread)


def resident(server):
    """Megabytes of the process in memory."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def cards(server, count, headers=None):
    """Load that many login cards, each as a new browser; the statuses and the last answer."""
    statuses = []
    with server.client() as client:
        for _ in range(count):
            client.cookies.clear()
            answer = client.get("/login", headers={**harness.PAGE, **(headers or {})})
            statuses.append(answer.status_code)
    return statuses, answer


def test_anonymous_requests_build_nothing(own):
    """Five thousand requests without a cookie, for every path but the card's, leave nothing in memory."""
    connection = http.client.HTTPConnection("localhost", own.port)
    paths = ["/", "/guests", "/none.css", "/_nicegui/none", "/sessions?x=1"]

    def ask(path):
        connection.request("GET", path, headers=harness.PAGE)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert {ask(path) for path in paths * 20} == {303}
    before = resident(own)
    assert {ask(path) for path in paths * 1000} == {303}
    assert resident(own) - before < 20
    connection.close()


def test_unconnected_cards_are_counted_and_forgotten(own):
    """Past the cap an address gets 429 for the card, others do not, and within ten seconds it gets cards again."""
    headers = {"X-Forwarded-For": "192.0.2.1"}
    statuses, refusal = cards(own, CAP + 5, headers)
    filled = time.monotonic()
    assert statuses == [200] * CAP + [429] * 5
    assert int(refusal.headers["retry-after"]) > 0
    assert "set-cookie" not in refusal.headers
    assert cards(own, 1, {"X-Forwarded-For": "192.0.2.2"})[0] == [200]
    harness.until(lambda: cards(own, 1, headers)[0] == [200], 10, every=0.25)
    assert time.monotonic() - filled < 10


def test_made_up_addresses_share_one_limit(valkey_url, sim):
    """Without a trusted proxy a made-up X-Forwarded-For does not get an address more cards, nor do parallel loads."""
    settings = {"SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "direct:"}
    with harness.proxgate(REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as direct:
        before = resident(direct)
        statuses = asyncio.run(_at_once(direct, CAP + 60))
        assert statuses.count(200) <= CAP
        assert statuses.count(429) >= 60
        assert len(statuses) == CAP + 60
        statuses, _ = cards(direct, 500)
        assert statuses.count(200) <= CAP
        assert resident(direct) - before < 20


async def _at_once(server, count):
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as client:

        async def one(number):
            headers = {**harness.PAGE, "X-Forwarded-For": f"198.51.100.{number}"}
            return (await client.get("/login", headers=headers)).status_code

        return await asyncio.gather(*(one(number) for number in range(count)))


async def test_login_tab_needs_its_prelogin_cookie(own):
    """A login card's socket is refused without its card's cookie, with another card's and with a forged one."""
    headers = {"X-Forwarded-For": "192.0.2.77"}
    with own.client(headers=headers) as client, own.client(headers=headers) as other:
        page = load(client, "/login")
        load(other, "/login")
        name, value = next(iter(client.cookies.items()))
        for cookies in ("", cookies_of(other), f"{name}={value[:-2]}xx", f"{name}={value}; {name}={value}"):
            assert await refused(own, query_of(page.client_id), cookies) is not None
        async with socket(own, query_of(page.client_id), cookies_of(client)) as up:
            await up.until(lambda: is_in(up))


async def test_card_whose_socket_came_stays(own, aging):
    """A card that is connected stays beyond the time after which an unconnected one is forgotten."""
    up = aging.tab
    await until(lambda: time.monotonic() - up.frames[0][0] > 9.5, 10)
    assert not up.closed
    aging.thread.call(up.emit("handshake", {"client_id": "last"}, ack=1))
    await until(lambda: up.acknowledged(1) is False)


async def test_connected_card_outlives_its_reconnect(own, aging):
    """A card that has had its socket and loses it for a moment is still there when the socket comes back."""
    up = aging.tab
    await until(lambda: time.monotonic() - up.frames[0][0] > 8.5, 10)
    aging.thread.call(up.socket.close())
    await until(lambda: up.closed)
    await asyncio.sleep(2)  # well within the ten seconds that the card's page grants
    assert await refused(own, query_of(aging.page.client_id, tab_id="same"), cookies_of(aging.client)) is None
