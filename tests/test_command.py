"""The command from outside: settings and their order, wrong ones, verbs, certificates, signals, restarts."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.certificate import fingerprint, self_signed
from services.proxmox import Proxmox
from services.settings import load_settings
from tests import harness
from tests.conftest import forget_failures
from tests.harness import PAGE, SECRET, sign_in, until
from tests.socket_client import laboratory
from ui.server import _demo, _loopback_addresses

NEEDLESS = {"PROXMOX_HOST": "127.0.0.1:9", "PROXMOX_FINGERPRINT": "AB" * 32, "REDIS_URL": "redis://127.0.0.1:9"}
"""Settings that are well-formed and lead nowhere."""


def command(*arguments, cwd, seconds=15, **settings):
    """Run `proxgate` to its end."""
    settings.setdefault("PROXGATE_DATA_DIR", f"{cwd}/data")
    return subprocess.run(
        [sys.executable, "-m", "ui", *arguments],
        cwd=cwd, env=harness.environment(**settings), capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def where(running):
    """What the command says of its address."""
    return until(lambda: re.search(r"Proxgate is at (\S+)", running.output()))[1]


# Words


def test_version(tmp_path):
    """--version names the program and its version."""
    done = command("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"proxgate \d+\.\d+\.\d+\n", done.stdout)


def test_help(tmp_path):
    """--help names every flag and verb of the contract."""
    done = command("--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in (
        "--host",
        "--port",
        "--demo ",
        "--demo-guests",
        "--data-dir",
        "--insecure-http",
        "--version",
        "check",
        "sessions",
    ):
        assert word in done.stdout


# Wrong settings

GOOD = {**NEEDLESS, "SESSION_SECRET": SECRET}
WRONG = {
    "no Proxmox": ("PROXMOX_HOST", {"PROXMOX_HOST": ""}),
    "Proxmox as URL": ("PROXMOX_HOST", {"PROXMOX_HOST": "https://pve.example:8006/"}),
    "Proxmox port": ("PROXMOX_HOST", {"PROXMOX_HOST": "pve:99999"}),
    "fingerprint": ("PROXMOX_FINGERPRINT", {"PROXMOX_FINGERPRINT": "AB:CD"}),
    "CA not there": ("PROXMOX_CA_FILE", {"PROXMOX_CA_FILE": "/nope/ca.pem", "PROXMOX_FINGERPRINT": ""}),
    "CA is none": ("PROXMOX_CA_FILE", {"PROXMOX_CA_FILE": "garbage", "PROXMOX_FINGERPRINT": ""}),
    "verify": ("PROXMOX_VERIFY_TLS", {"PROXMOX_VERIFY_TLS": "perhaps"}),
    "port is a word": ("PROXGATE_PORT", {"PROXGATE_PORT": "http"}),
    "host": ("PROXGATE_HOST", {"PROXGATE_HOST": "no such host!"}),
    "host of another machine": ("PROXGATE_HOST", {"PROXGATE_HOST": "192.0.2.1", "TRUSTED_PROXIES": "192.0.2.2"}),
    "data directory is a file": ("PROXGATE_DATA_DIR", {"PROXGATE_DATA_DIR": "garbage", "REDIS_URL": ""}),
    "data directory of nobody": ("PROXGATE_DATA_DIR", {"PROXGATE_DATA_DIR": "~no-such-user/x"}),
    "short secret": ("SESSION_SECRET", {"SESSION_SECRET": "canary-short"}),
    "one short secret of two": ("SESSION_SECRET", {"SESSION_SECRET": f"{SECRET},canary-short"}),
    "empty part of a secret": ("SESSION_SECRET", {"SESSION_SECRET": f"{SECRET},"}),
    "secret file not there": ("SESSION_SECRET_FILE", {"SESSION_SECRET": "", "SESSION_SECRET_FILE": "/nope"}),
    "secret file is empty": ("SESSION_SECRET_FILE", {"SESSION_SECRET": "", "SESSION_SECRET_FILE": "empty"}),
    "secret twice": ("SESSION_SECRET_FILE", {"SESSION_SECRET_FILE": "garbage"}),
    "store": ("REDIS_URL", {"REDIS_URL": "http://:canary-short@127.0.0.1/"}),
    "store's port": ("REDIS_URL", {"REDIS_URL": "redis://:canary-short@127.0.0.1:x/"}),
    "store's file is empty": ("REDIS_URL_FILE", {"REDIS_URL": "", "REDIS_URL_FILE": "empty"}),
    "prefix": ("STORE_PREFIX", {"STORE_PREFIX": "a b"}),
    "idle": ("SESSION_IDLE_SECONDS", {"SESSION_IDLE_SECONDS": "0"}),
    "certificate without key": ("TLS_KEY_FILE", {"TLS_CERT_FILE": "garbage"}),
    "certificate is none": ("TLS_CERT_FILE", {"TLS_CERT_FILE": "garbage", "TLS_KEY_FILE": "garbage"}),
    "certificate is a directory": ("TLS_CERT_FILE", {"TLS_CERT_FILE": ".", "TLS_KEY_FILE": "."}),
    "key of another": ("TLS_KEY_FILE", {"TLS_CERT_FILE": "one.crt", "TLS_KEY_FILE": "two.key"}),
    "proxies": ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "the proxy"}),
    "public address with a path": ("PUBLIC_URL", {"PUBLIC_URL": "https://gate.example/sub"}),
    "public address with spaces": ("PUBLIC_URL", {"PUBLIC_URL": "https://gate example"}),
    "log level": ("LOG_LEVEL", {"LOG_LEVEL": "loud"}),
    ".env is no text": (".env", {"dotenv": "\udcff\udcfe=1"}),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What each wrong setting led to; None where the program went on."""

    room = tmp_path_factory.mktemp("wrong")

    def attempt(case):
        directory = room / case.replace(" ", "-")
        directory.mkdir()
        settings = GOOD | {"PROXGATE_PORT": str(harness.free_port())} | WRONG[case][1]
        (directory / "garbage").write_text("not what it should be\n" * 4)
        (directory / "empty").touch(0o600)
        for name in ("one", "two"):
            pem, key = self_signed(["localhost"])
            (directory / f"{name}.crt").write_text(pem)
            (directory / f"{name}.key").write_text(key)
        if dotenv := settings.pop("dotenv", ""):
            (directory / ".env").write_bytes(dotenv.encode("utf-8", "surrogateescape"))
        try:
            return command(cwd=directory, seconds=harness.START_SECONDS, **settings)
        except subprocess.TimeoutExpired:
            return None

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(WRONG, pool.map(attempt, WRONG), strict=True))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_setting(refusals, case):
    """A wrong setting ends the start with status 2 and one line that names it, and tells no secret."""
    done = refusals[case]
    assert done is not None, "it started"
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(f"proxgate: {WRONG[case][0]}: ")
    assert len(lines) == 1, lines
    assert "canary-short" not in done.stderr + done.stdout


