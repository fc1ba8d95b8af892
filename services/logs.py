"""The log: one line an event, UTC, in text or JSON; what came from outside can neither break, fake nor flood it."""

import json
import logging
import math
import sys
import time
from collections import defaultdict
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_QUIET = (
    "httpx",
    "httpcore",
    "hpack",
    "redis",
    "websockets",
    "socketio",
    "engineio",
    "asyncio",
    "multipart",
    "nicegui",
)
"""What they say at lower levels may hold headers or frames."""

_MINUTE = 60  # seconds

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request, or of the socket, that is being served: it stands in each line that is written meanwhile."""

_SILENT = ("engineio.server", "socketio.server")
"""They answer every frame that cannot be read with a stack trace."""


_SERVER = "uvicorn.error"
"""It warns of each request that is none, and of each connection beyond the limit."""


def set_up(format: str, level: str) -> None:
    """Log everything to standard error, as `LOG_FORMAT` and `LOG_LEVEL` say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger(_SERVER).filters[:] = [_Few()]


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z WARNING services.audit: event=failure …`"""

    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without what could end it or move the cursor, and the request's id behind it."""
        request = REQUEST.get()
        return _one_line(super().formatMessage(record)) + (f" request={request}" if request else "")

    def formatException(self, ei: Any) -> str:
        """A stack trace, indented, so that no line of it can pass for one of the log."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """The same for a stack."""
        return _indented(super().formatStack(stack_info))


class JsonFormatter(logging.Formatter):
    """The same as one JSON object a line, with the `fields` of a record that has some."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request": REQUEST.get()} if REQUEST.get() else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


class Bound:
    """Lets so many lines a minute through: for what strangers can cause as often as they like."""

    def __init__(self, most: int = 30) -> None:
        self._most = most
        self._since, self._count = -math.inf, 0

    def lets_through(self) -> bool:
        """Whether one line more may be written."""
        now = time.monotonic()
        if now - self._since > _MINUTE:
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._most


class _Few(logging.Filter):
    """Of each warning so many a minute; errors, which are ours, all."""

    def __init__(self) -> None:
        super().__init__()
        self._bounds = defaultdict[str, Bound](Bound)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or self._bounds[str(record.msg)].lets_through()


def _indented(text: str) -> str:
    return "\n".join("    " + _one_line(line) for line in text.splitlines())


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
