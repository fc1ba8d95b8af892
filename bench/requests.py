"""Requests per second, side by side: a guarded page, the guard alone, a stranger's hit; and what strangers leave.

`--rounds` and `--seconds` for each side's share. Each side has the same cookies, headers and connections, and every
answer that is an error ends the program. 20 accounts with 10 sessions each look at the page, since none of them may
have more pages at once than people have.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from bench.stock import plain, stock
from bench.surroundings import changed, cpu_seconds, serving
from bench.table import Row, give, in_turns
from bench.within import BARE, BARE_KEY, GUARDED, STATE
from bench.wrk import load, needed
from services.simulator import Account, Grant
from services.simulator.privileges import AUDITOR
from tests import harness
from tests.harness import PAGE, Running
from tests.socket_client import cookies_of

ACCOUNTS, SESSIONS_EACH = 20, 10
SEES_ALL = (Grant("/", AUDITOR),)
PEOPLE = tuple(Account(userid=f"user{number}@pve", password="demo", grants=SEES_ALL) for number in range(ACCOUNTS))
FEW = 10
"""By so many elements a page may have changed while it was measured: guests come to the top and leave it."""

STRANGERS = 20_000
MOST_MEGABYTES = 1.0
"""What an allocator keeps for itself may come to that; one page a stranger would be a gigabyte."""


@dataclass(frozen=True, slots=True)
class Side:
    """What is asked for, and with which Cookie headers in turn."""

    site: Running
    path: str
    cookies: Sequence[str]

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.site.url}{self.path}"


@dataclass(frozen=True, slots=True)
class Figure:
    """Requests per second, and the microseconds of processor that one takes of the server's own process."""

    rate: float
    cost: float


def measure(rounds: int, seconds: float) -> Sequence[Row]:
    """Every row."""
    needed()
    with harness.simulator(accounts=PEOPLE) as sim, harness.valkey() as store:
        settings = {"REDIS_URL": store, "SESSION_SECRET": harness.SECRET, **harness.for_proxmox(sim)}
        with harness.proxgate(**settings) as site:
            cookies = [_sign_in(site, account) for account in PEOPLE for _ in range(SESSIONS_EACH)]
            rows = [_pages(site, cookies, rounds, seconds), _strangers(site, rounds, seconds)]
        with changed("bench.within", BARE_STORE=harness.admin_url(store), **settings) as site:
            return [*rows[:1], *_guards(site, store, cookies, rounds, seconds), *rows[1:], _left_behind(site)]


def _sign_in(site: Running, account: Account) -> str:
    with site.client() as client:
        name, _, realm = account.userid.partition("@")
        answer = harness.sign_in(client, name, realm)
        _expect(answer.status_code == 200, answer.text)
        return cookies_of(client)


def _pages(site: Running, cookies: Sequence[str], rounds: int, seconds: float) -> Row:
    load(site.url, seconds, cookies)
    with stock({"/": _settled(site, cookies[0])}) as theirs:
        figures = _side_by_side(rounds, seconds, Side(site, "/", cookies), Side(theirs, "/", cookies))
        ours, stocks = (len(plain(_ask(one, "/", cookies[0]).text)) for one in (site, theirs))
        _expect(abs(ours - stocks) <= FEW, f"{ours} elements on our page, {stocks} on the stock one")
    against = "the stock, unguarded NiceGUI page of the same elements under `ui.run`"
    return _row("guarded page, valid session, requests/s", against, figures, 1.1)


def _settled(site: Running, cookie: str) -> str:
    """The page once everything from Proxmox is on it."""
    count = 0
    for _ in range(20):
        html = _ask(site, "/", cookie).text
        before, count = count, len(plain(html))
        if before == count:
            return html
        time.sleep(6)  # more than from one picture to the next
    raise RuntimeError("the page does not come to rest")


