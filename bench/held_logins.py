"""What other pages notice while Proxmox holds every sign-in for three seconds and 200 come at once, again and again.

Proxmox, the browsers and the program share one machine here: how late a mere timer was tells how busy it was.
"""

import asyncio
import http.client
import itertools
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

from bench.surroundings import TICKET, Watched, address, behind_proxy, verdict, watched
from services.simulator import Account, Fault
from services.simulator.household import ACCOUNTS
from tests import harness
from tests.harness import Running, sign_in

LOGINS, WAVES, EVERY = 200, 4, 3.5
HELD = 3.0
PER_SECOND = 20
SLOTS, SLOWEST_PAGE, SLOWEST_LOGIN = 8, 0.200, 10.0
VIEWERS = 12  # sessions: of pages whose socket never comes, one may have forty within half a minute
TIMER = "timer"
FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: for what, the status of the answer, and the seconds since it was due."""

    what: str
    status: int
    seconds: float


def main() -> int:
    """Measure, print, judge."""
    accounts = (*ACCOUNTS, *(Account(userid=f"user{n}@pve", password="demo") for n in range(LOGINS)))
    with watched(accounts=accounts) as sim, harness.valkey() as store:
        with harness.proxgate(**behind_proxy(sim, store, "held:")) as up:
            quiet, busy, logins = _measure(sim, up)
    quiet, busy = _without_timer("alone", quiet), _without_timer("beside", busy)
    calm, held = _tell("pages alone", quiet), _tell(f"pages beside {WAVES} times {LOGINS} logins", busy)
    slowest = max(one.seconds for one in logins)
    print(
        f"pages: {dict(Counter(one.status for one in quiet))} alone, {dict(Counter(one.status for one in busy))} beside"
    )
    print(f"99th percentile, with to without: {held / calm:.1f}")
    print(f"logins: {dict(Counter(one.status for one in logins))}, slowest answer {slowest:.2f} s")
    print(f"at Proxmox at once, at most: {sim.most}")
    return verdict(
        other_pages_stay_quick=held < SLOWEST_PAGE,
        every_page_is_answered={one.status for one in (*quiet, *busy)} == {200},
        few_wait_at_Proxmox=0 < sim.most <= SLOTS,
        every_login_is_answered=slowest < SLOWEST_LOGIN and {one.status for one in logins} <= {200, 401, 429, 503},
        Proxmox_was_slow=slowest > HELD,
    )


def _measure(sim: Watched, up: Running) -> tuple[list[Asked], list[Asked], list[Asked]]:
    """The pages without the logins and with them, asked for from a process of their own; and the logins."""
    cookies = [_viewer(up) for _ in range(VIEWERS)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
        aside.submit(ask_steadily, up.port, cookies, 2.0).result()  # whatever is slow the first time
        quiet = aside.submit(ask_steadily, up.port, cookies, WAVES * EVERY).result()
        time.sleep(30)  # until the pages that nobody opened a socket for are forgotten
        sim.fault = Fault(path=TICKET, delay=HELD)
        pages = aside.submit(ask_steadily, up.port, cookies, WAVES * EVERY)
        logins = asyncio.run(_sign_in_in_waves(up.port))
        return quiet, pages.result(), logins


def _viewer(up: Running) -> str:
    """The cookies of a browser that is signed in."""
    with up.client() as client:
        sign_in(client)
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def ask_steadily(port: int, cookies: Sequence[str], seconds: float, rate: float = PER_SECOND) -> list[Asked]:
    """Ask for pages at a steady rate a second, however slow the answers are: what waits in a queue counts too."""
    viewers, start = itertools.cycle(cookies), time.perf_counter()
    waiting, timer = [], []
    with ThreadPoolExecutor(64) as pool:
        for number in range(int(seconds * rate)):
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            timer.append(Asked(TIMER, 0, time.perf_counter() - due))
            headers = {"Accept": "text/html", "X-Forwarded-For": address(1000 + number % 50)}
            path = ("/", "/healthz", "/login")[number % 3]
            if path == "/":
                headers["Cookie"] = next(viewers)
            waiting.append(pool.submit(_ask, port, path, headers, due))
    return [*timer, *(one.result() for one in waiting)]


def _ask(port: int, path: str, headers: dict[str, str], due: float) -> Asked:
    connection = http.client.HTTPConnection("localhost", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return Asked(path, answer.status, time.perf_counter() - due)
    finally:
        connection.close()


async def _sign_in_in_waves(port: int) -> list[Asked]:
    logins: list[asyncio.Task[Asked]] = []
    for wave in range(WAVES):
        logins += [asyncio.create_task(_log_in(port, wave, number)) for number in range(LOGINS)]
        await asyncio.sleep(EVERY)
    return await asyncio.gather(*logins)


async def _log_in(port: int, wave: int, number: int) -> Asked:
    """Every other one with a wrong password, each at an account and from an address of its own.

    Written by hand: an HTTP client would take more of the machine than the program that is measured.
    """
    form = f"username=user{number}&realm=pve&password={'demo' if number % 2 else 'wrong'}"
    told = {"Host": f"localhost:{port}", "Connection": "close", "Content-Length": len(form), **FORM}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(
        f"POST /login HTTP/1.1\r\nX-Forwarded-For: {address(wave * LOGINS + number)}\r\n{head}\r\n{form}".encode()
    )
    answer = await reader.read()
    writer.close()
    return Asked("login", int(answer.split(b" ", 2)[1]), time.perf_counter() - started)


def _without_timer(name: str, asked: Sequence[Asked]) -> list[Asked]:
    """The pages alone; says how late the timer was that asked for them."""
    _line(f"the machine's noise, {name}: a timer's delay", [one.seconds for one in asked if one.what == TIMER])
    return [one for one in asked if one.what != TIMER]


def _tell(name: str, asked: Sequence[Asked]) -> float:
    """Print what was measured; the 99th percentile of it all, in seconds."""
    for what in ("/", "/healthz", "/login"):
        _line(f"{name}, {what}", [one.seconds for one in asked if one.what == what])
    halves = [_high([one.seconds for one in half]) for half in (asked[: len(asked) // 2], asked[len(asked) // 2 :])]
    high = _line(name, [one.seconds for one in asked])
    print(f"  of its two halves {halves[0] * 1000:.0f} and {halves[1] * 1000:.0f} ms")
    return high


def _line(name: str, seconds: Sequence[float]) -> float:
    middle, high = statistics.median(seconds), _high(seconds)
    print(f"{name}: {len(seconds)}, median {middle * 1000:.0f} ms, 99th percentile {high * 1000:.0f} ms")
    return high


def _high(seconds: Sequence[float]) -> float:
    """The 99th percentile; of less than a hundred the slowest."""
    return sorted(seconds)[max(0, -(-len(seconds) * 99 // 100) - 1)]


if __name__ == "__main__":
    sys.exit(main())