def test_unknown_flag(tmp_path):
    """An unknown flag or verb is status 2 with the usage."""
    for argument in ("--por=1", "serve"):
        done = command(argument, cwd=tmp_path)
        assert done.returncode == 2
        assert "usage: proxgate" in done.stderr


def test_port_in_use(tmp_path, server):
    """A port that is taken is one line that names the port, and status 2."""
    done = command("--port", str(server.port), cwd=tmp_path, **GOOD)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("proxgate: PROXGATE_PORT: ")
    assert str(server.port) in line


# Where settings come from


def test_precedence(tmp_path):
    """A flag wins over the environment, the environment over .env, and .env over the default."""
    (tmp_path / ".env").write_text("PROXGATE_PORT=bad-in-dotenv\nLOG_FORMAT=bad-in-dotenv\n")
    from_dotenv = command(cwd=tmp_path, **GOOD)
    assert "PROXGATE_PORT: input should be a valid integer" in from_dotenv.stderr
    from_env = command(cwd=tmp_path, **GOOD, PROXGATE_PORT="70000", LOG_FORMAT="text")
    assert "PROXGATE_PORT: input should be less than" in from_env.stderr
    flagged = command("--port", "0", cwd=tmp_path, **GOOD, PROXGATE_PORT="70000", LOG_FORMAT="text")
    assert "PROXGATE_PORT: input should be greater than" in flagged.stderr


