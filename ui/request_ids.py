"""Each request and socket has an id: in every line of the log that it causes, and in its answer for who reports it."""

import re
import secrets
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.logs import REQUEST
from services.settings import IpNetwork, is_in
from services.telemetry.traces import TRACES, first_part
from ui.visit import header

HEADER = b"x-request-id"
_GOOD = re.compile(r"[A-Za-z0-9_-]{8,64}")


_METHODS = {"GET", "HEAD", "POST"}
_KNOWN = {
    "/", "/login", "/logout", "/trust", "/language", "/theme", "/guests", "/nodes", "/storage", "/tasks", "/sessions",
    "/assets", "/_nicegui", "/_nicegui_ws", "/healthz", "/readyz", "/favicon.ico",
}  # fmt: skip
"""First parts of paths that a span may tell; anything else is somebody's own word."""


_AT_ONCE = 256


def _ids() -> Iterator[str]:
    """The system is asked for so many at once: each time costs more than the rest."""
    while True:
        digits = secrets.token_hex(8 * _AT_ONCE)
        yield from (digits[start : start + 16] for start in range(0, len(digits), 16))


_some = _ids()


def new_id() -> str:
    """An id that no other request has."""
    return next(_some)


class RequestIds:
    """Wraps everything; what the edge sends has the id. A trusted proxy may name it. NiceGUI looks for `.app`."""

    def __init__(self, app: ASGIApp, trusted: tuple[IpNetwork, ...]) -> None:
        self.app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        REQUEST.set(self._id(scope))  # and never back: the server has a task for each, and logs what comes out of here
        if scope["type"] != "http" or not TRACES.wanted:
            return await self.app(scope, receive, send)
        with TRACES.span(_kind(scope)) as span:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            return await self.app(scope, receive, told)

    def _id(self, scope: Scope) -> str:
        given = header(scope, HEADER) or ""
        peer = (scope.get("client") or ("", 0))[0]
        return given if _GOOD.fullmatch(given) and is_in(peer, self._trusted) else new_id()


def _kind(scope: Scope) -> str:
    method, first = scope["method"], first_part(scope["path"])
    return f"{method if method in _METHODS else 'other'} {first if first in _KNOWN else 'other'}"
