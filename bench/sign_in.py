"""Our time on top of Proxmox's own answer to a sign-in, all connections warm.

The same accounts in turns: once Proxmox is asked directly, once we are, over a connection that was there before. The
browser is one that has signed in before and signed out again, which is the way with most to do.
"""

import http.client
import itertools
import json
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from bench.populous_proxmox import PASSWORD, populous_proxmox, username
from bench.surroundings import TICKET, address, cpu_seconds
from bench.table import NOTHING, Row, give, in_turns
from tests import harness

ACCOUNTS, ROUNDS, MOST_MS = 50, 400, 10
REST = 0.01
"""Seconds before each question, for whatever the one before has left to be done."""

FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Browser:
    """One person's browser, at an address of its own: its cookies, and the way to us that all of them share."""

    line: http.client.HTTPConnection
    number: int
    cookies: dict[str, str] = field(default_factory=dict[str, str])

    def sign_in(self) -> float:
        """How many milliseconds it took."""
        took, answer = timed(lambda: self._post("/login", _form(self.number, realm="pve")))
        if json.loads(answer) != {"next": "/"} or "proxgate" not in self.cookies:
            raise RuntimeError(f"no sign-in: {answer!r}")
        return took

    def sign_out(self) -> None:
        """Its session ends, and the browser stays known."""
        self._post("/logout", "")

    def _post(self, path: str, form: str) -> bytes:
        told = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        self.line.request("POST", path, form, {**FORM, **told, "X-Forwarded-For": address(self.number)})
        answer = self.line.getresponse()
        body = answer.read()
        if answer.status not in {200, 303}:
            raise RuntimeError(f"{path}: {answer.status} {body!r}")
        for header in answer.headers.get_all("set-cookie") or ():
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return body


def measure() -> list[Row]:
    """One row."""
    with populous_proxmox(ACCOUNTS) as proxmox, harness.valkey() as store, harness.admin(store) as admin:
        settings = {"REDIS_URL": store, "SESSION_SECRET": harness.SECRET, "TRUSTED_PROXIES": "127.0.0.1"}
        with harness.proxgate(**settings, **proxmox.settings) as site:  # pyright: ignore[reportArgumentType]
            line = http.client.HTTPConnection("localhost", site.port, timeout=15)
            browsers = itertools.cycle([Browser(line, number) for number in range(ACCOUNTS)])
            numbers = itertools.cycle(range(ACCOUNTS))
            asked = http.client.HTTPSConnection(proxmox.host, proxmox.port, timeout=15, context=_trusting())

            def ours() -> float:
                time.sleep(REST)
                browser = next(browsers)
                took = browser.sign_in()
                browser.sign_out()
                return took

            def theirs() -> float:
                time.sleep(REST)
                return _ask(asked, next(numbers))

            in_turns(ACCOUNTS, ours, theirs)
            processes = site.process.pid, int(admin.info("server")["process_id"])
            before = [cpu_seconds(one) for one in processes]
            through, directly = in_turns(ROUNDS, ours, theirs)
            spent = [1000 * (cpu_seconds(one) - early) / ROUNDS for one, early in zip(processes, before, strict=True)]
    return [Row(
        what="sign-in: our time on top of Proxmox's own answer, connection warm", against=NOTHING,
        ours=through - directly, unit="ms", at_most=MOST_MS,
        note=f"through us {through:.2f} ms, Proxmox alone {directly:.2f} ms, medians of {ROUNDS}; a sign-in with its "
        f"sign-out takes {spent[0]:.2f} ms of our processor and {spent[1]:.2f} of the store's",
    )]  # fmt: skip


def timed(work: Callable[[], bytes]) -> tuple[float, bytes]:
    """Milliseconds, and what came of it."""
    began = time.perf_counter()
    answer = work()
    return 1000 * (time.perf_counter() - began), answer


def _ask(line: http.client.HTTPSConnection, number: int) -> float:
    """The milliseconds of a sign-in at Proxmox itself, with what we would send."""

    def ask() -> bytes:
        line.request("POST", f"/api2/json{TICKET}", _form(number), FORM)
        return line.getresponse().read()

    took, answer = timed(ask)
    if not json.loads(answer)["data"]["ticket"].startswith("PVE:"):
        raise RuntimeError(f"no ticket: {answer!r}")
    return took


def _form(number: int, realm: str = "") -> str:
    if realm:
        return urlencode({"username": username(number), "realm": realm, "password": PASSWORD})
    return urlencode({"username": f"{username(number)}@pve", "password": PASSWORD})


def _trusting() -> ssl.SSLContext:
    """Whom we ask we have started ourselves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


if __name__ == "__main__":
    sys.exit(give(measure, __doc__))
