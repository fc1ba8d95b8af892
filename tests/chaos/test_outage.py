"""The store absent, stopped, slow or killed under the running program, its clients and its open tabs."""

import asyncio
import contextlib
import os
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests import harness
from tests.chaos.program import (
    ALICE,
    KID,
    ROOT,
    assert_no_trace,
    browser,
    lags,
    percentile,
    program,
    who,
)
from tests.chaos.proxy import proxied
from tests.chaos.servers import StoreServer
from tests.socket_client import load, runs, tab

FRESH = 1.0
"""Seconds for which a session counts as alive once the store has confirmed it."""

ANSWERED = 2.0
"""Seconds: the store's deadline of one, and what a busy machine may add."""

LAG = 0.05


# F01


def test_absent_at_the_start(kind, sim, tmp_path):
    """Started without its store the program says 503 wherever it matters, and works within five seconds of it."""
    server = StoreServer(kind, tmp_path / "store")
    with program(server.url, sim) as up, up.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        card = client.get("/login", headers=harness.PAGE)
        assert (card.status_code, "set-cookie" in card.headers) == (503, False)
        assert harness.sign_in(client).status_code == 503
        with server:
            harness.until(lambda: client.get("/readyz").status_code == 200, 5)
            assert client.get("/login", headers=harness.PAGE).status_code == 200
            assert harness.sign_in(client).status_code == 200
            assert who(client) == ROOT.userid
        assert_no_trace(up)


# F05


class Prober:
    """Asks a protected address, and what is open to everybody, again and again; keeps when, what and how long."""

    def __init__(self, client: httpx.Client):
        self.client = client
        self.seen: list[tuple[float, str | int, float]] = []
        self.over = threading.Event()

    def ask(self) -> None:
        began = time.monotonic()
        self.seen.append((began, who(self.client), time.monotonic() - began))

    def run(self) -> None:
        while not self.over.is_set():
            self.ask()
            time.sleep(0.05)

    def __enter__(self) -> "Prober":
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(10)

    def between(self, begun: float, ended: float) -> list[tuple[str | int, float]]:
        """What was asked and answered between two moments."""
        return [(answer, took) for at, answer, took in self.seen if begun <= at and at + took <= ended]


@contextlib.contextmanager
def stopped(server, proxy):
    with server.silent():
        yield


@contextlib.contextmanager
def late(server, proxy):
    proxy.delay = 5.0
    try:
        yield
    finally:
        proxy.delay = 0.0


@pytest.mark.parametrize(("how", "seconds"), [(stopped, 30), (late, 15)], ids=["stopped", "late"])
def test_silence(server, sim, how, seconds):
    """While the store is stopped for 30 s, or each answer takes 5 s, requests end in about a second with no protected
    byte, the event loop is as quick as before, tabs freeze; then the same session and the same tabs go on."""
    with proxied(server.port) as proxy, program(proxy.url, sim) as up, browser(up) as root:
        with browser(up, KID) as kid, browser(up, ALICE) as alice, Prober(root) as one, Prober(alice) as other:
            asyncio.run(_freeze_and_thaw(up, kid, lambda: how(server, proxy), seconds, (one, other)))
            assert [who(root), who(kid), who(alice)] == [ROOT.userid, KID.userid, ALICE.userid]
        assert_no_trace(up)


async def _freeze_and_thaw(up, kid, fault, seconds, probers):
    page = load(kid)
    async with tab(up, kid, page) as open_tab, own_pulse() as noise:
        await open_tab.until(open_tab.data)
        calm = time.monotonic()
        await asyncio.sleep(5)
        before = len(runs(up, "open"))
        with fault():
            begun = time.monotonic()
            await asyncio.sleep(FRESH)
            await open_tab.emit("event", page.click("open"))
            await asyncio.sleep(seconds - FRESH)
            ended = time.monotonic()
        assert not [at for at, _ in open_tab.data(begun + FRESH + 0.2) if at < ended]
        assert len(runs(up, "open")) in {before, before + 1}
        assert not [at for at in runs(up, "open")[before:] if at - time.time() < ended - time.monotonic() - 0.1]
        await open_tab.until(lambda: open_tab.data(time.monotonic() - 0.5), 8)
        await open_tab.emit("event", page.click("shown-again"))
        await open_tab.until(lambda: runs(up, "shown-again"), 5)
        assert not open_tab.opened()
        assert not open_tab.closed
        await asyncio.sleep(0.5)
    for prober in probers:
        assert {answer for answer, _ in prober.between(calm, begun)} <= {ROOT.userid, ALICE.userid}
        during = prober.between(begun + 0.1, ended - 0.1)
        assert {answer for answer, _ in during} == {503}
        assert max(took for _, took in during) < ANSWERED
        assert statistics.median(took for _, took in during) < 1.3
    late = percentile(lags(up, begun, ended), 0.99)
    machine = percentile(sorted(lag for at, lag in noise if begun <= at <= ended), 0.99)
    print(f"event loop lag with the store silent, 99th percentile: {late * 1000:.1f} ms; ours: {machine * 1000:.1f} ms")
    assert late < LAG + 3 * machine