@pytest.fixture(scope="module")
def from_files(tmp_path_factory, valkey_url, sim):
    """A server whose settings all come from .env and files."""
    place = tmp_path_factory.mktemp("files")
    (place / "secret").write_text(SECRET + "\n")
    (place / "url").write_text(valkey_url + "\n")
    for name in ("secret", "url"):
        (place / name).chmod(0o600)
    port = harness.free_port()
    settings = harness.for_proxmox(sim) | {
        "PROXGATE_PORT": str(port), "STORE_PREFIX": "server:", "LOG_FORMAT": "json",
        "PROXGATE_DATA_DIR": str(place / "d"),
        "SESSION_SECRET_FILE": str(place / "secret"), "REDIS_URL_FILE": str(place / "url"),
    }  # fmt: skip
    (place / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    log = place / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ui"], cwd=place, env=harness.environment(), stdout=out, stderr=out
        )
    running = harness.Running(process, port, log)
    until(lambda: "Proxgate is at" in running.output(), seconds=20)
    yield running
    running.stop()


def test_dotenv_and_files(from_files, client):
    """Settings in .env count, and the secrets of two files: a session of a server with the same is good here."""
    sign_in(client)
    cookie = f"proxgate={client.cookies['proxgate']}"
    assert httpx.get(f"{from_files.url}/nope", headers={"Cookie": cookie, **PAGE}, trust_env=False).status_code == 404


def test_json_log(from_files):
    """LOG_FORMAT=json writes one JSON object a line, whatever is put into a user's name."""
    with from_files.client() as jar:
        sign_in(jar, 'x","level":"\u2028', "pam", "wrong")
        sign_in(jar, "alice", "pve")
    lines = [line for line in from_files.output().splitlines() if not line.startswith("Proxgate is at")]
    assert lines
    assert all({"time", "level", "logger", "message"} <= json.loads(line).keys() for line in lines)


def test_log_lines(server, client):
    """A user's name can neither break a line of the log nor fake one."""
    before = len(server.output().splitlines())
    sign_in(client, "x\u2028\u001b[2J\u200b2026-01-01T00:00:00Z INFO services.audit: event=sign-in", "pam", "wrong")
    sign_in(client, "\u202eroot", "pam", "wrong")
    lines = server.output().splitlines()[before:]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]+ [\w.]+: ", line) for line in lines)
    assert all(line.isprintable() for line in lines)


# https by itself


def pinned(certificate):
    """A context that trusts one certificate, for its names."""
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture(scope="module")
def beyond(valkey_url, sim, tmp_path_factory):
    """A server that listens beyond loopback without a certificate of anybody's, and its data directory."""
    data = tmp_path_factory.mktemp("beyond") / "data"
    settings = harness.for_proxmox(sim) | {"PROXGATE_DATA_DIR": str(data), "STORE_PREFIX": "beyond:"}
    with harness.proxgate(
        "--host", "0.0.0.0", scheme="https", REDIS_URL=valkey_url, SESSION_SECRET=SECRET, **settings
    ) as up:
        yield up, data


