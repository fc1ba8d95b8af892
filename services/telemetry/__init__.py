"""What an operator watches: figures for Prometheus, and spans for who asked for OpenTelemetry."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

from prometheus_client import Histogram

from services.telemetry.figures import OK
from services.telemetry.traces import TRACES


@contextmanager
def measured(histogram: Histogram, span: str, **labels: str) -> Generator[None]:
    """Time what is done meanwhile, which ends as "ok" or by the name of its error, and make a span of it."""
    begun, outcome = time.perf_counter(), OK
    try:
        with TRACES.span(span, **labels):
            yield
    except BaseException as exc:
        outcome = type(exc).__name__
        raise
    finally:
        _child(histogram, outcome, *labels.items()).observe(time.perf_counter() - begun)


@cache
def _child(histogram: Histogram, outcome: str, *labels: tuple[str, str]) -> Histogram:
    """Looked up once: there are few of each."""
    return histogram.labels(**dict(labels), outcome=outcome)
