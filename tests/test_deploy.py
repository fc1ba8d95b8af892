"""What `deploy/` ships for systemd, containers and Debian: run where this machine can, held to its form where not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from services.settings import Settings
from tests import harness
from tests.fronts import DEPLOY
from tests.programs import needed

UNIT = DEPLOY / "proxgate.service"
ROOT = DEPLOY.parent
LOOSEST = 15
"""In tenths; systemd-analyze calls 4.9 and less "OK"."""

LOCKED = '''
"""Proxgate as the service runs it: nothing that was written can become code."""

import ctypes

PR_SET_MDWE, REFUSE = 65, 1
prctl = getattr(ctypes.CDLL(None), "prctl", lambda *_: 1)
if prctl(PR_SET_MDWE, REFUSE, 0, 0, 0):  # Linux before 6.3, or another system
    raise SystemExit(77)

from ui.__main__ import main

main()
'''


def test_the_service_is_locked_in():
    """systemd-analyze rates the unit "OK" or better."""
    analyze = [needed("systemd-analyze"), "security", "--offline=true", f"--threshold={LOOSEST}", str(UNIT)]
    done = subprocess.run(analyze, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:]
    assert re.search(r"exposure level for proxgate\.service: \d\.\d OK", done.stdout), done.stdout[-200:]


def test_systemd_understands_the_unit():
    """There is nothing in it that systemd does not know; only the program is not where it says, here."""
    verify = [needed("systemd-analyze"), "verify", str(UNIT)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    others = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert others == []


def test_it_runs_where_nothing_written_becomes_code(sim, tmp_path):
    """MemoryDenyWriteExecute, which systemd gives it, keeps it from nothing."""
    script = tmp_path / "locked.py"
    script.write_text(LOCKED)
    port = harness.free_port()
    settings = {"PROXGATE_DATA_DIR": str(tmp_path / "data"), **harness.for_proxmox(sim)}  # its own store is locked, too
    with (tmp_path / "log").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(script), "--port", str(port)],
            cwd=tmp_path, env=harness.environment(**settings), stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    up = harness.Running(process, port, tmp_path / "log")
    try:
        harness.until(lambda: "Proxgate is at" in up.output() or process.poll() is not None, 30)
        if process.poll() == 77 and os.environ.get("CI") != "true":
            pytest.skip("this system cannot refuse it")
        with up.client() as client:
            assert harness.sign_in(client).status_code == 200
            assert client.get("/", headers=harness.PAGE).status_code == 200
        assert up.stop(20) == 0
    finally:
        process.kill()


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_the_container_knows_whether_it_lives(scheme, valkey_url, sim, tmp_path):
    """Its check passes by whichever scheme is served, and fails when nobody answers."""

    def check(port):
        command = [sys.executable, str(DEPLOY / "alive.py")]
        return subprocess.run(command, env=harness.environment(PROXGATE_PORT=str(port)), check=False).returncode

    arguments = ["--host", "0.0.0.0"] if scheme == "https" else []
    settings = {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, **harness.for_proxmox(sim)}
    with harness.proxgate(*arguments, scheme=scheme, **settings) as up:
        assert check(up.port) == 0
    assert check(up.port) == 1


def instructions() -> list[tuple[str, str]]:
    """Of the Containerfile, each with what stands behind it."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_file():
    """It has no root, a health check without curl, and copies what the repository has."""
    found = instructions()
    known = {"FROM", "COPY", "RUN", "ENV", "WORKDIR", "VOLUME", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL"}
    assert {name for name, _ in found} == known | {"ENTRYPOINT"}
    assert [rest for name, rest in found if name == "USER"] == ["10001:10001"]
    [check] = [rest for name, rest in found if name == "HEALTHCHECK"]
    assert "/opt/proxgate/alive.py" in check
    assert "curl" not in check
    for name, rest in found:
        if name == "COPY" and "--from" not in rest:
            assert all((ROOT / part).exists() for part in rest.split()[:-1]), rest


def test_the_compose_file():
    """Both services are without root, capabilities and a writable root; the store is reached by Proxgate alone."""
    composed = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    services = composed["services"]
    assert set(services) == {"proxgate", "valkey"}
    for one in services.values():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
    assert services["valkey"]["networks"] == ["store"]
    assert composed["networks"]["store"] == {"internal": True}
    assert "ports" not in services["valkey"]
    assert services["proxgate"]["ports"] == ["127.0.0.1:8080:8080"]
    assert (DEPLOY / services["proxgate"]["build"]["context"] / services["proxgate"]["build"]["dockerfile"]).is_file()
    assert set(services["proxgate"]["environment"]) <= {one.validation_alias for one in Settings.model_fields.values()}
    volumes = {volume.partition(":")[0] for one in services.values() for volume in one["volumes"]}
    assert volumes == set(composed["volumes"])


def test_traefiks_file():
    """One router for one service at Proxgate's own root; with several servers a page and its socket meet at one."""
    http = yaml.safe_load((DEPLOY / "traefik.yml").read_text())["http"]
    [router] = http["routers"].values()
    [(name, service)] = http["services"].items()
    assert router["service"] == name
    assert router["middlewares"] == [*http["middlewares"]]
    [only] = http["middlewares"].values()
    assert only == {"headers": {"customRequestHeaders": {"X-Request-ID": ""}}}
    assert service["loadBalancer"]["sticky"]["cookie"]["name"].startswith("__Host-")
    assert service["loadBalancer"]["healthCheck"]["path"] == "/healthz"


def test_the_script_for_debian_is_a_shell_s(tmp_path):
    """Without the one setting that it needs it says so, and changes nothing."""
    script = str(DEPLOY / "debian.sh")
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    (tmp_path / "etc").mkdir()
    without = harness.environment(DESTDIR=str(tmp_path))
    done = subprocess.run(["sh", script], env=without, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if os.geteuid() else 2)
    assert ("as root" in done.stderr) or ("PROXMOX_HOST" in done.stderr)
    assert [path.name for path in tmp_path.rglob("*")] == ["etc"]


def test_all_of_it_is_told_of():
    """The README leads to every file that people take."""
    readme = Path(ROOT / "README.md").read_text()
    for file in DEPLOY.iterdir():
        if file.name not in {"alive.py", "proxgate"}:
            assert f"(deploy/{file.name})" in readme, file.name
