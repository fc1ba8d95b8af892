"""What the measurements share: a Proxmox that counts, programs with and without their limit, a verdict."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from services.simulator import Simulator
from tests import harness
from tests.harness import Running

ROOT = Path(__file__).parent.parent
TICKET = "/access/ticket"


class Watched(Simulator):
    """Refuses without the three seconds' wait, and notes how many sign-ins it had on its hands at once, at most."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._clock.sleep = _at_once
        self._under_way = 0
        self.most = 0

    async def _respond(self, door, request):
        signing_in = request.path == TICKET
        self._under_way += signing_in
        self.most = max(self.most, self._under_way)
        try:
            return await super()._respond(door, request)
        finally:
            self._under_way -= signing_in


async def _at_once(_seconds: float) -> None: ...


def watched(**options) -> harness.InThread:
    """A running `Watched`, as a context manager."""
    return harness.InThread(Watched(**options))


def behind_proxy(sim: Simulator, store: str, prefix: str) -> dict[str, str]:
    """The settings of a replica that believes X-Forwarded-For from this machine."""
    settings = {"REDIS_URL": store, "SESSION_SECRET": harness.SECRET, "STORE_PREFIX": prefix}
    return {**settings, "TRUSTED_PROXIES": "127.0.0.1", **harness.for_proxmox(sim)}


def unlimited(**settings: str) -> AbstractContextManager[Running]:
    """The program as `harness.proxgate` starts it, but without its limit on sign-ins."""
    return changed("bench.unlimited", **settings)


@contextlib.contextmanager
def changed(module: str, **settings: str) -> Iterator[Running]:
    """The program as `harness.proxgate` starts it, but changed by a module of ours for a measurement."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        own = {"PROXGATE_DATA_DIR": f"{directory}/data", **settings}
        with serving(module, "--port", directory=directory, path="/healthz", **own) as running:
            yield running


@contextlib.contextmanager
def serving(module: str, *arguments: str, directory: str, path: str = "/", **settings: str) -> Iterator[Running]:
    """A module that serves, as its own process, from when it answers at this path; its port is the last argument."""
    port, log = harness.free_port(), Path(directory) / "log"
    command = [sys.executable, "-m", module, *arguments, str(port)]
    told = harness.environment(PYTHONPATH=str(ROOT), **settings)
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=directory, env=told, stdout=out, stderr=subprocess.STDOUT)
    running = Running(process, port, log)
    try:
        harness.until(lambda: _is_up(running, path), harness.START_SECONDS, every=0.1)
        yield running
    finally:
        running.stop()


def _is_up(running: Running, path: str) -> bool:
    """Raises RuntimeError when it has ended."""
    if running.process.poll() is not None:
        raise RuntimeError(f"it ended: {running.output()}")
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{running.url}{path}", trust_env=False).status_code == 200
    return False


def address(number: int) -> str:
    """One address of many."""
    return f"198.18.{number // 250}.{number % 250 + 1}"


def cpu_seconds(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def verdict(**claims: bool) -> int:
    """Say which claims hold; the exit status."""
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim.replace('_', ' ')}")
    return 0 if all(claims.values()) else 1
