"""Where the running program goes by itself: to Proxmox and to the store, as the kernel saw it, and nowhere else."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from services.simulator.catalogue import vmid_of
from tests import browser, harness, stores
from tests.programs import needed
from tests.test_http_ways_in import and_back, there

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]

CALLS = "connect,sendto,sendmsg,sendmmsg,io_uring_setup"
"""How a program reaches somebody. The last would do it past the others: nobody gets it here. The event loop, which has
one to tell the kernel what it waits for, does without."""

PAGES = {
    "/": "article",
    "/guests": "[role=gridcell]",
    f"/guests/{vmid_of('vaultwarden')}": ".pg-fact-row",
    "/nodes/pve1": ".pg-fact-row",
    "/storage": "tbody tr",
    "/tasks": "tbody tr",
    "/sessions": "#content li, tbody tr, article",
    "/nowhere": "#content",
}
"""Every page, with what stands there once it is drawn."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What strace wrote of a program and of all that it started."""

    file: Path

    def command(self) -> list[str]:
        """Starts a program that is watched from its first instruction on, and keeps its own process id."""
        return [needed("strace"), "-D", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={CALLS}", "-e", "signal=none",
                "-e", "inject=io_uring_setup:error=ENOSYS", "-o", str(self.file)]  # fmt: skip

    def reached(self) -> set[str]:
        """Whom it reached for, whether anybody was there or not; the kernel itself, asked over netlink, is nobody."""
        found = set()
        for line in self.file.read_text(errors="replace").splitlines():
            if "io_uring_setup" in line and "ENOSYS" not in line:
                found.add("io_uring")
            for kind, rest in re.findall(r"\{sa_family=AF_(\w+)(.*?)\}", line):
                found.add(_place(kind, rest))
        return found - {"NETLINK"}


def _place(kind: str, rest: str) -> str:
    if kind == "UNIX":
        path = re.search(r'sun_path=(@?)"([^"]*)"', rest)
        return f"unix:{path[1]}{path[2]}" if path else "unix:"
    host, port = re.search(r'inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"', rest), re.search(r"htons\((\d+)\)", rest)
    return f"{host[1]}:{port[1]}" if host and port else kind


@pytest.fixture
def trace(tmp_path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own, with an OpenID provider behind it: in this process, which nobody watches."""
    with harness.simulator(provider=True) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(params=["embedded", "redis"])
def store(request, tmp_path):
    """The store's settings, and how its place is written: our own on its socket, and a Redis over TCP."""
    if request.param == "embedded":
        yield {}, f"unix:{tmp_path}/data/store.sock"
    else:
        needed("redis-server")
        with stores.redis_server(tmp_path / "redis") as server:
            yield {"REDIS_URL": server.url}, f"127.0.0.1:{server.port}"


def test_nobody_else_is_reached(chromium, pve, store, trace, tmp_path):
    """From its start to its stop, with every page open, the program reaches for Proxmox and its store alone, and the
    browser for the program: no name is looked up, and nobody is told anything."""
    more, place = store
    settings = {**harness.for_proxmox(pve), "SESSION_SECRET": harness.SECRET, **more}
    settings["PROXGATE_DATA_DIR"] = str(tmp_path / "data")
    with harness.proxgate(under=trace.command(), **settings) as site:
        assert strangers(see_everything(chromium, site), site) == []
        through_the_provider(site)
        for verb in (["check"], ["sessions", "list"]):
            line = [*Trace(tmp_path / verb[0]).command(), sys.executable, "-m", "ui", *verb]
            environment = harness.environment(**settings)
            done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout
        assert site.stop() == 0
    both = {str(pve.address), place}
    assert [Trace(tmp_path / file).reached() for file in ("trace", "check", "sessions")] == [both, both, {place}]


def see_everything(chromium, site: harness.Running) -> list[str]:
    """Go by the card, open every page and wait until it is drawn; whom the browser asked."""
    context = chromium.new_context(base_url=site.url)
    context.set_default_timeout(20_000)
    tab = browser.Watched(context)
    browser.sign_in(browser.card(tab.page, "/login"))
    for path, drawn in PAGES.items():
        tab.page.goto(path)
        expect(tab.page.locator(drawn).first).to_be_visible()
    context.close()
    return tab.addresses


def strangers(addresses: list[str], site: harness.Running) -> list[str]:
    """Those that are not the program's."""
    own = (site.url, site.url.replace("http", "ws", 1), "data:", "blob:")
    return [address for address in addresses if not address.startswith(own)]


def through_the_provider(site: harness.Running) -> None:
    """Sign in at an OpenID provider: the browser goes there and comes back, and the program asks Proxmox alone."""
    with site.client(headers={"Accept": "application/json"}) as jar:
        jar.get("/login", headers=harness.PAGE)
        back = httpx.URL(and_back(there(jar)))
        answer = jar.get(back.raw_path.decode(), headers=harness.PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert jar.get("/", headers=harness.PAGE).status_code == 200


ELSEWHERE = """
import socket
with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_INET6) as six:
    tcp.connect_ex(("127.0.0.1", 1))
    udp.sendto(b"x", ("127.0.0.53", 53))
    udp.sendmsg([b"x"], [], 0, ("127.0.0.2", 514))
    six.connect_ex(("::1", 2))
"""


def test_the_watch_sees_everybody(trace):
    """What the test above relies on: a connection, a datagram, another process of the program's, each is seen."""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ELSEWHERE!r}], check=True)"
    subprocess.run([*trace.command(), sys.executable, "-c", child], check=True)
    assert trace.reached() == {"127.0.0.1:1", "127.0.0.53:53", "127.0.0.2:514", "::1:2"}
