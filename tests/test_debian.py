"""`deploy/debian.sh` in a Debian of its own, which debootstrap makes in a directory; it takes minutes and a network."""

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests import harness
from tests.fronts import DEPLOY
from tests.programs import needed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

BASE = "systemd,ca-certificates"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """A Debian 12 with nothing but its base, which trusts whom this machine trusts."""
    if os.geteuid():
        pytest.skip("only root makes a Debian")
    root = tmp_path_factory.mktemp("debian")
    root.chmod(0o755)  # its / is everybody's
    command = [needed("debootstrap"), "--variant=minbase", f"--include={BASE}", "bookworm", str(root)]
    subprocess.run(command, check=True, capture_output=True)
    (root / "dev/shm").chmod(0o1777)  # where semaphores lie, in a system that runs
    shutil.copy(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
    yield root
    shutil.rmtree(root, ignore_errors=True)


def set_up(root, **settings):
    """Give the script for that directory."""
    script = ["sh", str(DEPLOY / "debian.sh")]
    environment = os.environ | {"DESTDIR": str(root), "LC_ALL": "C"} | settings
    return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)


def test_a_service_is_set_up(debian):
    """It has the program, settings that are its own, and the unit enabled; given again it keeps the settings."""
    done = set_up(debian, PROXMOX_HOST="192.0.2.10")
    assert done.returncode == 0, done.stderr
    settings = debian / "etc/proxgate/.env"
    assert settings.read_text() == "PROXMOX_HOST=192.0.2.10\nPROXGATE_HOST=0.0.0.0\n"
    group = subprocess.run(
        ["chroot", str(debian), "stat", "-c", "%U %G %a", "/etc/proxgate/.env"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert group == "root proxgate 640\n"
    assert (debian / "etc/systemd/system/multi-user.target.wants/proxgate.service").is_symlink()
    verify = ["chroot", str(debian), "systemd-analyze", "verify", "proxgate.service"]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((debian / "tmp").iterdir()) == []
    settings.write_text("PROXMOX_HOST=192.0.2.11\n")
    shutil.rmtree(debian / "opt/proxgate/lib")  # as a newer Debian leaves it, with another Python
    done = set_up(debian)
    assert done.returncode == 0, done.stderr
    assert settings.read_text() == "PROXMOX_HOST=192.0.2.11\n"


def test_it_serves(debian, sim, tmp_path):
    """As its own account it runs there, with nothing of this machine's, and the command means it: somebody signs in."""
    port = harness.free_port()
    settings = {"PROXGATE_HOST": "0.0.0.0", "PROXGATE_PORT": port, **harness.for_proxmox(sim)}
    (debian / "etc/proxgate/.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    inside = ["chroot", str(debian)]
    own = ["install", "-d", "-m", "0700", "-o", "proxgate", "/var/lib/proxgate"]  # as StateDirectory does
    subprocess.run([*inside, *own], check=True)
    log = tmp_path / "log"
    with log.open("w") as out:  # without a verb the command is what the unit starts, as whom and with what it does
        process = subprocess.Popen([*inside, "/usr/local/bin/proxgate"], stdout=out, stderr=subprocess.STDOUT)
    up = harness.Running(process, port, log, "https")
    try:
        harness.until(lambda: "Proxgate is at" in up.output() or process.poll() is not None, 60)
        with httpx.Client(base_url=up.url, verify=False, trust_env=False, timeout=15) as client:
            assert harness.sign_in(client).status_code == 200
            assert client.get("/", headers=harness.PAGE).status_code == 200
        listed = [*inside, "/usr/local/bin/proxgate", "sessions", "list"]
        assert "root@pam" in subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    finally:
        assert up.stop(20) == 0, up.output()
