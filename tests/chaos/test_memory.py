"""What strangers and people do ten thousand times leaves the program's memory, and the store, as they were.

Sockets and transports by the thousand are in `test_floods.py`.
"""

import asyncio
import contextlib
import re

import pytest

from services.auth.limiter import PER_ADDRESS, SPARE
from tests import harness
from tests.chaos.program import assert_no_trace, browser, program
from tests.chaos.test_floods import BACK_WITHIN, MOST_MB, all_of, resident
from tests.socket_client import Poller, cookies_of, load, query_of
from tests.socket_client import socket as opened

TIMES, WARM = 10_000, 500
FRAMES, WARM_PAGES = 3_000, 150
PREFIX = "memory:"
BAD_FRAMES = (
    "", "9", "4", "49", "42", "42[", "42{}", '42["event"]', '42["event",{}]', '42["nobody",1]', '42["event",null,1]',
    '43["x"]', '4212345["ack",{}]', '451-["event",{"_placeholder":true,"num":0}]', "41", "42" + "[" * 2_000,
    '42["connect",{}]', '42["disconnect",1,2]', '42["log",1,2]', "42" + '{"a":' * 2_000,
    '42["event",{"client_id":1e999}]', '42["log",{"message":"\\u0000"}]', "\ud7ff", b"\x00" * 1_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def up(valkey_url, sim):
    """The program, behind a proxy that tells whose each request is."""
    with program(valkey_url, sim, STORE_PREFIX=PREFIX, TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


class Lines:
    """A hundred connections that are kept, written by hand: a client's own work would take most of the time."""

    def __init__(self, up):
        self.port = up.port
        self.idle = []

    async def ask(self, path, form="", **headers):
        """The status of an answer, which is read to its end."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("localhost", self.port)
        told = {"Host": f"localhost:{self.port}", "Accept": "text/html", **headers}
        if form:
            told |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": len(form)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"{'POST' if form else 'GET'} {path} HTTP/1.1\r\n{lines}\r\n{form}".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(re.search("content-length: ([0-9]+)", head)[1]))
        self.idle.append((reader, writer))
        return int(head.split(" ", 2)[1])


@contextlib.asynccontextmanager
async def lines(up):
    """They are closed at the end."""
    made = Lines(up)
    yield made
    for _, writer in made.idle:
        writer.close()


async def flood(up, times, ask):
    """Do it some hundred times to warm up, then so many times; what it gave, once the memory is back."""
    await all_of(WARM, ask)
    before = resident(up)
    gave = await all_of(times, lambda number: ask(WARM + number))
    after = resident(up)
    await asyncio.to_thread(harness.until, lambda: resident(up) - before < MOST_MB, BACK_WITHIN, 1)
    print(f"{before:.0f} MB before, {after:.0f} after, {resident(up):.0f} in the end")
    assert_no_trace(up)
    return gave


@pytest.mark.parametrize(
    ("path", "statuses"),
    [("/login", {200, 429, 500}), ("/nowhere/{}", {303}), ("/_nicegui/{}/static/x", {303, 404}), ("/", {303})],
)
async def test_strangers_requests(up, path, statuses):
    """Ten thousand requests of strangers, for cards, unknown pages or files, cost less than 20 MB in the end.

    A card that a busy machine has not built after three seconds is 500.
    """
    async with lines(up) as made:

        async def ask(number):
            whence = f"198.18.{number // 250 % 250}.{number % 250 + 1}"
            return await made.ask(path.format(number), **{"X-Forwarded-For": whence})

        assert set(await flood(up, TIMES, ask)) <= statuses


async def test_unknown_pages_of_somebody_signed_in(up):
    """A thousand unknown pages of somebody who is signed in cost less than 20 MB in the end."""
    with browser(up) as signed:
        async with lines(up) as made:

            async def ask(number):
                return await made.ask(f"/nowhere/{number}", Cookie=cookies_of(signed))

            statuses = await flood(up, TIMES // 10, ask)
    assert set(statuses) <= {404, 429}  # forty in half a minute, since no socket follows


@pytest.mark.parametrize("whose", ["a stranger's", "somebody's"])
async def test_bad_frames(up, whose):
    """Thousands of frames that are none, on strangers' sockets or a person's, cost less than 20 MB in the end."""
    with up.client() if whose == "a stranger's" else browser(up) as client:
        path = "/login" if whose == "a stranger's" else "/lab"

        async def spoil(number):
            try:
                page = await asyncio.to_thread(load, client, path)
            except AssertionError:  # too many tabs, for a moment
                await asyncio.sleep(1)
                return 0
            sent = 0
            async with opened(up, query_of(page.client_id), cookies_of(client)) as one:
                for frame in BAD_FRAMES[number % len(BAD_FRAMES) :] + BAD_FRAMES[: number % len(BAD_FRAMES)]:
                    if one.closed:
                        break
                    await one.send(frame)
                    sent += 1
                    await asyncio.sleep(0)
            return sent

        for number in range(WARM_PAGES):
            await spoil(number)
        before, rounds, sent = resident(up), 0, 0
        while sent < FRAMES:
            sent += await spoil(rounds)
            rounds += 1
        print(f"{sent} frames on {rounds} sockets, {before:.0f} MB before, {resident(up):.0f} after")
    await asyncio.to_thread(harness.until, lambda: resident(up) - before < MOST_MB, BACK_WITHIN, 1)
    assert_no_trace(up)


async def test_bad_polls(up):
    """Polls without a transport, of another's, of another protocol, or with a body that is none, are refused."""
    with browser(up) as one, browser(up) as other:
        async with Poller(up, cookies_of(one), load(one).client_id) as poll:
            async with Poller(up, cookies_of(other), load(other).client_id) as foreign:
                assert await poll.open()
                assert await foreign.open()

                async def spoil(number):
                    sid = poll.sid if number % 4 == 3 else foreign.sid
                    ways = (
                        lambda: poll.post('42["event",{}]', sid=None),
                        lambda: poll.get(sid=foreign.sid),
                        lambda: foreign.get(EIO=3),
                        lambda: poll.post("\x1e".join(["42["] * 20)),
                    )
                    return (number % 4, (await ways[number % 4]()).status_code, sid)[:2]

                told = await flood(up, TIMES, spoil)
    assert {status for kind, status in told if kind < 3} == {400}
    assert {status for kind, status in told if kind == 3} <= {200, 400}


async def test_bad_logins(up, valkey_url):
    """Ten thousand wrong passwords leave counters that are bounded in number and size, each with an end."""
    async with lines(up) as made:

        async def ask(number):
            form = f"username=nobody{number % 20}&realm=pve&password=wrong"
            told = {"Accept": "application/json", "X-Forwarded-For": f"198.19.0.{number % 50 + 1}"}
            return await made.ask("/login", form, **told)

        assert set(await flood(up, TIMES, ask)) <= {401, 429, 502, 503}  # the last two where the machine is busy
    with harness.admin(valkey_url) as store:
        found = store.keys(f"{PREFIX}limit:*")
        keys = [key for key in found if b":known:" not in key]  # the devices of those who came in
        assert len(keys) <= 20 + 50 + 1  # accounts, addresses, slots
        for key in keys:
            assert 0 < store.ttl(key) <= 901
            assert store.zcard(key) <= PER_ADDRESS + SPARE
        store.delete(*keys)
