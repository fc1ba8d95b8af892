"""Proxgate behind a real nginx or Caddy that runs the file of `deploy/`."""

import contextlib
import getpass
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import trustme

from tests import harness
from tests.programs import needed

DEPLOY = Path(__file__).parent.parent / "deploy"
SHIPPED = {"nginx": DEPLOY / "nginx.conf", "caddy": DEPLOY / "Caddyfile"}

NGINX = """
user {user};
daemon off;
pid {place}/pid;
error_log stderr;
events {{}}
http {{
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxied;
    fastcgi_temp_path {place}/f;
    uwsgi_temp_path {place}/u;
    scgi_temp_path {place}/s;
    include {place}/site.conf;
}}
"""


def adapted(kind: str, place: Path, port: int, behind: int) -> str:
    """The shipped configuration with this machine's addresses and certificate; Caddy keeps to them, besides."""
    own = f"\nhttps://localhost:{port} {{\n\ttls {place}/proxgate.crt {place}/proxgate.key"
    changes = {
        "nginx": {
            "listen 80;": f"listen 127.0.0.1:{harness.free_port()};",
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "server_name proxgate.example.com;": "server_name localhost;",
            "https://proxgate.example.com$": f"https://localhost:{port}$",
            "/etc/nginx/proxgate": f"{place}/proxgate",
            "/var/log/nginx/": f"{place}/",
            "server 127.0.0.1:8080;": f"server 127.0.0.1:{behind};",
        },
        "caddy": {
            "\nproxgate.example.com {": own,
            "reverse_proxy 127.0.0.1:8080": f"reverse_proxy 127.0.0.1:{behind}",
        },
    }[kind]
    text = SHIPPED[kind].read_text()
    for shipped, here in changes.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    return text if kind == "nginx" else text.replace("\n{\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n", 1)


def lay_out(kind: str, place: Path, port: int, behind: int) -> list[str]:
    """Its files, and the command that runs it on them."""
    site = place / "site.conf"
    site.write_text(adapted(kind, place, port, behind))
    if kind == "caddy":
        return [needed("caddy"), "run", "--config", str(site), "--adapter", "caddyfile"]
    main = place / "nginx.conf"
    main.write_text(NGINX.format(user=getpass.getuser(), place=place))
    return [needed("nginx"), "-p", str(place), "-c", str(main)]


class Front:
    """What people ask, the certificate's authority, and the program behind it."""

    behind: harness.Running

    def __init__(self, place: Path, port: int) -> None:
        self.place = place
        self.port = port
        self.url = f"https://localhost:{port}"
        self.tls = ssl.create_default_context()
        authority = trustme.CA()
        authority.configure_trust(self.tls)
        leaf = authority.issue_cert("localhost")
        leaf.private_key_pem.write_to_path(place / "proxgate.key")
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(place / "proxgate.crt", append=True)

    def client(self, source: str | None = None, **options) -> httpx.Client:
        """A browser's stand-in with no cookies, asking from the address `source`."""
        transport = httpx.HTTPTransport(verify=self.tls, local_address=source)
        return httpx.Client(**{"base_url": self.url, "timeout": 15, "transport": transport, **options})

    def logged(self) -> str:
        """All that it has written."""
        return "".join(file.read_text() for file in self.place.glob("*.log"))


@contextlib.contextmanager
def front(kind: str, **settings: str) -> Iterator[Front]:
    """Proxgate with these settings, and what stands before it."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        place, port = Path(directory), harness.free_port()
        up = Front(place, port)
        settings |= {"PUBLIC_URL": up.url, "TRUSTED_PROXIES": "127.0.0.1", "SESSION_SECRET": harness.SECRET}
        with harness.proxgate(**settings) as behind:
            up.behind = behind
            command = lay_out(kind, place, port, behind.port)
            home = os.environ | {"HOME": directory, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory}
            with (place / "own.log").open("w") as out:
                process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=home)
            try:
                harness.until(lambda: process.poll() is not None or _answers(up), 20, 0.1)
                assert process.poll() is None, up.logged()
                yield up
            finally:
                process.terminate()
                process.wait(10)


def _answers(up: Front) -> bool:
    with contextlib.suppress(httpx.TransportError), up.client() as client:
        return client.get("/healthz").status_code == 200
    return False
