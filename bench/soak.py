"""Whether an hour of 50 browsers leaves the server as it found it: its memory, its files, its tasks, its store.

Each browser has two tabs open, one in ten by long poll; its person goes from page to page, sorts the table of guests,
signs out and in again. A few fall asleep until their session has ended for idleness, and come back to their pages;
now and then one leaves without a word. Ends are remembered for as long as a session may live, which is short here.
The first half is the warming up, and the second half is judged. Until shortly before, everybody has three tabs: what
the system's allocator keeps goes by the most that was ever needed at once, and that shall not come by chance later.
At last everybody goes, and nothing may be left of them.
"""

import argparse
import asyncio
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import websockets

from bench.ledger import random
from bench.surroundings import address, behind_proxy, verdict
from services.simulator import Account, Grant
from services.simulator.catalogue import vmid_of
from services.simulator.privileges import AUDITOR
from tests import harness
from tests.guest_tabs import GuestTab
from tests.harness import PAGE, Running
from tests.socket_client import Page, Poller, Tab, cookies_of, laboratory, read_page, tab

BROWSERS, ACCOUNTS = 50, 5
IDLE_SECONDS, AGE_SECONDS, RENEW_SECONDS = 400, 900, 300
POLLS_EVERY, SLEEPS_EVERY = 10, 20
"""One browser in so many has no websockets; one page in so many is the last before a sleep."""

PATHS = ("/", "/guests", f"/guests/{vmid_of('nextcloud')}", "/nodes/pve1", "/storage", "/tasks", "/sessions")
TABS, TABS_WARMING, WARMING = 2, 3, 0.4
"""How many pages a person has, how many at first, and for which part of the time that is."""

MOST_MEGABYTES, MOST_SHARE = 1.0, 0.02
"""An hour: of memory, and of the mean of everything else. Nothing may show more."""

SURELY_MEGABYTES, SURELY_SHARE = 5.0, 0.5
"""The same, and it has to be sure that it is no more: a measurement that cannot tell says nothing. Of what is in use
while pages come and go none can: that is told when everybody has gone."""

MOST_LEFT = 20
"""MB that a program which has served many may have in use at rest beyond what one has that served nobody."""

MEMORY = ("in use", "resident")
COLUMNS = (*MEMORY, "files", "threads", "tasks", "pages", "keys")
KEPT_SECONDS, AT_LAST_SECONDS = 200, 240
"""How long a page waits for its person who fell asleep, and until what is left when everybody has gone is counted."""

JSON = {"Accept": "application/json"}

PROGRAM = '''
"""Proxgate that tells every five seconds how many bytes it has in use, and how many tasks and pages.

All its memory is the system's allocator's, which can tell what is in use; each half minute what nobody uses goes back.
"""

import asyncio
import ctypes
import gc
import os
import time
from collections import Counter
from pathlib import Path

from nicegui import Client, app

import ui.kept

ui.kept.KEPT_SECONDS = int(os.environ["KEPT_SECONDS"])
LIBC = ctypes.CDLL(None)


class Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc: of all arenas."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


LIBC.mallinfo2.restype = Mallinfo


async def count():
    with Path("counts").open("a", buffering=1) as told:
        tidied = 0.0
        while True:
            if time.monotonic() > tidied + 30:
                tidied = time.monotonic()
                gc.collect()
                LIBC.malloc_trim(0)
                known = LIBC.mallinfo2()
                used = known.uordblks + known.hblkhd
            Path("kinds").write_text(repr(Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())))
            told.write(f"{used} {len(asyncio.all_tasks())} {len(Client.instances)}\\n")
            await asyncio.sleep(5)


app.on_startup(count)

from ui.__main__ import main

main()
'''


class Refused(Exception):
    """What somebody was told who should have been served."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment, `minutes` after the beginning."""

    minutes: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trend:
    """How samples go with time: the slope an hour, and how far off that may be (two standard errors).

    What goes with the number of open pages, which rises and falls by chance, is taken off before.
    """

    mean: float
    slope: float
    doubt: float

    def at_most(self, slope: float, surely: float) -> bool:
        """Whether nothing shows that it rises by more than `slope` an hour, and it rises by less than `surely`."""
        return self.slope - self.doubt <= slope and self.slope + self.doubt <= surely