@contextlib.asynccontextmanager
async def own_pulse():
    """The lags of the test's own event loop meanwhile: what the machine adds to anybody's."""
    seen: list[tuple[float, float]] = []

    async def pulse():
        while True:
            slept = time.monotonic()
            await asyncio.sleep(0.01)
            seen.append((time.monotonic(), time.monotonic() - slept - 0.01))

    task = asyncio.create_task(pulse())
    try:
        yield seen
    finally:
        task.cancel()


# F03


FEW = 12
"""Sessions of one account: of more than twenty the longest idle would be ended."""


class Crowd:
    """People who sign in as fast as they can, and out of sessions some seconds old; what was acknowledged, and when."""

    def __init__(self, up: harness.Running):
        self.up = up
        self.made: list[tuple[float, str, dict[str, str]]] = []
        self.ended: list[dict[str, str]] = []
        self.over = threading.Event()

    def person(self, account) -> None:
        while not self.over.is_set():
            if sum(userid == account.userid for _, userid, _ in self.made) >= FEW:
                time.sleep(0.05)
                continue
            with contextlib.suppress(httpx.TransportError), self.up.client() as client:
                if harness.sign_in(client, account.username, account.realm).status_code == 200:
                    self.made.append((time.monotonic(), account.userid, dict(client.cookies)))
            time.sleep(0.1)

    def leaver(self) -> None:
        while not self.over.is_set():
            old = [one for one in self.made if one[0] < time.monotonic() - 2 * LOST_SECONDS]
            if not old:
                time.sleep(0.05)
                continue
            with contextlib.suppress(httpx.TransportError), self.up.client(cookies=old[0][2]) as client:
                if client.post("/logout").status_code == 303:
                    self.made.remove(old[0])
                    self.ended.append(old[0][2])
            time.sleep(0.2)

    @contextlib.contextmanager
    def at_work(self):
        with ThreadPoolExecutor(4) as pool:
            people = [*(pool.submit(self.person, one) for one in (ROOT, ALICE, KID)), pool.submit(self.leaver)]
            try:
                yield
            finally:
                self.over.set()
        for one in people:
            one.result()

    def found(self, cookies: dict[str, str]) -> str | int:
        with self.up.client(cookies=cookies) as client:
            return who(client)


LOST_SECONDS = 1.0
"""What `appendfsync everysec` may lose."""


def _killed_under_sign_ins(up, kill, start):
    """Kill the store while people sign in; how many sessions were kept, lost, and found ended."""
    crowd = Crowd(up)
    with crowd.at_work():
        harness.until(lambda: len(crowd.made) > 20 and len(crowd.ended) > 10, 60)
        killed = time.monotonic()
        kill()
        time.sleep(0.5)
    start()
    with up.client() as client:
        harness.until(lambda: client.get("/readyz").status_code == 200, 10)
    assert [found for one in crowd.ended if (found := crowd.found(one)) != 401] == [], "signed out, and in again"
    kept = lost = 0
    for at, userid, cookies in crowd.made:
        found = crowd.found(cookies)
        assert found in {userid, 401}, (found, userid)
        assert found == userid or at > killed - LOST_SECONDS, f"a session {killed - at:.2f} s old was lost"
        kept, lost = kept + (found == userid), lost + (found == 401)
    assert kept
    print(f"{kept} sessions kept, {lost} lost, {len(crowd.ended)} signed out")
    return lost


def test_killed(server, up):
    """kill -9 of a store that syncs every second, under sign-ins: what is older than a second is there, nobody has
    another's session, and who signed out stays so."""
    _killed_under_sign_ins(up, server.kill, server.start)
    assert_no_trace(up)


def test_killed_and_its_last_second_lost(server, up):
    """The same when the machine went down with it, so that its file lacks the last second and ends in mid-command:
    who signed out in that second stays so, though the store has forgotten it."""
    sizes: list[tuple[float, int]] = []
    over = threading.Event()

    def measure():
        while not over.wait(0.02):
            sizes.append((time.monotonic(), server.journal().stat().st_size))

    def kill_and_cut():
        server.kill()
        over.set()
        end = time.monotonic() - LOST_SECONDS + 0.1
        size = max(size for at, size in sizes if at < end)
        with server.journal().open("r+b") as file:
            file.truncate(size - 5)

    threading.Thread(target=measure, daemon=True).start()
    assert _killed_under_sign_ins(up, kill_and_cut, server.start), "nothing was lost, so nothing was shown"
    assert_no_trace(up)


def test_embedded_killed(sim):
    """kill -9 of the embedded store under sign-ins: it comes back by itself with every session in it."""
    with program("", sim) as up:
        children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()
        lost = _killed_under_sign_ins(up, lambda: os.kill(int(children[0]), signal.SIGKILL), lambda: None)
        assert not lost, "it syncs every write"
        assert_no_trace(up)
