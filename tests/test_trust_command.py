"""`proxgate trust`: against a real Proxmox of the simulator's, with the store that a running server reads."""

import asyncio
import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from services.errors import SettingsError, StoreUnavailable
from services.proxmox.trust import CLUSTER
from services.settings import load_settings
from services.simulator import Simulator
from tests import harness
from tests.harness import SECRET, sign_in, until
from ui.cli import _parser, run
from ui.first_contact import FirstContact
from ui.server import open_parts
from ui.trust_command import Wish, trust

pytestmark = pytest.mark.slow

OTHER = ":".join(["AB"] * 32)


class Desk:
    """An administrator's desk: the settings, the verb in this process, and what the store holds."""

    def __init__(self, settings, capsys, patch):
        self.settings, self.capsys, self.patch = settings, capsys, patch

    def trust(self, *arguments, typed=None):
        """Exit status and all that was printed; `typed` are lines on a standard input that is no terminal."""
        options = _parser().parse_args(["trust", *arguments])
        wish = Wish(
            server=options.server, ca=options.ca, yes=options.yes, forget=options.forget, listing=options.listing
        )
        self.patch.setattr(sys, "stdin", io.StringIO(typed or ""))
        status = asyncio.run(trust(wish, load_settings(), print))
        told = self.capsys.readouterr()
        return status, told.out + told.err

    def kept(self):
        """What is trusted, by address."""

        async def read():
            async with open_parts(load_settings(), share=True) as parts:
                return {place: anchor.fingerprint for place, anchor in (await parts.anchors.read()).items()}

        return asyncio.run(read())


@pytest.fixture
def pve():
    """A simulated Proxmox of two nodes, of the test's own."""
    with harness.simulator(doors=2, idle=0.2) as running:
        yield running