@dataclass
class Crowd:
    """All browsers, and what they were told."""

    site: Running
    warm: float
    until: float
    told: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until

    async def live(self, number: int) -> None:
        """One browser, from one sign-in to the next."""
        await asyncio.sleep(3 * number)  # a sign-in costs more than a page
        while not self.over:
            try:
                async with self._browser(number) as client:
                    await self._evening(client, number)
            except (AssertionError, Refused, OSError, httpx.HTTPError, websockets.WebSocketException) as exc:
                self.troubles[f"{type(exc).__name__}: {exc}"[:80]] += 1
                await asyncio.sleep(10)

    async def _evening(self, client: httpx.AsyncClient, number: int) -> None:
        await self._sign_in(client, number)
        for _ in range(random.randint(2, 8)):
            sleeps = random.randrange(SLEEPS_EVERY) == 0
            way_back = await self._pages(client, number, IDLE_SECONDS + 60 if sleeps else random.uniform(60, 180))
            if self.over:
                return
            if way_back:
                self.told["woke at the card"] += 1
                await self._sign_in(client, number, way_back)
        if random.random() < 0.9:
            await self._ask("sign-out", client.post("/logout"), 303)

    async def _pages(self, client: httpx.AsyncClient, number: int, seconds: float) -> str:
        """Some pages side by side; where the first was sent when its session ended, else empty."""
        ending = min(time.monotonic() + seconds, self.until)
        polls = number % POLLS_EVERY == 0
        async with AsyncExitStack() as stack:
            tabs: list[Tab] = []
            for path in random.sample(PATHS, TABS if time.monotonic() > self.warm else TABS_WARMING):
                answer = await self._ask("page", client.get(path, headers=PAGE), 200)
                page = read_page(answer.text)
                if polls:
                    stack.push_async_callback(
                        asyncio.wait_for, asyncio.create_task(self._poll(client, page, ending)), 60
                    )
                    continue
                tabs.append(await stack.enter_async_context(tab(self.site, client, page)))
                if path == "/guests":
                    await GuestTab(page, tabs[-1]).ask(sort=random.choice(["vmid", "-cpu", "name"]))
            while time.monotonic() < ending:
                await asyncio.sleep(0.5)
                for one in tabs:
                    if sent := one.opened():
                        return sent[0][1]
                    del one.frames[:-5]  # an hour of them would fill this program
        return ""

    async def _poll(self, client: httpx.AsyncClient, page: Page, ending: float) -> None:
        async with Poller(self.site, cookies_of(client), page.client_id) as poll:
            if not await poll.open():
                raise Refused("a poll")
            while time.monotonic() < ending:
                answer = await poll.get()
                if answer.status_code != 200 or '42["open"' in answer.text:
                    break
                self.told["poll"] += 1
                if "2" in answer.text.split("\x1e"):
                    await poll.post("3")

    async def _sign_in(self, client: httpx.AsyncClient, number: int, way_back: str = "/login") -> None:
        """Through the card, and on to the page that it names."""
        await self._ask("card", client.get(way_back, headers=PAGE), 200)
        wanted = parse_qs(urlsplit(way_back).query).get("next", ["/"])[0]
        form = {"username": f"user{number % ACCOUNTS}", "realm": "pve", "password": "demo", "next": wanted}
        answer = await self._ask("sign-in", client.post("/login", data=form, headers=JSON), 200)
        await self._ask("page", client.get(answer.json()["next"], headers=PAGE), 200)

    async def _ask(self, what: str, asked: Awaitable[httpx.Response], due: int) -> httpx.Response:
        answer = await asked
        self.told[what] += 1
        if answer.status_code != due:
            raise Refused(f"{what} {answer.status_code}")
        return answer

    def _browser(self, number: int) -> httpx.AsyncClient:
        told = {"X-Forwarded-For": address(number)}
        return httpx.AsyncClient(base_url=self.site.url, headers=told, timeout=20, trust_env=False)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (%(default)s)")
    minutes = parser.parse_args().minutes
    people = [Account(userid=f"user{n}@pve", password="demo", grants=(Grant("/", AUDITOR),)) for n in range(ACCOUNTS)]
    with harness.simulator(accounts=people) as sim, harness.valkey() as store:
        clocks = {"IDLE": IDLE_SECONDS, "MAX": AGE_SECONDS}
        settings = {f"SESSION_{name}_SECONDS": str(seconds) for name, seconds in clocks.items()}
        settings["TICKET_RENEW_SECONDS"] = str(RENEW_SECONDS)
        settings |= {"PYTHONMALLOC": "malloc", "KEPT_SECONDS": str(KEPT_SECONDS)}
        with laboratory(PROGRAM, **behind_proxy(sim, store, "soak:"), **settings) as site:
            return asyncio.run(_soak(site, store, minutes))


