"""Whether a killed replica costs anybody a session: of two behind HAProxy one is killed under load, time after time."""

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import websockets

from bench.surroundings import verdict, watched
from services.simulator import Account
from tests import harness
from tests.harness import PAGE
from tests.replicas import NAMES, Site, site
from tests.socket_client import read_page, tab, until

KILLS, ACCOUNTS, PEOPLE, TABS, VIEWS = 100, 400, 4, 4, 3
PAUSE = 0.1
"""Seconds between two steps of a person; after an answer that was none, too."""

LEAVE_EVERY = 4
"""So many sign-ins to one sign-out."""


@dataclass
class Signed:
    """A sign-in that was answered with success: from here on its session must not be lost."""

    userid: str
    cookies: httpx.Cookies


@dataclass
class Load:
    """What people did, and what they were told."""

    acknowledged: list[Signed] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    sent_away: list[str] = field(default_factory=list)
    reconnects: list[float] = field(default_factory=list)
    in_flight: int = 0
    left: int = 0
    over: bool = False

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A request that may meet a kill."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.replica_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="how many (%(default)s)")
    kills = parser.parse_args().kills
    harness.START_SECONDS = 60  # beside the load, on whatever machine
    accounts = [Account(userid=f"user{n}@pve", password="demo") for n in range(ACCOUNTS)]
    with watched(accounts=accounts) as sim, harness.valkey() as store:
        with site(REDIS_URL=store, **harness.for_proxmox(sim)) as both:
            load, met, lost, noticed = asyncio.run(_measure(both, kills))
    print(f"sign-ins acknowledged {len(load.acknowledged) + load.left}, of these signed out again {load.left}")
    print(f"answers {dict(load.answers)}")
    print(f"requests under way at a kill: median {statistics.median(met):.0f}, at most {max(met)}")
    print(f"tabs reconnected {len(load.reconnects)} times, median {statistics.median(load.reconnects):.2f} s, "
          f"slowest {max(load.reconnects):.2f} s" if load.reconnects else "no tab reconnected")  # fmt: skip
    print(f"acknowledged sessions lost: {len(lost)}; people sent to the login card: {len(load.sent_away)}")
    return verdict(
        every_kill_was_made=len(met) == kills,
        the_kills_met_people=statistics.median(met) >= 1 and len(load.reconnects) >= kills / 4,
        no_acknowledged_session_was_lost=len(load.acknowledged) > kills and not lost,
        nobody_was_sent_to_the_login_card=not load.sent_away,
        the_check_notices_a_lost_session=noticed,
    )


async def _measure(both: Site, kills: int) -> tuple[Load, list[int], Sequence[Signed], bool]:
    """People and tabs for as long as the kills take; then every session that was acknowledged is opened."""
    load, numbers, started = Load(), itertools.count(), time.perf_counter()
    people = [asyncio.create_task(_person(both, load, numbers)) for _ in range(PEOPLE)]
    tabs = [asyncio.create_task(_tab(both, load, number)) for number in range(TABS)]
    await asyncio.sleep(2)
    met: list[int] = []
    while len(met) < kills:
        met.append(await _kill(both, load, NAMES[len(met) % len(NAMES)]))
        if len(met) % 20 == 0:
            print(f"{len(met)} kills after {time.perf_counter() - started:.0f} s", flush=True)
    load.over = True
    await asyncio.gather(*people)
    for one in tabs:
        one.cancel()
    failures = [end for end in await asyncio.gather(*tabs, return_exceptions=True) if isinstance(end, Exception)]
    if failures:
        raise failures[0]
    print(f"{kills} kills in {time.perf_counter() - started:.0f} s")
    lost = await _lost(both, load.acknowledged)
    victim = load.acknowledged[0]
    async with _browser(both, 0, victim.cookies) as client:
        await client.post("/logout")
    return load, met, lost, bool(await _lost(both, [victim]))


async def _kill(both: Site, load: Load, name: str) -> int:
    """kill -9, and start it again; how many requests were under way."""
    met = load.in_flight
    await asyncio.to_thread(both.kill, name)
    await asyncio.to_thread(both.start, name)
    await asyncio.to_thread(harness.until, lambda: both.serves(name), 30, 0.1)
    return met