def test_own_certificate(beyond):
    """Beyond loopback it is https with a certificate of its own, good for this machine, its fingerprint printed."""
    up, data = beyond
    certificate = data / "tls.crt"
    assert fingerprint(certificate.read_text()) in up.output()
    for name in ("localhost", "127.0.0.1"):
        url = f"https://{name}:{up.port}/healthz"
        assert httpx.get(url, verify=pinned(certificate), trust_env=False).status_code == 200
    assert (data / "tls.key").stat().st_mode & 0o077 == 0
    assert data.stat().st_mode & 0o777 == 0o700


def test_no_plain_http_beyond(beyond):
    """Plain http gets nothing there."""
    up, _ = beyond
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{up.port}/healthz", trust_env=False)


def test_certificate_is_kept(beyond, valkey_url, sim):
    """A second start shows the same certificate."""
    up, data = beyond
    settings = harness.for_proxmox(sim) | {"PROXGATE_DATA_DIR": str(data)}
    with harness.proxgate(
        "--host", "0.0.0.0", scheme="https", REDIS_URL=valkey_url, SESSION_SECRET=SECRET, **settings
    ) as again:
        found = [re.search(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", each.output())[0] for each in (up, again)]
    assert found[0] == found[1]


def test_cookies_over_https(beyond, valkey_url):
    """Over https every cookie is __Host- and Secure, and there is no HSTS, which would lock out a host name."""
    up, _ = beyond
    forget_failures(valkey_url)
    with up.client(verify=False) as jar:
        answers = [jar.get("/login", headers=PAGE), sign_in(jar), jar.get("/", headers=PAGE)]
        assert answers[-1].status_code == 200
        kept = jar.cookies["__Host-proxgate"]
        answers.append(jar.post("/logout", headers={"Origin": up.url}))
    lines = [line for answer in answers for line in answer.headers.get_list("set-cookie")]
    names = {"__Host-proxgate", "__Host-proxgate-browser", "__Host-proxgate-device"}
    assert {line.partition("=")[0] for line in lines} == names
    for line in lines:
        assert {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"} <= set(line.split("; ")[1:])
        assert "Domain" not in line
        assert "Max-Age" not in line or line.startswith(("__Host-proxgate=; ", "__Host-proxgate-device="))
    assert not [answer for answer in answers if "strict-transport-security" in answer.headers]
    with up.client(verify=False) as jar:
        sign_in(jar)
        good = jar.cookies["__Host-proxgate"]
        jar.cookies.clear()
        assert jar.get("/", headers={"Cookie": f"proxgate={good}", **PAGE}).status_code == 303
        assert jar.get("/", headers={"Cookie": f"__Host-proxgate={kept}", **PAGE}).status_code == 303


@pytest.mark.parametrize("host", ["nas", "nas.home.arpa", "192.168.1.7", "[fd00::1]", "localhost"])
def test_any_plain_host_beyond(beyond, host):
    """Beyond loopback without PUBLIC_URL any plain host name or address is ours, and the origin goes with it."""
    up, _ = beyond
    headers = {"Host": f"{host}:{up.port}", "Accept": "application/json"}
    form = {"username": "root", "realm": "pam", "password": "demo"}
    with up.client(verify=False) as jar:
        assert jar.get("/healthz", headers=headers).status_code == 200
        own, other = f"https://{host}:{up.port}", f"https://evil.example:{up.port}"
        assert jar.post("/login", data=form, headers={**headers, "Origin": own}).status_code == 200
        assert jar.post("/login", data=form, headers={**headers, "Origin": other}).status_code == 403


@pytest.mark.parametrize("host", ["evil@nas", "nas/x", "nas?x", "nas:x", "na s", "n\u00e4s", ".."])
def test_no_plain_host_beyond(beyond, host):
    """What is no plain host name is answered 400 there too."""
    up, _ = beyond
    with up.client(verify=False) as jar:
        answer = jar.get("/healthz", headers=[(b"host", host.encode())])
        assert answer.status_code == 400


def test_given_certificate(valkey_url, sim, tmp_path):
    """With TLS_CERT_FILE and TLS_KEY_FILE it is https with those, on loopback as well, and with what replaces them."""

    def write():
        pem, key = self_signed(["localhost"])
        (tmp_path / "crt").write_text(pem)
        (tmp_path / "key").write_text(key)
        return pem

    write()
    files = {"TLS_CERT_FILE": str(tmp_path / "crt"), "TLS_KEY_FILE": str(tmp_path / "key")}
    with harness.proxgate(
        scheme="https", REDIS_URL=valkey_url, SESSION_SECRET=SECRET, **harness.for_proxmox(sim), **files
    ) as up:
        assert where(up).startswith("https://")
        answer = httpx.get(f"{up.url}/readyz", verify=pinned(tmp_path / "crt"), trust_env=False)
        assert answer.status_code == 200
        renewed = write()
        until(lambda: ssl.get_server_certificate(("127.0.0.1", up.port), timeout=5) == renewed, 15, 0.2)
        assert shakes_hands(up.port, ssl.TLSVersion.TLSv1_2)
        assert not shakes_hands(up.port, ssl.TLSVersion.TLSv1_1)


def shakes_hands(port, version):
    """Whether this version of TLS and no other is spoken there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with contextlib.suppress(ssl.SSLError), socket.create_connection(("127.0.0.1", port), 5) as plain:
        return context.wrap_socket(plain).version() is not None
    return False


def test_insecure_http(valkey_url, sim):
    """--insecure-http is plain http beyond loopback, and says so loudly in its output and its log."""
    with harness.proxgate(
        "--host", "0.0.0.0", "--insecure-http", REDIS_URL=valkey_url, SESSION_SECRET=SECRET, **harness.for_proxmox(sim)
    ) as up:
        assert where(up).startswith("http://")
        assert "WARNING" in up.output()
        assert "Passwords can be read by anyone" in up.output()
        with up.client() as jar:
            assert sign_in(jar).status_code == 200
            assert "proxgate" in jar.cookies


def test_plain_http_for_proxies(valkey_url, sim):
    """Declared proxies are spoken to in plain http, beyond loopback too; the log says to keep others from it."""
    settings = {"TRUSTED_PROXIES": "192.0.2.1", "PUBLIC_URL": "https://proxgate.example.com"}
    with harness.proxgate(
        "--host", "0.0.0.0", REDIS_URL=valkey_url, SESSION_SECRET=SECRET, **settings, **harness.for_proxmox(sim)
    ) as up:
        until(lambda: f"let nobody else reach port {up.port}" in up.output())
        with up.client() as jar:
            assert jar.get("/healthz").status_code == 200


HOURLY = """
import ui.application

ui.application.HOUR = 0.5  # of a second

from ui.__main__ import main

main()
"""


def test_unverified_proxmox(valkey_url, sim):
    """PROXMOX_VERIFY_TLS=false is said in the log at the start and every hour, and in red on each card and page."""
    settings = {"PROXMOX_HOST": str(sim.address), "PROXMOX_VERIFY_TLS": "false", "REDIS_URL": valkey_url}
    with laboratory(HOURLY, **settings) as up, up.client(headers=PAGE) as jar:
        assert _alarmed(jar.get("/login"))
        assert sign_in(jar).status_code == 200
        pages = ("/", "/nope", "/guests", "/guests/100", "/nodes/pve1", "/storage", "/tasks", "/sessions")
        assert [path for path in pages if not _alarmed(jar.get(path))] == []
        until(lambda: up.output().count("WARNING ui.application: PROXMOX_VERIFY_TLS=false") >= 3)


def _alarmed(page):
    """Whether it has the red banner."""
    return "pg-banner-bad" in page.text and "PROXMOX_VERIFY_TLS=false" in page.text


def test_proxies_with_spaces(tmp_path):
    """A list of networks may have spaces after its commas, as the other lists may."""
    settings = GOOD | {"TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1", "LOG_LEVEL": "wrong"}
    assert command(cwd=tmp_path, **settings).stderr.startswith("proxgate: LOG_LEVEL: ")


# Proxgate check


@pytest.fixture(scope="module")
def punctual():
    """A simulated Proxmox whose clock is right."""
    with harness.simulator(speed=1.0) as running:
        yield running


def test_check(tmp_path, valkey_url, punctual):
    """check tests store, realms and clock, prints the fingerprint to pin and ends with 0."""
    done = command("check", cwd=tmp_path, REDIS_URL=valkey_url, **harness.for_proxmox(punctual))
    assert done.returncode == 0, done.stdout
    assert punctual.fingerprint in done.stdout
    assert "home, pam, pve" in done.stdout
    for word in ("store", "realms", "clock"):
        assert re.search(rf"(?m)^ok +{word}\b", done.stdout)


def test_check_distrusts(tmp_path, valkey_url, punctual):
    """check of a server that is not trusted fails with 1, and still prints its fingerprint."""
    settings = {"PROXMOX_HOST": str(punctual.address), "REDIS_URL": valkey_url}
    done = command("check", cwd=tmp_path, **settings)
    assert done.returncode == 1
    assert punctual.fingerprint in done.stdout
    assert re.search(r"(?m)^FAIL +realms", done.stdout)
    assert "Traceback" not in done.stdout + done.stderr


def test_check_clock(tmp_path, valkey_url):
    """check of a Proxmox whose clock is ten minutes off fails with 1 and says by how much."""
    with harness.simulator(speed=1.0) as late:
        late.advance(-600)
        done = command("check", cwd=tmp_path, REDIS_URL=valkey_url, **harness.for_proxmox(late))
    assert done.returncode == 1
    assert re.search(r"(?m)^FAIL +clock.*\b(59\d|60\d)\b", done.stdout)


def test_check_store(tmp_path, punctual):
    """check of a store that does not answer fails with 1 and goes on to the rest."""
    settings = {"REDIS_URL": f"redis://:canary-short@127.0.0.1:{harness.free_port()}", **harness.for_proxmox(punctual)}
    done = command("check", cwd=tmp_path, **settings)
    assert done.returncode == 1
    assert re.search(r"(?m)^FAIL +store", done.stdout)
    assert re.search(r"(?m)^ok +realms", done.stdout)
    assert "canary-short" not in done.stdout + done.stderr


def test_check_eviction(tmp_path, punctual, valkey_url):
    """check fails on a store that may drop sessions when it is full."""

    with harness.admin(valkey_url) as store:
        store.config_set("maxmemory-policy", "allkeys-lru")
        try:
            done = command("check", cwd=tmp_path, REDIS_URL=valkey_url, **harness.for_proxmox(punctual))
        finally:
            store.config_set("maxmemory-policy", "noeviction")
    assert done.returncode == 1
    assert re.search(r"(?m)^FAIL +store.*allkeys-lru", done.stdout)


# The store of our own: sessions, restarts, signals


class Home:
    """A data directory and the starts of `proxgate` upon it."""

    def __init__(self, place, sim):
        self.place = place
        self.settings = {**harness.for_proxmox(sim), "PROXGATE_DATA_DIR": str(place / "data")}

    def start(self):
        return harness.proxgate(**self.settings)

    def command(self, *arguments):
        return command(*arguments, cwd=self.place, **self.settings)

    def store(self):
        """The number of the store's process, 0 when it has gone."""
        file = self.place / "data" / "store" / "alive"
        pid = int(file.read_text().strip() or 0) if file.exists() else 0
        try:
            return pid if b"valkey" in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        except OSError:
            return 0


@pytest.fixture
def home(tmp_path, sim):
    """A home of its own; a store that was left over is ended."""
    place = Home(tmp_path, sim)
    yield place
    if pid := place.store():
        os.kill(pid, signal.SIGTERM)


def _is_in(up, cookie):
    answer = httpx.get(f"{up.url}/nope", headers={"Cookie": f"proxgate={cookie}", **PAGE}, trust_env=False)
    return answer.status_code == 404


def test_restarts(home):
    """Sessions outlive SIGTERM, which ends with 0 and takes the store along, and kill -9."""
    with home.start() as up:
        with up.client() as jar:
            assert sign_in(jar).status_code == 200
            cookie = jar.cookies["proxgate"]
        started = time.monotonic()
        assert up.stop() == 0
        assert time.monotonic() - started < 10
        assert home.store() == 0
    with home.start() as up:
        assert _is_in(up, cookie)
        with up.client() as jar:
            assert sign_in(jar, "alice", "pve").status_code == 200
            second = jar.cookies["proxgate"]
        up.process.kill()
        up.process.wait(5)
    with home.start() as up:
        assert _is_in(up, cookie)
        assert _is_in(up, second)


def test_ctrl_c(home):
    """Ctrl-C ends without a stack trace, with 0, and takes the store along."""
    with home.start() as up:
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(10) == 0
        assert "Traceback" not in up.output()
    assert home.store() == 0


def test_two_at_home(home):
    """A second proxgate on one data directory is refused in one line with status 2; the first goes on."""
    with home.start() as up:
        done = home.command("--port", str(harness.free_port()))
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("proxgate: PROXGATE_DATA_DIR: another proxgate")
        assert httpx.get(f"{up.url}/readyz", trust_env=False).status_code == 200


def test_sessions(home):
    """sessions list shows every session by a name that opens nothing; end and end-all end just those meant."""
    with home.start() as up:
        cookies = {}
        for user, realm in (("root", "pam"), ("alice", "pve"), ("kid", "pve"), ("kid", "pve")):
            with up.client(headers={"User-Agent": f"Browser of {user} \x9b2J".encode("latin-1")}) as jar:
                assert sign_in(jar, user, realm).status_code == 200
                cookies.setdefault(f"{user}@{realm}", []).append(jar.cookies["proxgate"])
        listed = home.command("sessions", "list")
        assert listed.returncode == 0
        assert listed.stdout.count("\n") == 5
        assert listed.stdout.replace("\n", "").isprintable()
        assert listed.stdout.count("Unknown device") == 4
        assert "Browser of" not in listed.stdout
        assert all(listed.stdout.count(f"{user} ") == len(values) for user, values in cookies.items())
        assert not [value for values in cookies.values() for value in values if value.split(".")[0] in listed.stdout]

        id = re.search(r"(?m)^(\w+) +alice@pve", listed.stdout)[1]
        assert home.command("sessions", "end", id).returncode == 0
        assert not _is_in(up, cookies["alice@pve"][0])
        assert _is_in(up, cookies["root@pam"][0])
        again = home.command("sessions", "end", id)
        assert again.returncode == 1
        assert "Traceback" not in again.stderr

        assert "2 sessions ended" in home.command("sessions", "end-all", "--user", "kid@pve").stdout
        assert not [value for value in cookies["kid@pve"] if _is_in(up, value)]
        assert _is_in(up, cookies["root@pam"][0])
        assert "1 session ended" in home.command("sessions", "end-all").stdout
        assert not _is_in(up, cookies["root@pam"][0])


def test_sessions_when_stopped(home):
    """sessions list works while no server runs, and leaves no store behind."""
    done = home.command("sessions", "list")
    assert done.returncode == 0
    assert home.store() == 0


def test_sessions_without_store(tmp_path):
    """sessions list of a store that does not answer is one line and status 1."""
    done = command("sessions", "list", cwd=tmp_path, SESSION_SECRET=SECRET, REDIS_URL="redis://127.0.0.1:9")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_sigterm_under_load(valkey_url, sim):
    """SIGTERM in the middle of sign-ins ends within ten seconds with 0, and each of them has a whole answer or none."""
    settings = harness.for_proxmox(sim)
    with harness.proxgate(REDIS_URL=valkey_url, SESSION_SECRET=SECRET, STORE_PREFIX="load:", **settings) as up:
        stop, strange = threading.Event(), []

        def knock(number):
            with up.client(timeout=12) as jar:
                while not stop.is_set():
                    try:
                        answer = sign_in(jar, password="demo" if number % 2 else "wrong")
                    except httpx.TransportError:
                        return
                    if answer.status_code not in {200, 401, 429} or not answer.json():
                        strange.append(answer.status_code)

        with ThreadPoolExecutor(4) as pool:
            for number in range(4):
                pool.submit(knock, number)
            until(lambda: up.output().count("event=sign-in") > 5)
            started = time.monotonic()
            status = up.stop(10)
            stop.set()
        assert status == 0
        assert time.monotonic() - started < 10
        assert strange == []
        assert "Traceback" not in up.output()


def test_demo(tmp_path):
    """--demo prints accounts that sign in, has a cookie name of its own, and leaves nothing behind."""
    with harness.proxgate("--demo") as up:
        output = up.output()
        assert re.search(r"root@pam +password demo", output)
        with up.client(headers=PAGE) as jar:
            assert sign_in(jar).status_code == 200
            assert "proxgate-demo" in jar.cookies
            assert "proxgate" not in jar.cookies
            assert "Demo" in jar.get("/").text
        children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()
        assert children
        assert up.stop() == 0
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


async def test_demo_of_several_nodes(tmp_path, monkeypatch):
    """--demo has as many nodes as the machine has addresses for, each of them trusted, up to three."""
    monkeypatch.chdir(tmp_path)
    async with AsyncExitStack() as stack:
        settings = await _demo(load_settings({"demo": True}), stack, lambda _: None)
        assert [address.host for address in settings.addresses] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        for address in settings.addresses:
            async with Proxmox([address], settings.trust) as proxmox:
                assert await proxmox.realms()


@pytest.mark.parametrize(("wanted", "guests", "nodes"), [({}, 36, 3), ({"--demo-guests": "2"}, 2, 3),
                                                         ({"--demo-guests": "1000"}, 1_000, 4)])  # fmt: skip
async def test_demo_of_a_size(monkeypatch, tmp_path, wanted, guests, nodes):
    """--demo-guests sets how many guests the demo has, on nodes enough for them, and the demo says where it listens."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    async with AsyncExitStack() as stack:
        settings = await _demo(load_settings({"--demo": True, **wanted}), stack, said.append)
        async with Proxmox(settings.addresses, settings.trust) as proxmox:
            root = proxmox.signed_in(await proxmox.sign_in("root@pam", SecretStr("demo")))
            seen = await root.resources()
    assert (len(seen.guests), len(seen.nodes)) == (guests, nodes)
    assert f"https://{settings.addresses[0]}." in said[0]


def test_demo_where_loopback_is_one_address(monkeypatch):
    """A machine that has 127.0.0.1 alone, as macOS, gets one node, and one with all that are asked for gets these."""
    assert _loopback_addresses(3) == 3

    class Narrow(socket.socket):
        def bind(self, place):
            if place[0] != "127.0.0.1":
                raise OSError(errno.EADDRNOTAVAIL, "Can't assign requested address")
            super().bind(place)

    monkeypatch.setattr("ui.server.socket.socket", Narrow)
    assert _loopback_addresses(3) == 1


def test_a_shared_store_without_a_secret_is_told(valkey_url, sim):
    """With a store that replicas may share and no secret of its own the start says what that means for them."""
    with harness.proxgate(REDIS_URL=valkey_url, STORE_PREFIX="alone:", **harness.for_proxmox(sim)) as up:
        assert "SESSION_SECRET is not set" in up.output()