@pytest.fixture
def desk(pve, valkey_url, tmp_path, monkeypatch, capsys):
    """A desk with PROXMOX_HOST set to the first node, and nothing trusted."""
    settings = {
        "PROXMOX_HOST": str(pve.address), "REDIS_URL": valkey_url, "SESSION_SECRET": SECRET,
        "STORE_PREFIX": f"{tmp_path.name}:", "PROXGATE_DATA_DIR": str(tmp_path / "data"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Desk(settings, capsys, monkeypatch)


# One certificate


def test_yes(desk, pve):
    """--yes with the fingerprint that the server shows trusts it; a second time there is nothing to do."""
    status, told = desk.trust(str(pve.address), "--yes", pve.fingerprint.lower().replace(":", ""))
    assert status == 0
    assert pve.fingerprint in told
    assert desk.kept() == {str(pve.address): pve.fingerprint}
    status, told = desk.trust(str(pve.address))
    assert (status, "already" in told) == (0, True)


def test_yes_of_another(desk, pve):
    """--yes with another fingerprint trusts nothing, and shows the one seen."""
    status, told = desk.trust("--yes", OTHER)
    assert status == 1
    assert pve.fingerprint in told
    assert desk.kept() == {}


def test_no_terminal(desk, pve):
    """Without a terminal and --yes nothing is trusted, whatever stands on the standard input."""
    status, told = desk.trust(typed="yes\n")
    assert status == 1
    assert f"--yes {pve.fingerprint}" in told
    assert desk.kept() == {}


@pytest.mark.parametrize(("typed", "status"), [("yes\n", 0), ("y\n", 1), ("\x04", 1), ("\x03", 1)])
def test_terminal(desk, pve, typed, status):
    """On a terminal only "yes" counts; the end of the input and Ctrl-C are a no."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "ui", "trust"]
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=harness.environment(**desk.settings),
        preexec_fn=_own_tty,  # noqa: PLW1509  Ctrl-C needs a controlling terminal, and nothing else gives one
    )  # fmt: skip
    os.close(child)
    seen = b""
    while b"Type yes:" not in seen:
        seen += os.read(parent, 4096)
    time.sleep(0.3)  # Python loses a Ctrl-C between the prompt and its reading
    os.write(parent, typed.encode())
    with contextlib.suppress(OSError):  # EIO: the other end has gone
        while more := os.read(parent, 4096):
            seen += more
    os.close(parent)
    assert process.wait(10) == status, seen
    assert pve.fingerprint.encode() in seen
    assert b"Traceback" not in seen
    assert desk.kept() == ({str(pve.address): pve.fingerprint} if status == 0 else {})


def _own_tty():
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_changed(desk, pve):
    """A changed certificate is shown beside the one trusted so far, and takes its place once it is accepted."""
    before = pve.fingerprint
    desk.trust("--yes", before)
    pve.replace_certificate()
    status, told = desk.trust()
    assert status == 1
    assert before in told
    assert pve.fingerprint in told
    assert desk.kept() == {str(pve.address): before}
    assert desk.trust("--yes", pve.fingerprint)[0] == 0
    assert desk.kept() == {str(pve.address): pve.fingerprint}


def test_expired(desk, pve):
    """An expired certificate is not trusted, however it is confirmed."""
    pve.replace_certificate(expired=True)
    status, told = desk.trust("--yes", pve.fingerprint)
    assert status == 1
    assert "out of its dates" in told
    assert desk.kept() == {}


def test_trusted_by_the_ca_file(desk, pve, tmp_path, monkeypatch):
    """A certificate that PROXMOX_CA_FILE vouches for needs nothing, and an older anchor in its way is taken away."""
    pve.replace_certificate()
    old = pve.fingerprint
    desk.trust("--yes", old)
    pve.renew_certificate()
    (tmp_path / "ca.pem").write_text(pve.ca_pem)
    monkeypatch.setenv("PROXMOX_CA_FILE", str(tmp_path / "ca.pem"))
    status, told = desk.trust("--yes", pve.fingerprint)
    assert (status, old in told) == (0, True)
    assert desk.kept() == {}
    for more in ((), ("--ca",)):
        status, told = desk.trust(*more)
        assert (status, "nothing to do" in told) == (0, True)


def test_which_server(desk, pve, monkeypatch):
    """A name that is not in PROXMOX_HOST is refused, a member's address is taken, and several servers need a name."""
    status, told = desk.trust("other.example", "--yes", OTHER)
    assert status == 1
    assert "PROXMOX_HOST" in told
    member = pve.addresses[1]
    assert desk.trust(str(member), "--yes", pve.fingerprints[member])[0] == 0
    assert desk.kept() == {str(member): pve.fingerprints[member]}
    monkeypatch.setenv("PROXMOX_HOST", "one,two")
    with pytest.raises(SettingsError, match="HOST"):
        desk.trust()
    monkeypatch.setenv("PROXMOX_HOST", "")
    assert desk.trust(f"localhost:{pve.address.port}", "--yes", pve.fingerprint)[0] == 0


def test_nobody_there(desk, monkeypatch):
    """A server that does not answer is one line that says why, and status 1."""
    monkeypatch.setenv("PROXMOX_HOST", f"127.0.0.1:{harness.free_port()}")
    status, told = desk.trust()
    assert status == 1
    assert "refuses the connection" in told


@pytest.mark.parametrize(
    ("setting", "value"), [("PROXMOX_FINGERPRINT", OTHER), ("PROXMOX_VERIFY_TLS", "false"), ("--yes", "AB:CD")]
)
def test_wrong_setting(desk, monkeypatch, capsys, setting, value):
    """Where a setting decides alone, or is wrong, that is one line that names it, and status 2."""
    more = [setting, value] if setting == "--yes" else []
    monkeypatch.setenv(setting, value)
    monkeypatch.setattr("ui.cli.logs.set_up", lambda *_: None)
    assert run(["trust", *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"proxgate: {setting}: ")


def test_list_and_forget(desk, pve):
    """--list shows what is trusted, --forget takes it away, and forgetting nothing is status 1."""
    desk.trust("--yes", pve.fingerprint)
    status, told = desk.trust("--list")
    assert status == 0
    assert re.search(rf"(?m)^{re.escape(str(pve.address))} +certificate +{pve.fingerprint}$", told)
    assert desk.trust("--forget", str(pve.address))[0] == 0
    assert desk.kept() == {}
    assert desk.trust("--forget", str(pve.address))[0] == 1
    assert desk.trust("--forget", CLUSTER)[0] == 1


def test_who_is_told(desk, pve, monkeypatch, caplog):
    """The log says who trusted which certificate where."""
    monkeypatch.setenv("LOGNAME", "marge")
    desk.trust("--yes", pve.fingerprint)
    assert f"marge trusted {pve.fingerprint} for {pve.address}" in caplog.text


# The cluster's authority


@pytest.mark.parametrize("account", ["root@pam\ndemo\n", "alice@pve!dashboard\n5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c\n"])
def test_authority(desk, pve, account):
    """--ca trusts what signs every node's certificate, for an account's password or a token, and frees the nodes."""
    desk.trust("--yes", pve.fingerprint)
    status, told = desk.trust("--ca", typed=account)
    assert status == 0, told
    assert pve.ca_fingerprint in told
    assert desk.kept() == {CLUSTER: pve.ca_fingerprint}
    pve.renew_certificate()
    assert "nothing to do" in desk.trust()[1]
    assert "nothing to do" in desk.trust(str(pve.addresses[1]))[1]
    assert desk.trust("--ca")[0] == 0
    assert re.search(rf"(?m)^cluster +authority +{pve.ca_fingerprint}$", desk.trust("--list")[1])


@pytest.mark.parametrize("code", ["totp", "5b6c83d2f1a04e97"])
def test_authority_with_a_second_factor(desk, pve, code):
    """--ca asks for a second factor where one is due: an authenticator's code, or a recovery key in any spelling."""
    code = pve.totp("bob@pve") if code == "totp" else code
    assert desk.trust("--ca", "--yes", pve.fingerprint, typed=f"bob@pve\ndemo\n{code}\n")[0] == 0
    assert desk.kept() == {CLUSTER: pve.ca_fingerprint}


@pytest.mark.parametrize(
    "typed", ["root@pam\nwrong\n", "root@pam\n", "", "nonsense\ndemo\n", "bob@pve\ndemo\n000000\n"]
)
def test_authority_refused(desk, pve, typed):
    """--ca without a sign-in trusts nothing, not even the certificate that was confirmed for it."""
    assert desk.trust("--ca", "--yes", pve.fingerprint, typed=typed)[0] == 1
    assert desk.kept() == {}


def test_authority_before_the_certificate(desk, pve):
    """--ca sends no password to a server whose certificate nobody has confirmed."""
    assert desk.trust("--ca", typed="root@pam\ndemo\n")[0] == 1
    assert [one.path for one in pve.requests if one.method == "POST"] == []


def test_authority_of_another_certificate(desk, pve):
    """--ca of a server whose certificate is not of the cluster's own is refused, with the way that helps."""
    pve.replace_certificate()
    status, told = desk.trust("--ca", "--yes", pve.fingerprint, typed="root@pam\ndemo\n")
    assert status == 1
    assert "not signed by its cluster's authority" in told
    assert desk.kept() == {}


def test_a_stranger_among_the_nodes(desk, pve):
    """--ca leaves a node with a certificate of another origin trusted by itself."""
    member = pve.addresses[1]
    pve.replace_certificate(member)
    desk.trust(str(member), "--yes", pve.fingerprints[member])
    assert desk.trust("--ca", "--yes", pve.fingerprint, typed="root@pam\ndemo\n")[0] == 0
    assert desk.kept() == {CLUSTER: pve.ca_fingerprint, str(member): pve.fingerprints[member]}


def test_authority_for_another_name(desk, pve, monkeypatch, tmp_path):
    """--ca is refused where the certificate of that authority was made for other names, and these are told."""
    monkeypatch.setenv("PROXMOX_HOST", f"127.0.0.9:{pve.address.port}")
    relay = subprocess.Popen([sys.executable, "-c", _RELAY, "127.0.0.9", str(pve.address.port)])
    try:
        until(lambda: _listens("127.0.0.9", pve.address.port))
        status, told = desk.trust("--ca", "--yes", pve.fingerprint, typed="root@pam\ndemo\n")
    finally:
        relay.terminate()
        relay.wait(5)
    assert status == 1
    assert "made for other names" in told
    assert "localhost" in told
    assert desk.kept() == {}


_RELAY = """
import asyncio, sys
async def pump(reader, writer):
    while more := await reader.read(65536):
        writer.write(more)
        await writer.drain()
    writer.close()
async def relay(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(relay, sys.argv[1], int(sys.argv[2])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def _listens(host, port):
    import socket

    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


# A running server


def test_a_running_server(desk, pve, tmp_path):
    """A server prints the fingerprint and a code for it, takes no sign-in, and does once the verb was run beside it."""
    settings = {name: value for name, value in desk.settings.items() if name not in {"REDIS_URL", "SESSION_SECRET"}}
    with harness.proxgate(**settings) as up, up.client() as jar:
        until(lambda: re.search(rf"{up.url.replace('localhost', '127.0.0.1')}/trust", up.output()))
        assert pve.fingerprint in up.output()
        (code,) = re.findall(r"(?m)^  ((?:\w{4}-){3}\w{4})$", up.output())
        assert f"proxgate trust {pve.address}" in up.output()
        assert not [line for line in up.output().splitlines() if code in line and line != f"  {code}"]
        assert sign_in(jar).status_code == 502
        done = subprocess.run(
            [sys.executable, "-m", "ui", "trust", "--ca", "--yes", pve.fingerprint],
            input="root@pam\ndemo\n", env=harness.environment(**settings), cwd=tmp_path,
            capture_output=True, text=True, timeout=15, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "demo" not in done.stdout + done.stderr
        assert sign_in(jar).status_code == 200
        pve.renew_certificate()
        time.sleep(0.3)  # the connections that there were have ended
        assert sign_in(jar).status_code == 200
        pve.replace_certificate()
        time.sleep(0.3)
        assert sign_in(jar).status_code == 502
        assert pve.fingerprint in up.output()
        assert pve.ca_fingerprint in up.output()


# What is offered at the first contact


@pytest.fixture
async def here():
    """A simulated Proxmox in this very loop."""
    async with Simulator(speed=30.0, idle=0.2) as running:
        yield running


@pytest.fixture
async def contact(desk, here, monkeypatch):
    """The first contact of a server with it, and the lines that it prints."""
    monkeypatch.setenv("PROXMOX_HOST", str(here.address))
    async with open_parts(load_settings()) as parts:
        lines = []
        yield FirstContact(parts, "http://here", lambda words: lines.extend(words.splitlines())), lines


def codes(lines):
    return [line.strip() for line in lines if re.fullmatch(r"  (\w{4}-){3}\w{4}", line)]


async def test_offered_when_proxmox_comes_late(contact, here, monkeypatch):
    """A Proxmox that is off at the start is offered for trust once it is there, and looked at until it is trusted."""
    monkeypatch.setattr("ui.first_contact.LOOK_SECONDS", 0.05)
    first, lines = contact
    await here.close_door(here.address)
    running = asyncio.create_task(first.run())
    await asyncio.sleep(0.5)
    (line,) = lines
    assert line.startswith("WARNING: Unable to reach the Proxmox server. It refused the connection. (PROXMOX_HOST")
    await here.open_door(here.address)
    async with asyncio.timeout(5):
        while not codes(lines):
            await asyncio.sleep(0.02)
    assert f"  {here.fingerprint}" in lines
    assert not running.done()
    await asyncio.sleep(0.5)
    (code,) = codes(lines)
    await first._parts.anchors.redeem(code)
    await asyncio.wait_for(running, 5)


async def test_offered_anew(contact, here):
    """One certificate is offered once while its code is good, and another one at the same address anew."""
    first, lines = contact
    for _ in range(2):
        assert await first.look() is False
    assert len(codes(lines)) == 1
    first._offered = dict.fromkeys(first._offered, 0.0)  # a day later
    assert await first.look() is False
    assert len(codes(lines)) == 2
    here.replace_certificate()
    assert await first.look() is False
    assert len(codes(lines)) == 3
    assert f"  {here.fingerprint}" in lines


async def test_offered_once_the_store_is_back(contact, here, monkeypatch):
    """With the store down nothing is offered, and it is at the next look."""
    first, lines = contact
    with monkeypatch.context() as patch:
        patch.setattr(first._parts.anchors, "offer", _down)
        await first.look()
    assert codes(lines) == []
    await first.look()
    assert len(codes(lines)) == 1


async def _down(*_):
    raise StoreUnavailable


async def test_one_look_where_settings_decide(desk, pve, monkeypatch):
    """With PROXMOX_FINGERPRINT set a wrong certificate is told once, and no code is offered."""
    monkeypatch.setenv("PROXMOX_FINGERPRINT", OTHER)
    lines = []
    async with open_parts(load_settings()) as parts:
        await asyncio.wait_for(FirstContact(parts, "http://here", lines.append).run(), 5)
    (line,) = lines
    assert pve.fingerprint in line
    assert "proxgate trust" not in line
