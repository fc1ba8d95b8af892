"""Spans for who asked for them: sent to a collector over HTTP, and with nothing of anybody's in them."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.errors import InvalidCredentials
from services.telemetry.traces import Traces
from tests import harness
from tests.harness import PAGE, sign_in, until
from tests.socket_client import load, tab

pytestmark = pytest.mark.slow


class Collector:
    """Takes what is sent to `/v1/traces`."""

    def __init__(self):
        self.bodies = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.bodies.append((self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        """All that have come."""
        requests = [ExportTraceServiceRequest.FromString(body) for _, body in list(self.bodies)]
        return [span for one in requests for resource in one.resource_spans
                for scope in resource.scope_spans for span in scope.spans]  # fmt: skip


@pytest.fixture
def collector():
    """A collector that listens."""
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()


async def test_a_sign_in(collector, valkey_url, sim):
    """A sign-in is a span with what it asked of Proxmox and the store below it; no name, secret or text is in any."""
    settings = {"STORE_PREFIX": "traces:", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with harness.proxgate(REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up, up.client() as client:
        sign_in(client, "canary-name", "pve", "canary-password")
        assert sign_in(client).status_code == 200
        client.get("/guests/100?canary=query", headers=PAGE)
        client.request("PROPFIND", "/canary/path")
        client.get("/canary%20path/alice@pve", headers=PAGE)
        cookie = client.cookies["proxgate"]
        async with tab(up, client, load(client, "/")) as open_tab:
            await open_tab.until(lambda: len(_named(collector, "Proxmox /cluster")) > 3, 40)
        assert up.stop() == 0
    assert {path for path, _ in collector.bodies} == {"/v1/traces"}
    refused, good = _named(collector, "POST /login")
    below = [span for span in collector.spans() if span.parent_span_id == good.span_id]
    assert {"Proxmox /access", "store"} <= {span.name for span in below}
    assert {span.trace_id for span in below} == {good.trace_id} != {refused.trace_id}
    attributes = [one for span in collector.spans() for one in span.attributes]
    errors = [one.value.string_value for one in attributes if one.key == "error.type"]
    assert "InvalidCredentials" in errors
    assert {"GET /guests", "other other", "GET other"} <= {span.name for span in collector.spans()}
    told = b"".join(body for _, body in collector.bodies)
    for secret in (b"anary", cookie.encode(), b"PVE:", b"root", b"alice", b"127.0.0.1", valkey_url.encode(), b"/100"):
        assert secret not in told, secret
    assert not any(span.events for span in collector.spans())
    _assert_none_outlives(collector.spans())


def _named(collector, name):
    return [span for span in collector.spans() if span.name == name]


def _assert_none_outlives(spans):
    """What goes on for hours in the background is below no request that has long ended."""
    ended = {span.span_id: span.end_time_unix_nano for span in spans}
    late = [span.name for span in spans if span.start_time_unix_nano > ended.get(span.parent_span_id, float("inf"))]
    assert late == []


def test_a_collector_that_hangs(valkey_url, sim):
    """A collector that takes connections and never answers keeps nobody waiting, nor the end, and is told of once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"STORE_PREFIX": "traces:", "OTEL_EXPORTER_OTLP_ENDPOINT": place, **harness.for_proxmox(sim)}
        with harness.proxgate(REDIS_URL=valkey_url, **settings) as up, up.client() as client:
            for _ in range(200):
                client.get("/healthz")
            assert sign_in(client).status_code == 200
            until(lambda: "the collector of spans takes none" in up.output(), 30)
            for _ in range(200):
                client.get("/healthz")
            assert up.stop() == 0
            assert up.output().count("collector") == 1
            assert "Traceback" not in up.output()


def test_none_unless_asked_for():
    """Without a collector an error goes through a span as it is."""
    with pytest.raises(InvalidCredentials), Traces().span("nothing"):
        raise InvalidCredentials


@pytest.mark.parametrize("value", ["collector:4318", "ftp://collector", "http://user@collector", "http://[x"])
def test_wrong_address(tmp_path, value):
    """An address that is none ends the start with one line."""
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in _refused(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=value)


def test_packages_are_missing(tmp_path, monkeypatch, valkey_url, sim):
    """Without the packages that send spans the program runs, and says once which to install."""
    hide = "import sys; sys.modules['opentelemetry.sdk.trace'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    settings = {"STORE_PREFIX": "traces:", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    settings |= {"PYTHONPATH": str(tmp_path), **harness.for_proxmox(sim)}
    with harness.proxgate(REDIS_URL=valkey_url, **settings) as up, up.client() as client:
        assert sign_in(client).status_code == 200
        assert up.output().count("proxgate[traces]") == 1


def _refused(directory, **settings):
    """What is said by a program that does not start."""
    settings = {"PROXGATE_PORT": str(harness.free_port()), "PROXMOX_HOST": "192.0.2.1", **settings}
    told = subprocess.run(
        [sys.executable, "-m", "ui"], cwd=directory, env=harness.environment(**settings), capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    return told.stderr
