"""The running program with a page that says who one is, a clock that can be set, and a pulse that tells its lags."""

import contextlib
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from services.simulator import Simulator
from tests import harness
from tests.socket_client import LAB, laboratory

MORE = '''
import asyncio
import signal
from pathlib import Path

from fastapi import Request
from nicegui import app

from ui import my_sessions
from ui.visit import visit_of


@app.get("/whoami")
async def whoami(request: Request):
    """Protected like every page, and built so cheaply that a thousand of them are nothing."""
    return {"principal": visit_of(request.scope).session.principal}


create = my_sessions.create


def create_more(sessions):
    create(sessions)

    @app.get("/version")
    async def version(request: Request):
        """Asks Proxmox with the session's ticket, as every page does sooner or later."""
        async with sessions.credentials(visit_of(request.scope).session) as proxmox:
            return str(await proxmox.version())


my_sessions.create = create_more

_now, _jump = time.time, [0.0]
time.time = lambda: _now() + _jump[0]
signal.signal(signal.SIGUSR1, lambda *_: _jump.__setitem__(0, float(Path("jump").read_text())))


async def pulse():
    with Path("pulse").open("a", buffering=1) as told:
        while True:
            slept = time.monotonic()
            await asyncio.sleep(0.01)
            told.write(f"{time.monotonic()} {time.monotonic() - slept - 0.01}\\n")


app.on_startup(pulse)

from ui.__main__ import main
'''


@contextlib.contextmanager
def program(url: str, sim: Simulator, *, before: str = "", **settings: str) -> Iterator[harness.Running]:
    """The program on the store at `url` ("" for the embedded one); `before` runs before all of it."""
    address = {"REDIS_URL": url} if url else {}
    script = before + LAB.replace("\nfrom ui.__main__ import main\n", MORE)
    with laboratory(script, **address, **harness.for_proxmox(sim), **settings) as up:
        yield up


def jump(up: harness.Running, seconds: float) -> None:
    """Set the program's clock so many seconds off from the real one."""
    (up.log.parent / "jump").write_text(str(seconds))
    up.process.send_signal(signal.SIGUSR1)


def lags(up: harness.Running, begun: float, ended: float) -> list[float]:
    """How late the event loop woke between two moments of `time.monotonic()`, in seconds, sorted."""
    told = [line.split() for line in (up.log.parent / "pulse").read_text().splitlines()[:-1]]
    return sorted(float(late) for at, late in told if begun <= float(at) <= ended)


def percentile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


@dataclass(frozen=True)
class Account:
    """Someone who can sign in."""

    username: str
    realm: str

    @property
    def userid(self) -> str:
        return f"{self.username}@{self.realm}"


ROOT, ALICE, KID, MARIA = (
    Account("root", "pam"),
    Account("alice", "pve"),
    Account("kid", "pve"),
    Account("maria", "home"),
)


@contextlib.contextmanager
def browser(up: harness.Running, account: Account = ROOT) -> Iterator[httpx.Client]:
    """A browser in which someone has signed in."""
    with up.client() as client:
        answer = harness.sign_in(client, account.username, account.realm)
        assert answer.status_code == 200, answer.text
        yield client


def who(client: httpx.Client) -> str | int:
    """Whose session a browser has, as a protected address tells; else the status that it got."""
    answer = client.get("/whoami")
    assert answer.status_code in {200, 401, 503}, (answer.status_code, answer.text)
    return answer.json()["principal"] if answer.status_code == 200 else answer.status_code


def assert_no_trace(up: harness.Running) -> None:
    """Nothing that went wrong was a surprise to the program, and it lives."""
    assert up.process.poll() is None
    trace = re.search(r"Traceback.*", up.output(), re.S)
    assert not trace, trace[0][:8000]
