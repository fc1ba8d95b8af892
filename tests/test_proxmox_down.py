"""Proxmox away, slow, or with new keys, under open dashboards and many sign-ins: what people see and what it costs."""

import asyncio
import contextlib
import statistics
import time

import pytest

from services.simulator.simulator import Fault
from tests import harness
from tests.conftest import forget_failures
from tests.harness import PAGE, sign_in
from tests.socket_client import load, signed_in, tab, until
from tests.test_http_login import DEADLINE, SLOTS, UNREACHABLE
from ui.tabs import WAITING_PER_SESSION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ACCOUNTS = (("root", "pam"), ("alice", "pve"), ("kid", "pve"))
REJECTED = "Proxmox no longer accepts this sign-in"


@pytest.fixture(scope="module")
def proxmox():
    """A Proxmox of this module's own."""
    with harness.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def up(proxmox, valkey_url):
    """The program before it."""
    settings = {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "away:"}
    with harness.proxgate(**settings, **harness.for_proxmox(proxmox)) as running:
        yield running


@pytest.fixture(autouse=True)
def mended(proxmox, valkey_url):
    """Nothing goes wrong, and nothing is counted, before a test and after it."""
    forget_failures(valkey_url)
    yield
    proxmox.fault = Fault()


@contextlib.asynccontextmanager
async def dashboards(up, accounts):
    """An open overview for each, each of a session of its own, with its browser."""
    async with contextlib.AsyncExitStack() as stack:
        browsers = [stack.enter_context(signed_in(up, *account)) for account in accounts]
        tabs = [await stack.enter_async_context(tab(up, client, load(client, "/"))) for client in browsers]
        for one in tabs:
            await one.until(one.data, 20)
        yield list(zip(tabs, browsers, strict=True))


# Proxmox is away


async def test_fifty_dashboards(up, proxmox):
    """While Proxmox is away fifty dashboards say so and keep their sessions, each account's ask it once a second at
    the most, however long it lasts, and all show it within ten seconds of its return."""
    async with dashboards(up, [ACCOUNTS[number % 3] for number in range(50)]) as opened:
        proxmox.requests.clear()
        proxmox.fault, down = Fault(status=595), time.monotonic()
        for one, _ in opened:
            await one.until(lambda one=one: any(UNREACHABLE in str(event) for _, event in one.data(down)), 15)
        await until(lambda: _polls(proxmox) >= 5 * len(ACCOUNTS), 60)  # they ask ever more slowly, and now most slowly
        lasted = time.monotonic() - down
        assert _polls(proxmox) <= len(ACCOUNTS) * (1 + lasted)
        assert len(proxmox.requests) <= 2 * _polls(proxmox) + 4 * len(ACCOUNTS)
        proxmox.fault, back = Fault(), time.monotonic()
        for one, _ in opened:
            await one.until(lambda one=one: _recovered(one, back), max(0, back + 10 - time.monotonic()))
        assert [path for one, _ in opened for _, path in one.opened()] == []
        answers = {(await asyncio.to_thread(client.get, "/nope", headers=PAGE)).status_code for _, client in opened}
        assert answers == {404}, "a session was lost"


def _polls(proxmox):
    return sum("/cluster/resources" in request.path for request in tuple(proxmox.requests))


def _recovered(one, since):
    """Whether the box that tells the outage was hidden again."""
    return any(
        element and {"pg-trouble", "hidden"} <= set(element.get("class", []))
        for _, event in one.data(since) if event[0] == "update"
        for id, element in event[1].items() if id != "_id"
    )  # fmt: skip


# Proxmox has new keys


async def test_every_ticket_refused(up, proxmox, valkey_url):
    """When Proxmox takes no ticket of before any more, every session ends at its next question, with one message."""
    with signed_in(up, "maria", "home") as without_a_tab:
        async with dashboards(up, [*ACCOUNTS, *ACCOUNTS]) as opened:
            with harness.admin(valkey_url) as store:
                assert len(store.keys("away:session:*")) >= 7
                proxmox.forget_keys()
                for one, _ in opened:
                    await one.until(lambda one=one: one.opened() or one.closed, 15)
                    assert [path for _, path in one.opened()] == ["/login?next=/&ended=rejected"]
                await until(lambda: without_a_tab.get("/", headers=PAGE).status_code == 303, 15)
                assert store.keys("away:session:*") == []
            for client in (without_a_tab, *(client for _, client in opened)):
                assert client.get("/", headers=PAGE).status_code == 303
            card = opened[0][1].get("/login?next=/&ended=rejected", headers=PAGE).text
            assert card.partition("<template")[0].count(REJECTED) == 1
            assert sign_in(without_a_tab).status_code == 200


# Proxmox is slow


HELD = 3.0


async def test_two_hundred_sign_ins(up, proxmox):
    """Of two hundred sign-ins at once Proxmox, which holds each for three seconds, is asked eight at a time; all are
    answered in time, most at once, and other pages come as quickly as before."""
    with signed_in(up) as client:
        proxmox.fault = Fault(path="/access/ticket", delay=HELD)
        calm, arrived, over = await _pages(client, asyncio.create_task(asyncio.sleep(2))), [], asyncio.Event()
        watching = asyncio.create_task(_arrivals(proxmox, arrived, over))
        began = time.monotonic()
        attempts = asyncio.gather(*(_attempt(up, ACCOUNTS[number % 3]) for number in range(200)))
        meanwhile = await _pages(client, attempts)
        statuses = await attempts
        assert time.monotonic() - began < DEADLINE
        over.set()
        await watching
    assert max(sum(at <= other < at + HELD - 0.2 for other in arrived) for at in arrived) <= SLOTS
    assert set(statuses) == {200, 429}
    assert statistics.median(meanwhile) < 0.2 + 3 * statistics.median(calm)
    assert max(meanwhile) < HELD


async def _attempt(up, account):
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    username, realm = account
    body = f"username={username}&realm={realm}&password=demo".encode()
    writer.write(
        f"POST /login HTTP/1.1\r\nHost: localhost:{up.port}\r\nAccept: application/json\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    try:
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def _arrivals(proxmox, arrived, over):
    """When each sign-in reached Proxmox."""
    before = len(proxmox.requests)
    while not over.is_set():
        asked = sum(one.path == "/access/ticket" for one in list(proxmox.requests)[before:])
        arrived += [time.monotonic()] * (asked - len(arrived))
        await asyncio.sleep(0.01)


async def _pages(client, task):
    """How long a page takes until something is done, again and again; fewer than a session may have open."""
    took = []
    while not task.done() and len(took) < WAITING_PER_SESSION // 2 - 1:
        began = time.monotonic()
        answer = await asyncio.to_thread(client.get, "/nope", headers=PAGE)
        assert answer.status_code == 404
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.2)
    return took
