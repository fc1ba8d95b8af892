"""Sockets by the thousand, from strangers and from somebody who has signed in: refused, closed, and forgotten."""

import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path

import pytest
import websockets

from tests import harness
from tests.chaos.program import KID, assert_no_trace, browser, program
from tests.socket_client import SOCKET_PATH, Poller, cookies_of, load, query_of, read_page, tab
from ui.sockets import GONE_PER_ADDRESS, SOCKETS_PER_CARD, TRANSPORTS_PER_TAB
from ui.tabs import TABS_PER_SESSION

SOCKETS, TRANSPORTS = 5_000, 10_000
AT_ONCE = 100
CLOSED_WITHIN, CLOSED_SOONEST = 10, 3
MOST_MB = 20
BACK_WITHIN = 90
GIVEN_UP_AFTER = 2
"""Seconds, at the least, for which a transport that nobody polls is one of a tab's ten."""


@pytest.fixture(scope="module")
def up(valkey_url, sim):
    """The program, with the working memory that a hundred sockets at once need: it is taken once, and kept."""
    with program(valkey_url, sim, STORE_PREFIX="floods:") as running:
        with running.client() as client:
            for _ in range(20):
                load(client, "/login")
        asyncio.run(all_of(1_000, lambda _: knock(running)))
        yield running


def resident(up):
    """Megabytes of the process in memory."""
    return int(Path(f"/proc/{up.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20


async def knock(up, query="", cookies="", greet=""):
    """Ask for a socket; None where it is refused."""
    address = f"{up.url.replace('http', 'ws', 1)}{SOCKET_PATH}?{query}"
    with contextlib.suppress(websockets.InvalidStatus, websockets.ConnectionClosed, OSError):
        opened = await websockets.connect(
            address, additional_headers={"Cookie": cookies}, origin=up.url, ping_interval=None, proxy=None,
            close_timeout=1,
        )  # fmt: skip
        if greet:
            await opened.send(greet)
        return opened
    return None


async def all_of(count, work):
    """Do something that many times, a hundred at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number):
        async with places:
            return await work(number)

    return await asyncio.gather(*(one(number) for number in range(count)))


@pytest.mark.parametrize("kind", ["no query", "no tab", "gone tab", "a card"])
@pytest.mark.parametrize("speaks", [True, False])
async def test_strangers_sockets(up, kind, speaks):
    """Of five thousand sockets of strangers, silent or not, a few are let in at a time, and none is open after ten
    seconds but a card's own two."""
    with up.client() as client:
        page = load(client, "/login")
        named = {"a card": page.client_id, "gone tab": "00000000-0000-4000-8000-000000000000"}.get(kind)
        query = "" if kind == "no query" else query_of(named)
        before, started = resident(up), time.monotonic()

        async def one(_):
            began = time.monotonic()
            return began, await knock(up, query, cookies_of(client), "40" if speaks else "")

        held = [(began, opened) for began, opened in await all_of(SOCKETS, one) if opened]
        most = (SOCKETS_PER_CARD + GONE_PER_ADDRESS) * (1 + (time.monotonic() - started) / CLOSED_SOONEST)
        lasting = [opened for opened in await asyncio.gather(*(_lasts(*one) for one in held)) if opened]
        print(f"{kind}: {len(held)} of {SOCKETS} let in, {len(lasting)} open after {CLOSED_WITHIN} s")
        assert len(held) <= most
        assert len(lasting) <= (SOCKETS_PER_CARD if kind == "a card" and speaks else 0)
        for opened in lasting:
            await opened.close()
    harness.until(lambda: resident(up) - before < MOST_MB, BACK_WITHIN, every=1)
    assert_no_trace(up)


async def _lasts(began, opened):
    """A socket that is still open ten seconds after it was asked for; None for one that is not."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(opened.wait_closed(), max(0.5, began + CLOSED_WITHIN - time.monotonic()))
        return None
    return opened


async def test_polling_transports(up):
    """Of ten thousand transports that a page asks for it has ten at a time, none that is odd or another's, and no
    memory is held afterwards."""
    with browser(up) as client, browser(up, KID) as other:
        page = load(client)
        before, began = resident(up), time.monotonic()
        async with Poller(up, cookies_of(client), page.client_id) as poll:
            told = Counter()

            async def ask(_):
                rounds = 1 + (time.monotonic() - began) / GIVEN_UP_AFTER
                if told[200] <= AT_ONCE + TRANSPORTS_PER_TAB * rounds:  # those at once are counted after each other
                    told[(await poll.get()).status_code] += 1

            await all_of(TRANSPORTS, ask)
            print(f"{told[200]} of {TRANSPORTS} given, {TRANSPORTS_PER_TAB} at a time")
            assert told[200] + told[400] == TRANSPORTS, "too many were given, or something else was told"
            theirs = load(other)
            async with Poller(up, cookies_of(other), theirs.client_id) as victim:
                assert await victim.open()
                odd = [
                    await poll.post("40"), await poll.get(EIO=3), await poll.get(sid=victim.sid),
                    await poll.post("41", sid=victim.sid), await poll.get(sid=victim.sid, client_id=theirs.client_id),
                ]  # fmt: skip
        assert [answer.status_code for answer in odd] == [400] * len(odd)
    harness.until(lambda: resident(up) - before < MOST_MB, BACK_WITHIN, every=1)
    assert_no_trace(up)


async def test_tabs_of_one_session(up):
    """A session that opens one connected page after the other is refused with 429 in the end."""
    with browser(up) as client:
        async with contextlib.AsyncExitStack() as stack:
            answer = client.get("/lab", headers=harness.PAGE)
            opened = 0
            while answer.status_code == 200:
                await stack.enter_async_context(tab(up, client, read_page(answer.text)))
                opened += 1
                answer = client.get("/lab", headers=harness.PAGE)
        assert (opened, answer.status_code) == (TABS_PER_SESSION, 429)
    assert_no_trace(up)
