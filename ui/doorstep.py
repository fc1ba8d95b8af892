"""A stranger's plain hit on a page, turned away in the guard's own words before anything is made for it.

Whoever brings more than a browser sends of itself, a cookie above all, goes on to the guard, and so does everything
that strangers may have.
"""

from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from services.settings import Settings
from services.telemetry.traces import TRACES
from ui.answers import redirection
from ui.edge import Edge, secured
from ui.guard import decided, stranger_address
from ui.request_ids import HEADER, new_id

_PLAIN = frozenset(
    b"accept accept-encoding accept-language cache-control connection dnt host pragma priority referer sec-ch-ua "
    b"sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc te "
    b"upgrade-insecure-requests user-agent".split()
)
_LONGEST = 200
"""Characters of an address whose answer is kept, with its query; of so many addresses."""

_MOST_KEPT = 256


class Doorstep:
    """Wraps everything. NiceGUI looks for `.app`."""

    def __init__(self, app: ASGIApp, edge: Edge, settings: Settings) -> None:
        self.app = app
        self._edge = edge
        # What a proxy says of who comes is the edge's to judge, and HSTS is not for everybody.
        self._open = not settings.trusted_proxies and not settings.hsts_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._answer(scope) if self._open and scope["type"] == "http" and not TRACES.wanted else None
        if headers is None:
            return await self.app(scope, receive, send)
        decided("stranger").inc()
        id = (HEADER, new_id().encode())
        await send({"type": "http.response.start", "status": 303, "headers": [*headers, id]})
        return await send({"type": "http.response.body", "body": b""})

    def _answer(self, scope: Scope) -> tuple[tuple[bytes, bytes], ...] | None:
        """The headers of the way to the login card, or None where the guard has to look."""
        if scope["method"] != "GET" or len(scope["path"]) + len(scope["query_string"]) > _LONGEST:
            return None
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name not in _PLAIN or name in found:
                return None
            found[name] = value
        mode = found.get(b"sec-fetch-mode")
        navigates = mode == b"navigate" if mode is not None else b"text/html" in found.get(b"accept", b"")
        if not navigates or not self._edge.is_ours(found.get(b"host", b"").decode("latin-1")):
            return None
        return _turned_away(scope["path"], scope["query_string"])


@lru_cache(maxsize=_MOST_KEPT)
def _turned_away(path: str, query: bytes) -> tuple[tuple[bytes, bytes], ...] | None:
    address = stranger_address(path, query)
    return None if address is None else tuple(secured(redirection(address)))
