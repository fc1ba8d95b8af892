"""OpenTelemetry's spans, of those who installed `proxgate[traces]` and named a collector; else nothing at all.

A span says what kind of thing took how long and how it ended. No query, form, header or text of an error is in one,
and the provider is ours alone: frameworks that find a global one tell it of exceptions with their texts.
"""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode, Tracer, get_current_span

logger = logging.getLogger(__name__)

LAST_SECONDS = 1.0
"""How long the end waits until the last spans are sent."""

SETTING = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Traces:
    """Where spans go."""

    def __init__(self) -> None:
        self._tracer: Tracer | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody is told."""
        return self._tracer is not None

    @contextmanager
    def exported(self, endpoint: str) -> Generator[None]:
        """Send spans to a collector, over HTTP, for as long as this is entered; not without the packages for it."""
        try:
            from services.telemetry.exporter import provider_for
        except ImportError:
            logger.warning("%s is set, but its packages are missing: install the extra proxgate[traces]", SETTING)
            yield
            return
        provider = provider_for(endpoint)
        self._tracer = provider.get_tracer("proxgate")
        try:
            yield
        finally:
            self._tracer = None
            # In a thread that nobody waits for any longer: a collector that hangs would hold up the end.
            last = threading.Thread(target=provider.shutdown, daemon=True)
            last.start()
            last.join(LAST_SECONDS)

    @contextmanager
    def span(self, name: str, **about: str) -> Generator[Span]:
        """One span, below the one that is under way: what a request began, and has outlived it, makes its own.

        An error leaves its name in it, and nothing more.
        """
        if self._tracer is None:
            yield INVALID_SPAN
            return
        around = None if get_current_span().is_recording() else Context()
        with self._tracer.start_as_current_span(
            name, around, attributes=about, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as exc:
                span.set_attribute("error.type", type(exc).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise


TRACES = Traces()
"""The process's own, as the figures are."""


def first_part(path: str) -> str:
    """Of a path, to name a span by: what follows may name guests, storages and people."""
    return "/".join(path.split("/", 2)[:2])
