"""The part of `bench.mixed_calls` that goes over HTTP, to the running program; some requests are cut half way."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from bench.ledger import Ledger, random
from bench.surroundings import address, behind_proxy
from services.simulator import Simulator
from tests import harness

AT_ONCE, EACH = 12, 4
CUT, LONGEST_SECONDS = 0.2, 0.03
NAMES = re.compile(r"user\d+@pve")
FORM = "Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n"


@dataclass
class Browser:
    """One browser of a user's: its cookie while it is signed in. One request of it is under way at a time."""

    number: int
    user: str
    cookie: str = ""
    busy: bool = False


@dataclass
class Line:
    """A kept connection, as a proxy has them: everybody's requests go over it, one after the other."""

    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, request: str) -> tuple[int, str, str]:
        """Status, head and body of the answer."""
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("localhost", self.port)
        self.writer.write(request.encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)^content-length: (\d+)", head, re.M)
        body = await self.reader.readexactly(int(length[1]) if length else 0)
        return int(head.split(" ", 2)[1]), head, body.decode()

    def cut(self) -> None:
        """Hang up, whatever is still to come."""
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None


@dataclass
class Visitors:
    """All browsers at one program, and the requests that they make. Every request judges its own answer."""

    port: int
    browsers: list[Browser]
    ledger: Ledger = field(default_factory=Ledger)

    async def work(self, numbers: Iterator[int]) -> None:
        """Over one line: take whichever browser is free, and make its next request."""
        line = Line(self.port)
        for number in numbers:
            browser = random.choice([one for one in self.browsers if not one.busy])
            browser.busy = True
            try:
                await self._one(line, browser, number)
            finally:
                browser.busy = False
        line.cut()

    async def _one(self, line: Line, browser: Browser, number: int) -> None:
        kind = self._page if browser.cookie and random.random() < 0.93 else self._out if browser.cookie else self._in
        self.ledger.kinds[kind.__name__.strip("_")] += 1
        call = asyncio.ensure_future(kind(line, browser, number))
        cut = random.random() < CUT
        try:
            await asyncio.wait({call}, timeout=random.uniform(0, LONGEST_SECONDS) if cut else 30)
            if not call.done():
                call.cancel()
                line.cut()
            await call
        except asyncio.CancelledError:
            self.ledger.cut += 1
        except (OSError, EOFError) as exc:
            line.cut()
            self.ledger.troubles[f"{kind.__name__}: {type(exc).__name__}"] += 1

    async def _page(self, line: Line, browser: Browser, _: int) -> None:
        """A page that names who is signed in: the only user it may name."""
        status, _, body = await line.ask(_get(browser, self.port))
        named = set(NAMES.findall(body))
        if status in {404, 303} and (status, named) != (404, {browser.user}):
            self.ledger.wrong.append(f"{browser.user}: a page {status} that names {named or 'nobody'}")
        elif status != 404:
            self.ledger.troubles[f"page: {status}"] += 1

    async def _in(self, line: Line, browser: Browser, number: int) -> None:
        """The cookie of the answer is this user's from here on; each page says whether it is."""
        form = f"username={browser.user.partition('@')[0]}&realm=pve&password=demo"
        status, head, _ = await line.ask(_post("/login", form, number, self.port))
        if status == 200:
            browser.cookie = _cookie(head)
        elif status == 429:  # Proxmox is asked by so many at once and no more
            self.ledger.later += 1
        else:
            self.ledger.troubles[f"sign-in: {status}"] += 1

    async def _out(self, line: Line, browser: Browser, number: int) -> None:
        """After it the cookie opens nothing; when it was cut, nobody knows, and the browser begins anew."""
        cookie, browser.cookie = browser.cookie, ""
        status, _, _ = await line.ask(_post("/logout", "", number, self.port, cookie))
        if status != 303:
            self.ledger.troubles[f"sign-out: {status}"] += 1
            return
        status, _, body = await line.ask(_get(Browser(0, browser.user, cookie), self.port))
        if status == 404 or NAMES.search(body):
            self.ledger.wrong.append(f"{browser.user}: signed out, and a page {status}")
        elif status != 303:
            self.ledger.troubles[f"page of who signed out: {status}"] += 1


def _get(browser: Browser, port: int) -> str:
    told = f"Host: localhost:{port}\r\nAccept: text/html\r\nCookie: {browser.cookie}\r\n"
    return f"GET /nowhere HTTP/1.1\r\n{told}X-Forwarded-For: {address(browser.number)}\r\n\r\n"


def _post(path: str, form: str, number: int, port: int, cookie: str = "") -> str:
    told = f"Host: localhost:{port}\r\n{FORM}Content-Length: {len(form)}\r\nCookie: {cookie}\r\n"
    return f"POST {path} HTTP/1.1\r\n{told}X-Forwarded-For: {address(number)}\r\n\r\n{form}"


def _cookie(head: str) -> str:
    found = re.search(r"(?i)^set-cookie: (proxgate=[^;]+)", head, re.M)
    return found[1] if found else ""


async def ask_all(sim: Simulator, store: str, requests: int, users: int) -> Ledger:
    """Make so many requests, and tell what became of them."""
    with harness.proxgate(**behind_proxy(sim, store, "requests:")) as up:
        browsers = [Browser(n, f"user{n % users}@pve") for n in range(users * EACH)]
        visitors, started = Visitors(up.port, browsers), time.perf_counter()
        numbers = iter(range(requests))
        await asyncio.gather(*(visitors.work(numbers) for _ in range(AT_ONCE)))
        visitors.ledger.tell("requests", time.perf_counter() - started)
        if not await _notices(visitors):
            visitors.ledger.troubles["misled: not noticed"] += requests
        return visitors.ledger


async def _notices(visitors: Visitors) -> bool:
    """Whether a page is judged wrong that is held against another user."""
    one, other = [browser for browser in visitors.browsers if browser.cookie][:2]
    judge, line = Visitors(visitors.port, []), Line(visitors.port)
    with suppress(OSError, EOFError):
        await judge._page(line, Browser(0, other.user, one.cookie), 0)
    line.cut()
    return bool(judge.ledger.wrong)
