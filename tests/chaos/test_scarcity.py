"""Little to work with: no byte on the disk, a few files, nobody who reads the log. Nothing opens, all comes back."""

import contextlib
import os
import signal
import socket
import ssl
import time

import httpx
import pytest

from services.certificate import kept_certificate
from tests import harness
from tests.chaos.program import ALICE, ROOT, assert_no_trace, browser, program, who
from tests.chaos.test_refusals import filled, small_disk
from tests.harness import PAGE, sign_in

FILES, SHAKES = 64, 5

FEW_FILES = f"""
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
"""

LOG_ON_DISK = """
import os

log = os.open({!r}, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
for out in (1, 2):
    os.dup2(log, out)
"""

LOG_IN_PIPE = """
import os
import signal

reader, writer = os.pipe()
for out in (1, 2):
    os.dup2(writer, out)
os.close(writer)
signal.signal(signal.SIGUSR2, lambda *_: os.close(reader))
"""


def _nobody_gets_in(up, root):
    """No stranger, nobody with a wrong password; who is signed in is that or nobody. The program lives."""
    with up.client() as stranger:
        assert stranger.get("/whoami").status_code in {401, 503}
        assert stranger.get("/", headers=PAGE).status_code in {303, 503}
        assert sign_in(stranger, password="wrong").status_code in {401, 429, 502, 503}
        assert "proxgate" not in stranger.cookies
    assert who(root) in {ROOT.userid, 503}
    assert up.process.poll() is None


def _all_is_well(up, root):
    with up.client() as client:
        harness.until(lambda: client.get("/readyz").status_code == 200, 40)
        harness.until(lambda: sign_in(client, ALICE.username, ALICE.realm).status_code == 200, 10)
        assert who(client) == ALICE.userid
    assert who(root) == ROOT.userid


def test_no_disk(sim, tmp_path):
    """With no byte left for the embedded store and for the log nobody gets in, and with room again all goes on."""
    with small_disk(tmp_path / "disk") as disk:
        log = LOG_ON_DISK.format(str(disk / "log"))
        with program("", sim, before=log, PROXGATE_DATA_DIR=str(disk / "data")) as up, browser(up) as root:
            with filled(disk), up.client() as client:
                harness.until(lambda: sign_in(client, ALICE.username, ALICE.realm).status_code == 503, 10)
                for _ in range(20):
                    _nobody_gets_in(up, root)
            _all_is_well(up, root)
            assert "Traceback" not in (disk / "log").read_text()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_few_files(valkey_url, sim, tmp_path, scheme):
    """With sixty-four files, and idle connections that want them all, nobody gets in that should not, the log stays
    short, and all goes on when they are gone."""
    settings = _tls(tmp_path) if scheme == "https" else {}
    with (
        program(valkey_url, sim, before=FEW_FILES, STORE_PREFIX=f"files-{scheme}:", scheme=scheme, **settings) as up,
        contextlib.ExitStack() as stack,
    ):
        up.tls = ssl.create_default_context(cafile=settings.get("TLS_CERT_FILE"))
        root = stack.enter_context(up.client(limits=httpx.Limits(keepalive_expiry=60)))
        assert sign_in(root).status_code == 200
        idle = [socket.create_connection(("localhost", up.port)) for _ in range(2 * FILES)]
        if scheme == "https":  # the first few shake hands, and then say nothing either
            idle[:SHAKES] = [up.tls.wrap_socket(one, server_hostname="localhost") for one in idle[:SHAKES]]
        for one in idle:
            stack.enter_context(one)
        with harness.admin(valkey_url) as admin:  # so that new ones are needed
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert max(_files_of(up) for _ in range(20)) < FILES
        assert who(root) in {ROOT.userid, 503}
        for one in idle:
            one.close()
        harness.wait_until_up(up)
        _nobody_gets_in(up, root)
        _all_is_well(up, root)
        assert_no_trace(up)
        assert len(up.output()) < 20_000


def _tls(place):
    """A certificate of our own, and the settings that have it served."""
    own = kept_certificate(place / "tls", "localhost")
    return {"TLS_CERT_FILE": str(own.certificate), "TLS_KEY_FILE": str(own.key)}


def _files_of(up):
    """How many the process has open, a moment later."""
    time.sleep(0.1)
    return len(os.listdir(f"/proc/{up.process.pid}/fd"))


def test_nobody_reads_the_log(valkey_url, sim):
    """With its output a pipe that nobody holds the other end of, all goes on as before."""
    with program(valkey_url, sim, before=LOG_IN_PIPE, STORE_PREFIX="pipe:") as up, browser(up) as root:
        up.process.send_signal(signal.SIGUSR2)
        with up.client() as client:
            assert sign_in(client, password="wrong").status_code == 401
        _nobody_gets_in(up, root)
        _all_is_well(up, root)
