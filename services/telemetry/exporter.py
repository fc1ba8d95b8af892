"""What sends spans: imported only where `proxgate[traces]` is installed and wanted."""

import logging
from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

SEND_SECONDS = 3


def provider_for(endpoint: str) -> TracerProvider:
    """Sends to a collector, over HTTP."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it has a line for every batch that is lost
    resource = Resource.create({"service.name": "proxgate", "service.version": version("proxgate")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    sender = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=SEND_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(_Telling(sender)))
    return provider


class _Telling(SpanExporter):
    """Says once that the collector does not take spans, and once that it does again."""

    def __init__(self, sender: SpanExporter) -> None:
        self._sender = sender
        self._down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._sender.export(spans)
        down = result is not SpanExportResult.SUCCESS
        if down != self._down:
            self._down = down
            logger.warning("the collector of spans %s", "takes none: look at OTEL_EXPORTER_OTLP_ENDPOINT" if down
                           else "is back")  # fmt: skip
        return result

    def shutdown(self) -> None:
        self._sender.shutdown()
