"""Spans for who asked for them: sent to a collector over HTTP, and with nothing of anybody's in them."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.errors import InvalidCredentials
from services.telemetry.traces import Traces
from tests import harness
from tests.harness import PAGE, sign_in

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


def test_a_sign_in(collector, valkey_url, sim):
    """A sign-in is a span with what it asked of Proxmox and the store below it; no name, secret or text is in any."""
    settings = {"STORE_PREFIX": "traces:", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with harness.proxgate(REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up, up.client() as client:
        sign_in(client, "canary-name", "pve", "canary-password")
        assert sign_in(client).status_code == 200
        client.get("/guests/100?canary=query", headers=PAGE)
        cookie = client.cookies["proxgate"]
        assert up.stop() == 0
    assert {path for path, _ in collector.bodies} == {"/v1/traces"}
    spans = collector.spans()
    refused, good = (span for span in spans if span.name == "POST /login")
    below = [span for span in spans if span.parent_span_id == good.span_id]
    assert {"Proxmox /access", "store"} <= {span.name for span in below}
    assert {span.trace_id for span in below} == {good.trace_id} != {refused.trace_id}
    errors = [one.value.string_value for span in spans for one in span.attributes if one.key == "error.type"]
    assert "InvalidCredentials" in errors
    assert "GET /guests" in {span.name for span in spans}
    told = b"".join(body for _, body in collector.bodies)
    for secret in (b"canary", cookie.encode(), b"PVE:", b"root", b"127.0.0.1", valkey_url.encode(), b"/100"):
        assert secret not in told, secret
    assert not any(span.events for span in spans)


def test_a_silent_collector(valkey_url, sim):
    """A collector that does not answer keeps nobody waiting, and the program ends in time."""
    settings = {"STORE_PREFIX": "traces:", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{harness.free_port()}"}
    with harness.proxgate(REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up, up.client() as client:
        assert sign_in(client).status_code == 200
        assert up.stop() == 0


def test_none_unless_asked_for():
    """Without a collector an error goes through a span as it is."""
    with pytest.raises(InvalidCredentials), Traces().span("nothing"):
        raise InvalidCredentials


@pytest.mark.parametrize("value", ["collector:4318", "ftp://collector", "http://user@collector", "http://[x"])
def test_wrong_address(tmp_path, value):
    """An address that is none ends the start with one line."""
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in _refused(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=value)


def test_packages_are_missing(tmp_path):
    """So does one without the packages that send spans, and says which to install."""
    (tmp_path / "hidden" / "opentelemetry").mkdir(parents=True)
    hide = "import sys; sys.modules['opentelemetry.sdk.trace'] = None"
    (tmp_path / "hidden" / "sitecustomize.py").write_text(hide)
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "PYTHONPATH": str(tmp_path / "hidden")}
    assert "proxgate[traces]" in _refused(tmp_path, **settings)


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