def _guards(site: Running, store: str, cookies: Sequence[str], rounds: int, seconds: float) -> list[Row]:
    with harness.admin(store) as client:
        client.set(BARE_KEY, 400 * "b")
    address = {"REDIS_URL": harness.admin_url(store)}
    with _peer("sessions", **address) as theirs, _peer("least", **address) as least:
        peers = [
            (one, [f"session={_ask(one, '/begin').cookies['session']}" for _ in cookies]) for one in (theirs, least)
        ]
        sides = [
            Side(site, GUARDED, cookies),
            Side(site, BARE, cookies),
            *(Side(one, "/", some) for one, some in peers),
        ]
        _ask(site, GUARDED, status=303)
        for one, _ in peers:
            _ask(one, "/", status=401)
        guard, bare, peer, floor = _side_by_side(rounds, seconds, *sides)
        for side in sides:
            _expect(_ask(side.site, side.path, side.cookies[-1]).text == "ok", side.url)
    what = "guard alone (cookie, session read and touch, decryption), requests/s"
    least = f"the least that a signature, a question and a decryption cost: {floor.rate:,.0f}/s, {floor.cost:.0f} us"
    note = f"{least}, {floor.rate / peer.rate:.2f} and {peer.cost / floor.cost:.2f} of theirs"
    return [
        _row(what, "the same server doing one bare `GETEX` to the store", [guard, bare], 0.75),
        _row("the same", "starsessions with its Redis store on bare Starlette", [guard, peer], 2.4, note),
    ]


def _strangers(site: Running, rounds: int, seconds: float) -> Row:
    with _peer("bare") as theirs:
        _expect(_ask(site, "/", status=303).headers["location"].startswith("/login"), "not to the card")
        _expect(_ask(theirs, "/").text == "ok", "not ok")
        figures = _side_by_side(rounds, seconds, Side(site, "/", [""]), Side(theirs, "/", [""]))
    return _row("anonymous hit on a guarded page, requests/s", 'bare Starlette answering "ok"', figures, 1.0)


def _left_behind(site: Running) -> Row:
    """The second time that so many come: whatever is made once is there by then."""
    _come(site)
    before = _ask(site, STATE).json()
    _come(site)
    after = _ask(site, STATE).json()
    _expect(after["clients"] <= before["clients"], "a page was built for a stranger")
    return Row(
        what=f"left in memory after {STRANGERS:,} anonymous hits", against="0", at_most=MOST_MEGABYTES, unit="MB",
        ours=after["MB"] - before["MB"], note=f"{after['objects'] - before['objects']:+.0f} objects of Python's",
    )  # fmt: skip


def _come(site: Running) -> None:
    made = 0
    while made < STRANGERS:
        made += load(site.url, 2).made


def _side_by_side(rounds: int, seconds: float, *sides: Side) -> list[Figure]:
    """The median of each, taken in turns."""
    costs: list[list[float]] = [[] for _ in sides]

    def asking(side: Side, costs: list[float]) -> Callable[[], float]:
        def ask() -> float:
            before = cpu_seconds(side.site.process.pid)
            made = load(side.url, seconds, side.cookies)
            costs.append(1e6 * (cpu_seconds(side.site.process.pid) - before) / max(1, made.made))
            return made.made / made.seconds

        return ask

    asked = [asking(*each) for each in zip(sides, costs, strict=True)]
    for ask in asked:
        ask()  # the first time everything is slower
    rates = in_turns(rounds, *asked)
    figures = [Figure(rate, statistics.median(of[1:])) for rate, of in zip(rates, costs, strict=True)]
    for side, figure in zip(sides, figures, strict=True):
        print(f"{side.url}: {figure.rate:,.1f}/s, {figure.cost:,.0f} us of processor", flush=True)
    return figures


def _row(what: str, against: str, figures: Sequence[Figure], goal: float, note: str = "") -> Row:
    ours, theirs = figures
    by_processor = f"by processor time {ours.cost:,.0f} against {theirs.cost:,.0f} us, {theirs.cost / ours.cost:.2f}"
    told = f"{by_processor}; {note}" if note else by_processor
    return Row(what=what, against=against, ours=ours.rate, theirs=theirs.rate, unit="/s", at_least=goal, note=told)


@contextmanager
def _peer(name: str, **settings: str) -> Generator[Running]:
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        path = "/" if name == "bare" else "/begin"
        with serving("bench.peers", name, directory=directory, path=path, **settings) as running:
            yield running


def _ask(site: Running, path: str, cookies: str = "", status: int = 200) -> httpx.Response:
    headers = {**PAGE, "Cookie": cookies} if cookies else PAGE
    answer = httpx.get(f"{site.url}{path}", headers=headers, trust_env=False, timeout=30)
    _expect(answer.status_code == status, f"{path} {answer.status_code} {answer.text[:200]}")
    return answer


def _expect(held: bool, words: str) -> None:
    if not held:
        raise RuntimeError(words)


if __name__ == "__main__":
    sys.exit(give(measure, __doc__, rounds=5, seconds=4.0))