async def _soak(site: Running, store: str, minutes: float) -> int:
    """The browsers at work, the medians of each minute, and what is left when they have gone."""
    await asyncio.sleep(15)
    before = _look(site, store)
    began = time.monotonic()
    crowd, samples = Crowd(site, began + 60 * minutes * WARMING, began + 60 * minutes), []
    work = [asyncio.create_task(crowd.live(number)) for number in range(BROWSERS)]
    print("minute" + "".join(f"{name:>11}" for name in COLUMNS))
    _print(0, before)
    while not crowd.over:
        due, within = time.monotonic() + min(60, 60 * minutes / 10), []
        while time.monotonic() < due:
            await asyncio.sleep(5)
            within.append(await asyncio.to_thread(_look, site, store))
        medians = {name: statistics.median(one[name] for one in within) for name in COLUMNS}
        samples.append(Sample((time.monotonic() - began) / 60, medians))
        _print(samples[-1].minutes, medians)
    await asyncio.gather(*work)
    print("\neverybody goes")
    await asyncio.sleep(AT_LAST_SECONDS)
    after = _look(site, store)
    _print((time.monotonic() - began) / 60, after)
    print("tasks that are left", (site.log.parent / "kinds").read_text())
    return _judge(crowd, samples, before, after)


def _print(minutes: float, figures: Mapping[str, float]) -> None:
    print(f"{minutes:>6.1f}" + "".join(f"{figures[name]:>11.1f}" for name in COLUMNS), flush=True)


def _look(site: Running, store: str) -> dict[str, float]:
    """What the system, the program and the store say of it just now; memory in MB."""
    process = Path(f"/proc/{site.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    used, tasks, pages = (site.log.parent / "counts").read_text().splitlines()[-2:][0].split()
    with harness.admin(store) as admin:
        keys = admin.dbsize()
    return {
        "in use": int(used) / 2**20, "resident": int(status["VmRSS"].split()[0]) / 1024,
        "files": len(list((process / "fd").iterdir())), "threads": int(status["Threads"]),
        "tasks": int(tasks), "pages": int(pages), "keys": keys,
    }  # fmt: skip


def _judge(crowd: Crowd, samples: Sequence[Sample], before: Mapping[str, float], after: Mapping[str, float]) -> int:
    traces = crowd.site.output().split("Traceback")[1:]
    print(f"\ntold {dict(crowd.told)}\ntroubles {dict(crowd.troubles)}, stack traces {len(traces)}")
    print("".join(traces[:1])[:4000])
    judged = samples[len(samples) // 2 :]
    trends = {name: _trend(judged, name) for name in COLUMNS}
    print("\nof the second half         mean    an hour         give or take")
    for name, one in trends.items():
        print(f"{name:<18}{one.mean:>13.1f}{one.slope:>+11.2f}{one.doubt:>21.2f}")
    flat = {
        f"{name}_stay": one.at_most(MOST_SHARE * one.mean, SURELY_SHARE * one.mean)
        for name, one in trends.items() if name not in {"pages", *MEMORY}
    }  # fmt: skip
    return verdict(
        memory_stays=trends["resident"].at_most(MOST_MEGABYTES, SURELY_MEGABYTES),
        no_more_is_in_use_at_rest=after["in use"] <= before["in use"] + MOST_LEFT,
        **flat,
        nobody_is_left=after["pages"] == 0,
        no_task_is_left=after["tasks"] <= before["tasks"] + 3,
        people_were_served=sum(crowd.troubles.values()) <= sum(crowd.told.values()) / 100,
        nothing_went_wrong_unforeseen=not traces,
    )


def _trend(samples: Sequence[Sample], name: str) -> Trend:
    hours, values = [one.minutes / 60 for one in samples], [one.figures[name] for one in samples]
    mean = statistics.mean(values)
    if name != "pages":
        pages = [one.figures["pages"] for one in samples]
        hours, values = _without(pages, hours), _without(pages, values)
    slope, start = statistics.linear_regression(hours, values)
    off = sum((value - start - slope * at) ** 2 for at, value in zip(hours, values, strict=True))
    error = math.sqrt(off / (len(hours) - 3) / (statistics.pvariance(hours) * len(hours)))
    return Trend(mean, slope, 2 * error)


def _without(cause: Sequence[float], values: Sequence[float]) -> list[float]:
    """The values without what goes in a straight line with the cause."""
    slope, start = statistics.linear_regression(cause, values)
    return [value - start - slope * at for at, value in zip(cause, values, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
