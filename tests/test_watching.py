"""What Prometheus is told, at a port of its own: of everything that happens, and of nobody by name."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.audit import Audit, Event, Kind
from services.telemetry.figures import REGISTRY
from tests import harness
from tests.harness import PAGE, sign_in
from tests.socket_client import load, tab

DASHBOARD = json.loads((Path(__file__).parent.parent / "deploy" / "grafana.json").read_text())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def port():
    """Where the figures are."""
    return harness.free_port()


@pytest.fixture(scope="module")
def watched(valkey_url, sim, port):
    """A program that is watched, and a clock by which tickets are renewed at once."""
    settings = {"STORE_PREFIX": "watched:", "METRICS_PORT": str(port), "TICKET_RENEW_SECONDS": "1"}
    with harness.proxgate(REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up:
        yield up


@pytest.fixture
def figure(watched, port):
    """One figure as it is now, by its name and labels."""

    def read(name, **labels):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    return read


def test_sign_ins(watched, figure):
    """Sign-ins are counted by what became of them, and sessions as they come and go."""
    with watched.client() as client:
        assert sign_in(client, password="wrong").status_code == 401
        assert sign_in(client, "bob", "pve").json()["next"]
        assert figure("proxgate_sessions") == 0
        assert sign_in(client).status_code == 200
        assert figure("proxgate_sign_ins_total", outcome="InvalidCredentials") == 1
        assert figure("proxgate_sign_ins_total", outcome="second-factor") == 1
        assert figure("proxgate_sign_ins_total", outcome="ok") == 1
        assert figure("proxgate_sessions") == 1
        client.post("/logout")
        assert figure("proxgate_session_ends_total", reason="signed-out") == 1
        assert figure("proxgate_sessions") == 0


def test_the_guard(watched, figure):
    """What the guard did is counted by its decision."""
    decisions = ("stranger", "anybody", "card", "session", "other-site")
    before = {decision: figure("proxgate_guard_decisions_total", decision=decision) for decision in decisions}
    with watched.client() as client:
        client.get("/", headers=PAGE)
        client.get("/healthz")
        client.get("/login", headers=PAGE)
        client.post("/logout", headers={"Origin": "https://evil.example"})
        sign_in(client)
        client.get("/sessions", headers=PAGE)
        client.post("/logout")
    for decision in decisions:
        assert figure("proxgate_guard_decisions_total", decision=decision) > before[decision], decision


def test_one_decision_a_request(watched, figure):
    """Each request is counted as one decision, whatever it asked for."""
    decisions = ("anybody", "card", "session", "stranger", "other-site", "no-tab", "full", "store-down")

    def counted():
        return sum(figure("proxgate_guard_decisions_total", decision=decision) for decision in decisions)

    with watched.client() as client:
        before, asked = counted(), [
            client.get("/login", headers=PAGE), sign_in(client, password="wrong"), sign_in(client),
            client.get("/login", headers=PAGE), client.get("/", headers=PAGE), client.get("/nope", headers=PAGE),
            client.get("/_nicegui/client/of-nobody", headers=PAGE), client.get("/assets/page.js"),
            client.get("/_nicegui_ws/socket.io/"), client.post("/logout"), client.get("/", headers=PAGE),
        ]  # fmt: skip
        assert counted() - before == len(asked)


async def test_tabs_and_renewals(watched, figure):
    """Open tabs are counted by what they show, and so are renewals, and what was asked of Proxmox and the store."""
    with watched.client() as client:
        sign_in(client)
        async with tab(watched, client, load(client, "/")) as open_tab:
            await open_tab.until(lambda: figure("proxgate_tabs", kind="page") == 1)
            assert figure("proxgate_tabs", kind="card") == 0
            await open_tab.until(lambda: figure("proxgate_renewals_total", outcome="ok") >= 1, 20)
        client.post("/logout")
    assert figure("proxgate_proxmox_seconds_count", method="POST", outcome="ok") >= 2
    assert figure("proxgate_proxmox_seconds_count", method="GET", outcome="ok") >= 2
    assert figure("proxgate_store_seconds_count", outcome="ok") >= 10
    assert figure("proxgate_store_seconds_bucket", outcome="ok", le="+Inf") >= 10


@pytest.mark.parametrize(
    ("kind", "outcome", "name", "label"),
    [
        (Kind.FAILURE, "Unreachable", "proxgate_sign_ins", {"outcome": "Unreachable"}),
        (Kind.LIMITED, "27", "proxgate_sign_ins", {"outcome": "limited"}),
        (Kind.END, "rejected", "proxgate_session_ends", {"reason": "rejected"}),
        (Kind.RENEWAL_FAILED, "BadAnswer", "proxgate_renewals", {"outcome": "BadAnswer"}),
        (Kind.ACTION, "UPID:pve1:0001:0002:0003:qmstart:100:root@pam:", "proxgate_actions", {"outcome": "begun"}),
        (Kind.ACTION, "ok", "proxgate_actions", {"outcome": "begun"}),
        (Kind.ACTION, "refused", "proxgate_actions", {"outcome": "refused"}),
        (Kind.ACTION, "PrivilegeMissing", "proxgate_actions", {"outcome": "PrivilegeMissing"}),
        (Kind.REFUSAL, "forged-cookie", "proxgate_refusals", {"outcome": "forged-cookie"}),
    ],
)
async def test_events(store, keys, kind, outcome, name, label):
    """Each event of the log is counted, by a word that is one of few."""
    before = REGISTRY.get_sample_value(f"{name}_total", label) or 0
    await Audit(store, keys).note(Event(kind=kind, principal="root@pam", outcome=outcome))
    assert REGISTRY.get_sample_value(f"{name}_total", label) == before + 1


def test_all_at_zero_from_the_start(figure):
    """What is expected stands there at zero, so that the first one is an increase."""
    assert figure("proxgate_guard_decisions_total", decision="full") == 0
    assert figure("proxgate_session_ends_total", reason="idle") == 0


def test_nobody_by_name(watched, port):
    """No account, address, guest or node is in the figures, whatever was typed."""
    with watched.client() as client:
        sign_in(client, "canary-of-a-name", "pve", "canary-of-a-password")
        client.get("/canary-of-a-path", headers=PAGE)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert "proxgate_sign_ins_total" in text
    assert "process_resident_memory_bytes" in text
    assert "process_open_fds" in text
    assert not re.search("canary|root|pve1|127[.]0", text)


def test_only_there(watched, port):
    """The figures are on loopback alone, at their own port, and not for pages whose own name points there."""
    with watched.client() as client:
        assert client.get("/metrics").status_code == 401
    place = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{place}/", trust_env=False).status_code == 404
    assert httpx.post(f"{place}/metrics", trust_env=False).status_code == 404
    for host in ("evil.example", f"evil.example:{port}", ""):
        assert httpx.get(f"{place}/metrics", headers={"Host": host}, trust_env=False).status_code in {400, 404}
    with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
        elsewhere.connect(("127.0.0.2", port))


def test_store_down(sim, tmp_path):
    """While the store is silent nobody knows how many sessions there are, and the other figures go on."""
    port = harness.free_port()
    settings = {"METRICS_PORT": str(port), "REDIS_URL": f"unix://{tmp_path}/nobody.sock", "SESSION_SECRET": "x" * 32}
    with harness.proxgate(**settings, **harness.for_proxmox(sim)) as up, up.client() as client:
        assert client.get("/login", headers=PAGE).status_code == 503
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=15).text
    assert "proxgate_sessions NaN" in text
    assert 'proxgate_guard_decisions_total{decision="store-down"}' in text
    assert 'proxgate_store_seconds_count{outcome="StoreUnavailable"}' in text


@pytest.mark.parametrize("value", ["0", "65536", "x"])
def test_wrong_port(tmp_path, value):
    """A port that is none ends the start with one line."""
    _refused(tmp_path, value)


def test_taken_port(tmp_path):
    """So does one that somebody has, and the one that people come to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _refused(tmp_path, str(taken.getsockname()[1]))
    _refused(tmp_path, "8123", PROXGATE_PORT="8123")


def _refused(directory, value, **settings):
    settings = {"METRICS_PORT": value, "PROXGATE_PORT": str(harness.free_port()), "PROXMOX_HOST": "x", **settings}
    told = subprocess.run(
        [sys.executable, "-m", "ui"], cwd=directory, env=harness.environment(**settings), capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 2
    assert "METRICS_PORT" in told.stderr
    assert "Traceback" not in told.stderr


# The dashboard for Grafana


def _expressions():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def test_dashboard_shows_what_there_is():
    """Every figure that the dashboard draws is one of ours, and every one of ours is drawn."""
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("proxgate_")}
    drawn = {name for expression in _expressions() for name in re.findall(r"proxgate_[a-z_]+", expression)}
    assert {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in drawn} == ours


def test_dashboard_fits_together():
    """Its panels have their own ids and places that do not overlap, and all ask the source that one chooses."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in panels} == {"${source}"}
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["source", "instance"]
