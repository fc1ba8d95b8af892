"""Two `proxgate` processes on one store, behind a real HAProxy that runs the file of `deploy/`."""

import contextlib
import re
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import trustme

from tests import harness
from tests.harness import Running
from tests.programs import needed

SHIPPED = Path(__file__).parent.parent / "deploy" / "haproxy.cfg"
COOKIE = "__Host-proxgate-replica"
NAMES = ("a", "b")


def adapted(certificate: Path, port: int, replicas: dict[str, int]) -> str:
    """The shipped configuration with this machine's addresses and certificate, and nothing else changed."""
    text = SHIPPED.read_text()
    changes = {
        "bind :80\n": f"bind 127.0.0.1:{harness.free_port()}\n",
        "bind :443 ": f"bind 127.0.0.1:{port} ",
        "/etc/haproxy/proxgate.pem": str(certificate),
        "https://proxgate.example.com code": f"https://localhost:{port} code",
        "192.0.2.11:8080": f"127.0.0.1:{replicas['a']}",
        "192.0.2.12:8080": f"127.0.0.1:{replicas['b']}",
    }
    for shipped, here in changes.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    return text


class Site:
    """Both replicas, and the HAProxy that people ask."""

    def __init__(self, port: int, tls: ssl.SSLContext, log: Path, settings: dict[str, str]):
        self.port = port
        self.url = f"https://localhost:{port}"
        self.tls = tls
        self.log = log
        self.ports = {name: harness.free_port() for name in NAMES}
        self.running: dict[str, Running] = {}
        self._settings = {"PUBLIC_URL": self.url, "TRUSTED_PROXIES": "127.0.0.1", **settings}
        self._stacks: dict[str, ExitStack] = {}

    def client(self, source: str | None = None, **options) -> httpx.Client:
        """A browser's stand-in with no cookies, asking from the address `source`."""
        transport = httpx.HTTPTransport(verify=self.tls, local_address=source)
        return httpx.Client(**{"base_url": self.url, "timeout": 15, "transport": transport, **options})

    def start(self, name: str, **settings: str) -> None:
        """Start a replica, at the port that HAProxy knows; `settings` go over those that both have."""
        self._stacks[name] = ExitStack()
        up = harness.proxgate(port=self.ports[name], **{**self._settings, **settings})
        self.running[name] = self._stacks[name].enter_context(up)

    def kill(self, name: str) -> None:
        """kill -9."""
        self.running[name].process.kill()
        self.stop(name)

    def stop(self, name: str) -> None:
        """Clean up behind a replica, or end one that runs."""
        self.running.pop(name, None)
        if stack := self._stacks.pop(name, None):
            stack.close()

    def serves(self, name: str) -> bool:
        """Whether HAProxy sends there whoever was there before: it names a replica only to who comes to another."""
        with self.client(headers={"Cookie": f"{COOKIE}={name}"}) as client, contextlib.suppress(httpx.TransportError):
            answer = client.get("/healthz")
            return answer.status_code == 200 and "set-cookie" not in answer.headers
        return False

    def until_all_serve(self) -> None:
        """Wait for HAProxy to have noticed every replica that was started."""
        harness.until(lambda: all(self.serves(name) for name in NAMES), 30)

    def ready(self, name: str) -> bool:
        """Whether HAProxy thinks that a replica has its store."""
        noted = re.findall(rf"Server proxgate/{name} is (UP|DOWN)", self.output())
        return not noted or noted[-1] == "UP"

    def until_ready(self, *, ready: bool = True) -> None:
        """Wait for HAProxy to think so of all, or of none."""
        harness.until(lambda: all(self.ready(name) is ready for name in NAMES), 30)

    def output(self) -> str:
        """What HAProxy has logged."""
        return self.log.read_text()


@contextlib.contextmanager
def site(**settings: str) -> Iterator[Site]:
    """The whole of it, started and stopped. Every setting is that of both replicas."""
    haproxy = needed("haproxy")
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory, ExitStack() as stack:
        authority, tls = trustme.CA(), ssl.create_default_context()
        authority.configure_trust(tls)
        certificate, port = Path(directory) / "proxgate.pem", harness.free_port()
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        whole = Site(port, tls, Path(directory) / "log", {"SESSION_SECRET": harness.SECRET, **settings})
        for name in NAMES:
            stack.callback(whole.stop, name)
            whole.start(name)
        configuration = Path(directory) / "haproxy.cfg"
        configuration.write_text(adapted(certificate, port, whole.ports))
        stack.enter_context(_running([haproxy, "-db", "-f", str(configuration)], whole.log))
        whole.until_all_serve()
        yield whole


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            harness.until(lambda: process.poll() is None)
            yield
        finally:
            process.terminate()
