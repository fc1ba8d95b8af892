"""OpenTelemetry's spans, of those who installed `proxgate[traces]` and named a collector; else nothing at all.

A span says what kind of thing took how long and how it ended. No query, form, header or text of an error is in one,
and the provider is ours alone: frameworks that find a global one tell it of exceptions with their texts.
"""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from opentelemetry.trace import NoOpTracer, Span, Status, StatusCode, Tracer

from services.errors import SettingsError

SETTING = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Traces:
    """Where spans go."""

    def __init__(self) -> None:
        self._tracer: Tracer = NoOpTracer()

    @contextmanager
    def exported(self, endpoint: str) -> Generator[None]:
        """Send spans to a collector, over HTTP, for as long as this is entered. Raises SettingsError."""
        provider = _provider(endpoint)
        self._tracer = provider.get_tracer("proxgate")
        try:
            yield
        finally:
            self._tracer = NoOpTracer()
            provider.shutdown()

    @contextmanager
    def span(self, name: str, **about: str) -> Generator[Span]:
        """One span, below the one that is under way. An error leaves its name in it, and nothing more."""
        with self._tracer.start_as_current_span(
            name, attributes=about, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as exc:
                span.set_attribute("error.type", type(exc).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise


TRACES = Traces()
"""The process's own, as the figures are."""


def kind_of(path: str) -> str:
    """The first part of a path, to name a span by: what follows may name guests, storages and people."""
    return "/".join(path.split("/", 2)[:2])


def _provider(endpoint: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise SettingsError(SETTING, "needs more packages: pip install 'proxgate[traces]', or unset it") from exc
    resource = Resource.create({"service.name": "proxgate", "service.version": version("proxgate")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
