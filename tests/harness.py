"""The running program and its surroundings, for tests from outside: a real process, a real store, a real TLS server."""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import redis

from services.simulator import Simulator
from services.store.embedded import EmbeddedStore
from tests.privileges import set_user

START_SECONDS = 60
STORE_USER, STORE_PASSWORD = "suite", "canary-of-the-store"
SECRET = "a secret of the tests that is long enough 0123456789"


class InThread:
    """An async context manager entered in an event loop of its own, in a thread."""

    def __init__(self, manager):
        self.manager = manager
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def call(self, coroutine):
        """Run a coroutine in that loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def __enter__(self):
        self.thread.start()
        return self.call(self.manager.__aenter__())

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self.call(self.manager.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


@contextlib.contextmanager
def simulator(**options) -> Iterator[Simulator]:
    """A simulated Proxmox that takes a tenth of a second where the real one takes three."""
    with InThread(Simulator(**{"speed": 30.0, **options})) as running:
        yield running


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """A real Valkey on a unix socket; its address, for a user who may do no more than the README says."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        with InThread(EmbeddedStore(Path(directory) / "d")) as store:
            with admin(store.url) as client:
                client.execute_command(*set_user(STORE_USER, STORE_PASSWORD).split())
            yield store.url.replace("unix://", f"unix://{STORE_USER}:{STORE_PASSWORD}@")


def admin_url(url: str) -> str:
    """The same store for the administrator, who needs no password there."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def admin(url: str) -> redis.Redis:
    """That store in the administrator's hand, for a `with`."""
    return redis.Redis.from_url(admin_url(url))


class Running:
    """A `proxgate` process."""

    tls: ssl.SSLContext | None = None
    """What https is asked with."""

    def __init__(self, process: subprocess.Popen, port: int, log: Path, scheme: str = "http"):
        self.process = process
        self.port = port
        self.log = log
        self.url = f"{scheme}://localhost:{port}"

    def client(self, **options) -> httpx.Client:
        """An HTTP client with a cookie jar that follows nothing."""
        own = {"base_url": self.url, "timeout": 15, "trust_env": False, "verify": self.tls or True}
        return httpx.Client(**{**own, **options})

    def output(self) -> str:
        """All that the process has printed and logged."""
        return self.log.read_text()

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM, and the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def environment(**settings: str) -> dict[str, str]:
    """An environment with nothing of ours but these settings, and what `tests.attacks` takes out."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PROXGATE_TESTS_WITHOUT")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **settings}


def for_proxmox(sim: Simulator) -> dict[str, str]:
    """The settings that point at a simulator."""
    return {"PROXMOX_HOST": str(sim.address), "PROXMOX_FINGERPRINT": sim.fingerprint}


@contextlib.contextmanager
def proxgate(
    *arguments: str, scheme: str = "http", port: int = 0, under: Sequence[str] = (), **settings: str
) -> Iterator[Running]:
    """The program, started as a person does, in an empty directory; stopped at the end.

    `under` is the command of a program that starts it and keeps its process id.
    """
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        port = port or free_port()
        settings.setdefault("PROXGATE_DATA_DIR", f"{directory}/data")
        log = Path(directory) / "log"
        command = [*under, sys.executable, "-m", "ui", "--port", str(port), *arguments]
        with log.open("w") as out:
            process = subprocess.Popen(
                command, cwd=directory, env=environment(**settings), stdout=out, stderr=subprocess.STDOUT
            )
        running = Running(process, port, log, scheme)
        try:
            wait_until_up(running)
            yield running
        finally:
            if process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.stop()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_up(running: Running) -> None:
    """Wait for it to answer."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise RuntimeError(f"proxgate ended: {running.output()}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/healthz", verify=False, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"proxgate does not answer: {running.output()}")


def until(condition, seconds: float = 5.0, every: float = 0.02):
    """Wait for a condition to hold; its value. Fails when it does not come to hold in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to hold in time")
        time.sleep(every)


def sign_in(
    client: httpx.Client, username: str = "root", realm: str = "pam", password: str = "demo", **more
) -> httpx.Response:
    """Post the login form as the card's script does."""
    headers = {"Accept": "application/json", **more.pop("headers", {})}
    return client.post(
        "/login", data={"username": username, "realm": realm, "password": password, **more}, headers=headers
    )


PAGE = {"Accept": "text/html"}