async def _person(both: Site, load: Load, numbers: Iterator[int]) -> None:
    """Sign in as one account after the other, each from a browser and an address of its own, and look around."""
    for number in numbers:
        if load.over:
            return
        userid = f"user{number % ACCOUNTS}@pve"
        async with _browser(both, number) as client:
            if not await _sign_in(client, load, userid):
                await asyncio.sleep(PAUSE)
                continue
            signed = Signed(userid, client.cookies)
            for _ in range(VIEWS):
                await asyncio.sleep(PAUSE)
                if not await _opens(client, load, userid):
                    load.sent_away.append(userid)
            if number % LEAVE_EVERY:
                load.acknowledged.append(signed)
            else:
                await _ask(load, "sign-out", client.post("/logout"))  # which may or may not have arrived
                load.left += 1


async def _sign_in(client: httpx.AsyncClient, load: Load, userid: str) -> bool:
    form = {"username": userid.partition("@")[0], "realm": "pve", "password": "demo"}
    answer = await _ask(load, "sign-in", client.post("/login", data=form, headers={"Accept": "application/json"}))
    return answer is not None and answer.status_code == 200


async def _opens(client: httpx.AsyncClient, load: Load, userid: str) -> bool:
    """Whether the session opens a page that names its owner, asked until there is an answer."""
    for _ in range(100):
        answer = await _ask(load, "page", client.get("/nowhere", headers=PAGE))
        if answer is not None and answer.status_code < 500:
            return answer.status_code == 404 and userid in answer.text
        await asyncio.sleep(PAUSE)
    return False


async def _ask(load: Load, what: str, request) -> httpx.Response | None:
    with load.under_way():
        try:
            answer = await request
        except httpx.TransportError as exc:
            load.answers[f"{what} {type(exc).__name__}"] += 1
            return None
    load.answers[f"{what} {answer.status_code}"] += 1
    return answer


async def _tab(both: Site, load: Load, number: int) -> None:
    """A tab that is left open: whenever its socket closes it loads its page anew, as its script does."""
    userid = f"user{number}@pve"
    async with _browser(both, 60_000 + number) as client:
        while not await _sign_in(client, load, userid):  # noqa: ASYNC110 - it is what is waited for that asks
            await asyncio.sleep(PAUSE)
        closed = None
        while True:
            try:
                closed = await _open(both, load, client, closed)
            except (AssertionError, OSError, httpx.TransportError, websockets.WebSocketException) as exc:
                load.answers[f"tab {type(exc).__name__}"] += 1
                await asyncio.sleep(PAUSE)


async def _open(both: Site, load: Load, client: httpx.AsyncClient, closed: float | None) -> float | None:
    """Load the page, and hold its socket until it closes; when that was."""
    answer = await client.get("/", headers=PAGE)
    load.answers[f"tab {answer.status_code}"] += 1
    if answer.status_code == 303:
        load.sent_away.append("a tab")
    if answer.status_code != 200:
        await asyncio.sleep(PAUSE)
        return closed
    async with tab(both, client, read_page(answer.text)) as up:
        if closed is not None:
            load.reconnects.append(time.monotonic() - closed)
        await until(lambda: up.closed, 3600)
        if up.opened():
            load.sent_away.append("a tab, by its socket")
        return up.closed


async def _lost(both: Site, signed: Sequence[Signed]) -> list[Signed]:
    """Those whose sessions open no page of theirs any more."""
    started, room, load = time.perf_counter(), asyncio.Semaphore(PEOPLE), Load()

    async def opens(number: int, one: Signed) -> bool:
        async with room, _browser(both, number, one.cookies) as client:
            return await _opens(client, load, one.userid)

    opened = await asyncio.gather(*(opens(number, one) for number, one in enumerate(signed)))
    print(f"{sum(opened)} of {len(signed)} sessions opened a page, asked for in {time.perf_counter() - started:.0f} s")
    return [one for one, good in zip(signed, opened, strict=True) if not good]


def _browser(both: Site, number: int, cookies: httpx.Cookies | None = None) -> httpx.AsyncClient:
    """One of many, each at an address of its own: all of 127.0.0.0/8 is this machine."""
    source = f"127.{1 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"
    transport = httpx.AsyncHTTPTransport(verify=both.tls, local_address=source)
    return httpx.AsyncClient(base_url=both.url, transport=transport, cookies=cookies, timeout=20)


if __name__ == "__main__":
    sys.exit(main())
