"""`proxgate check` as a doctor: what is wrong with an address, told apart, each with its mend."""

import asyncio
import contextlib
import re
import socket
import ssl
import threading

import pytest

from services.anchors import Anchors
from services.certificate import self_signed
from services.keys import KeyRing
from services.proxmox import Anchor
from services.proxmox.trust import CLUSTER
from services.settings import load_settings
from services.simulator.simulator import Fault
from tests import harness
from tests.harness import SECRET
from ui import check as doctor
from ui.server import open_store


@pytest.fixture(scope="module")
def pve():
    """A simulated Proxmox whose clock is right."""
    with harness.simulator(speed=1.0, doors=2) as running:
        yield running


@pytest.fixture(autouse=True)
def well(pve):
    """It is well again for the next test."""
    yield
    pve.fault, pve.skew = Fault(), 0.0
    pve.faults.clear()
    for address in pve.addresses:
        pve.renew_certificate(address)


@pytest.fixture
def examine(valkey_url, tmp_path, monkeypatch):
    """Runs the doctor with these settings: exit status and lines. `kept` is what was trusted at first use."""

    def examine(host, kept=None, **settings):
        common = {
            "PROXMOX_HOST": str(host), "REDIS_URL": valkey_url, "SESSION_SECRET": SECRET,
            "STORE_PREFIX": f"{tmp_path.name}:", "PROXGATE_DATA_DIR": str(tmp_path / "data"),
        }  # fmt: skip
        for name, value in (common | settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        lines = []
        read = load_settings()
        asyncio.run(_keep(read, kept or {}))
        return asyncio.run(doctor.check(read, lines.append)), "\n".join(lines)

    return examine


async def _keep(settings, kept):
    async with open_store(settings) as store:
        for place, anchor in kept.items():
            await Anchors(store, KeyRing(settings.session_secret)).keep(str(place), anchor)


@contextlib.contextmanager
def listening(answer):
    """A port where every connection is handed to `answer`, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def website(tmp_path):
    """Serves TLS and answers every request with this."""
    pem, key = self_signed(["127.0.0.1"])
    (tmp_path / "both.pem").write_text(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")

    def serving(head):
        def answer(connection):
            with context.wrap_socket(connection, server_side=True) as tls:
                if tls.recv(65536):
                    tls.sendall(head)

        return listening(answer)

    return serving


def verdicts(told):
    """The first words of each line that is a verdict: "ok store" and so on."""
    return re.findall(r"(?m)^(ok|FAIL) +(\w+)", told)


# How it is trusted


def test_pinned(examine, pve):
    """A certificate in PROXMOX_FINGERPRINT is trusted by it, and everything else is well."""
    status, told = examine(pve.address, PROXMOX_FINGERPRINT=pve.fingerprint)
    assert status == 0, told
    wanted = ["session", "store", "realms", "certificate", "daemon", "clock"]
    assert verdicts(told) == [("ok", word) for word in wanted]
    assert f"PROXMOX_FINGERPRINT: {pve.fingerprint}" in told


def test_trusted_by_the_ca_file(examine, pve, tmp_path):
    """A certificate that PROXMOX_CA_FILE vouches for is told as such, and no fingerprint is printed."""
    (tmp_path / "ca.pem").write_text(pve.ca_pem)
    status, told = examine(pve.address, PROXMOX_CA_FILE=str(tmp_path / "ca.pem"))
    assert (status, "by the authority in PROXMOX_CA_FILE" in told) == (0, True)
    assert pve.fingerprint not in told


def test_trusted_at_first_use(examine, pve):
    """A certificate or an authority that was trusted at first use is told as such."""
    status, told = examine(pve.address, {pve.address: Anchor(fingerprint=pve.fingerprint)})
    assert (status, f"trusted at first use: {pve.fingerprint}" in told) == (0, True)
    authority = Anchor(fingerprint=pve.ca_fingerprint, ca_pem=pve.ca_pem)
    status, told = examine(pve.addresses[1], {CLUSTER: authority})
    assert (status, "by the cluster's authority" in told) == (0, True)


def test_not_checked(examine, pve):
    """PROXMOX_VERIFY_TLS=false is told for what it is."""
    status, told = examine(pve.address, PROXMOX_VERIFY_TLS="false")
    assert (status, "not checked" in told) == (0, True)


# How it is not


def test_unknown(examine, pve):
    """A certificate that nobody vouches for is shown with the three mends, and no request was sent there."""
    received = len(pve.requests)
    status, told = examine(pve.address)
    assert status == 1
    for mend in (f"proxgate trust {pve.address}", f"PROXMOX_FINGERPRINT={pve.fingerprint}", "PROXMOX_CA_FILE="):
        assert mend in told
    assert len(pve.requests) == received


def test_changed(examine, pve):
    """A certificate that changed is shown beside the old one, with the one mend that fits what decides."""
    before = pve.fingerprint
    pve.replace_certificate()
    status, told = examine(pve.address, {pve.address: Anchor(fingerprint=before)})
    assert status == 1
    assert before in told
    assert pve.fingerprint in told
    assert f"proxgate trust {pve.address}" in told
    assert "PROXMOX_FINGERPRINT" not in told
    status, told = examine(pve.address, PROXMOX_FINGERPRINT=before)
    assert status == 1
    assert before in told
    assert f"PROXMOX_FINGERPRINT={pve.fingerprint}" in told
    assert "proxgate trust" not in told


def test_expired(examine, pve):
    """An expired certificate is told as such, with the command that renews it and none that trusts it."""
    pve.replace_certificate(expired=True)
    status, told = examine(pve.address, {pve.address: Anchor(fingerprint=pve.fingerprint)})
    assert status == 1
    assert "out of its dates" in told
    assert "pvecm updatecerts" in told
    assert "proxgate trust" not in told


def test_wrong_name(examine, pve, tmp_path):
    """A certificate of a known authority for other names is told with these names."""
    (tmp_path / "ca.pem").write_text(pve.ca_pem)
    with relay_to(pve.address) as beside:
        status, told = examine(beside, PROXMOX_CA_FILE=str(tmp_path / "ca.pem"))
    assert status == 1
    assert "made for other names" in told
    assert "localhost" in told
    assert "PROXMOX_CA_FILE=" not in told


def test_not_of_the_authority(examine, pve):
    """A certificate that the cluster's trusted authority did not sign is not said to have been that authority."""
    pve.replace_certificate()
    status, told = examine(pve.address, {CLUSTER: Anchor(fingerprint=pve.ca_fingerprint, ca_pem=pve.ca_pem)})
    assert status == 1
    assert "not signed by the trusted authority" in told
    assert "changed" not in told
    for words in (pve.ca_fingerprint, pve.fingerprint, f"proxgate trust {pve.address}"):
        assert words in told


@contextlib.contextmanager
def relay_to(address):
    """The same server at an address that its certificate does not name."""

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while more := await reader.read(65536):
                writer.write(more)
        writer.close()

    async def relay(reader, writer):
        there = await asyncio.open_connection(address.host, address.port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    class Relay:
        async def __aenter__(self):
            self.server = await asyncio.start_server(relay, "127.0.0.77", 0)
            return f"127.0.0.77:{self.server.sockets[0].getsockname()[1]}"

        async def __aexit__(self, *_):
            self.server.close()

    with harness.InThread(Relay()) as place:
        yield place


# Why no answer comes


def test_name_unknown(examine):
    """A name that is not known is told as such."""
    status, told = examine("pve.invalid")
    assert (status, "the name pve.invalid is not known" in told) == (1, True)


def test_refused(examine):
    """A port where nobody listens is told as such, with the command that starts Proxmox's proxy."""
    status, told = examine(f"127.0.0.1:{harness.free_port()}")
    assert (status, "refuses the connection" in told, "systemctl restart pveproxy" in told) == (1, True, True)


def test_silent(examine, monkeypatch):
    """An address that swallows everything is told as such."""
    monkeypatch.setattr("services.vouching._SECONDS", 0.3)
    monkeypatch.setattr("services.proxmox.line.CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        place = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(place)
        status, told = examine(f"127.0.0.1:{place[1]}")
        for one in waiting:
            one.close()
    assert (status, "no answer: is it on" in told) == (1, True)


def test_hangs(examine, pve, monkeypatch):
    """A server that shows its certificate and then answers nothing is told as such."""
    monkeypatch.setattr("ui.check.DEADLINE", 0.5)
    pve.fault = Fault(hang=True)
    status, told = examine(pve.address, PROXMOX_FINGERPRINT=pve.fingerprint)
    assert (status, "answers nothing" in told) == (1, True)


def test_no_tls(examine):
    """Something that speaks no TLS is told as such."""
    with listening(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" * 20)) as place:
        status, told = examine(place)
    assert (status, "speaks no TLS" in told) == (1, True)


@pytest.mark.parametrize("head", ["200 OK", "404 Not Found", "401 Unauthorized", "403 Forbidden", "302 Found"])
def test_not_proxmox(examine, website, head):
    """A website that is not Proxmox VE is told as such."""
    answer = f"HTTP/1.1 {head}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p>x".encode()
    with website(answer) as place:
        status, told = examine(place, PROXMOX_VERIFY_TLS="false")
    assert (status, "not Proxmox VE" in told) == (1, True), told


@pytest.mark.parametrize("status", [595, 596])
@pytest.mark.parametrize("path", ["", "/access/openid"])
def test_daemon_down(examine, pve, path, status):
    """Proxmox's proxy without the daemon behind it is told as such, also where the proxy answers for realms itself."""
    pve.fault = Fault(path=path, status=status)
    exit_status, told = examine(pve.address, PROXMOX_FINGERPRINT=pve.fingerprint)
    assert exit_status == 1
    assert "systemctl restart pvedaemon" in told
    assert str(status) in told
    assert (("ok", "realms") in verdicts(told)) is bool(path)


def test_no_trace_of_the_daemon_test(examine, pve):
    """To test the daemon is no sign-in, and leaves no provider waiting."""
    pve.requests.clear()
    examine(pve.address, PROXMOX_FINGERPRINT=pve.fingerprint)
    asked = {(one.method, one.path) for one in pve.requests}
    assert asked == {("GET", "/access/domains"), ("POST", "/access/openid/auth-url")}


@pytest.mark.parametrize(("skew", "status", "word"), [(-600, 1, "behind"), (600, 1, "ahead of"), (-200, 0, "differs")])
def test_clock(examine, pve, skew, status, word):
    """A clock more than five minutes off is told, with which way it is."""
    pve.skew = skew
    exit_status, told = examine(pve.address, PROXMOX_FINGERPRINT=pve.fingerprint)
    assert exit_status == status
    assert re.search(rf"(?m)^{'FAIL' if status else 'ok'} +clock.*\b{word}\b", told)
    assert "tickets" not in told  # Proxmox judges its own by its own clock
    assert "among each other" not in told


@pytest.mark.parametrize(("skew", "status"), [(200, 1), (-100, 0)])
def test_clocks_among_each_other(examine, pve, skew, status):
    """Of several addresses the clocks are compared too: one may refuse the other's tickets though ours lies between."""
    pve.skew = -200
    with harness.simulator(speed=1.0) as other:
        other.skew = skew
        pins = f"{pve.fingerprint},{other.fingerprint}"
        exit_status, told = examine(f"{pve.address},{other.address}", PROXMOX_FINGERPRINT=pins)
        ahead = f"{other.address} is 400 seconds ahead of {pve.address}"
    assert exit_status == status
    assert re.search(rf"(?m)^{'FAIL' if status else 'ok'} +clocks among each other", told)
    assert (ahead in re.sub(r"\b(399|401)\b", "400", told)) is bool(status)
    assert verdicts(told).count(("ok", "clock")) == 2


# Several


def test_each_address(examine, pve):
    """Of several addresses each is examined, and one that fails is enough."""
    closed = f"127.0.0.1:{harness.free_port()}"
    pins = ",".join(pve.fingerprints.values())
    status, told = examine(f"{pve.address},{closed},{pve.addresses[1]}", PROXMOX_FINGERPRINT=pins)
    assert status == 1
    found = re.findall(r"(?m)^(\w+) +realms of (\S+):", told)
    assert found == [("ok", str(pve.address)), ("FAIL", closed), ("ok", str(pve.addresses[1]))]


def test_without_the_store(examine, pve):
    """With the store down the rest is examined all the same."""
    lines = []

    async def examine_without():
        return await doctor.check(load_settings(), lines.append)

    examine(pve.address, PROXMOX_FINGERPRINT=pve.fingerprint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", f"redis://127.0.0.1:{harness.free_port()}")
        assert asyncio.run(examine_without()) == 1
    assert verdicts("\n".join(lines))[:3] == [("ok", "session"), ("FAIL", "store"), ("ok", "realms")]
