"""Prometheus's figures at `http://127.0.0.1:METRICS_PORT/metrics`: for this machine alone, and off unless asked for."""

import asyncio
import math
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import asgi
from starlette.types import ASGIApp, Receive, Scope, Send

from services.errors import StoreError
from services.sessions import Sessions
from services.telemetry.figures import REGISTRY, SESSIONS, TABS
from ui.answers import answer
from ui.edge import ALWAYS
from ui.listener import Listener, ListeningServer
from ui.tabs import Tabs
from ui.visit import header

PLACE = "127.0.0.1"
FEW_CONNECTIONS = 20


class Figures:
    """The application at that port: one page, and no other."""

    def __init__(self, sessions: Sessions, tabs: Tabs) -> None:
        self._page: ASGIApp = asgi.make_asgi_app(REGISTRY)
        self._sessions = sessions
        self._tabs = tabs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page of elsewhere whose own name points here asks by that name, and gets nothing."""
        host = (header(scope, b"host") or "").partition(":")[0]
        if host not in {PLACE, "localhost"} or (scope["method"], scope["path"]) != ("GET", "/metrics"):
            return await answer(send, 404)
        SESSIONS.set(await self._count_sessions())
        for kind, count in self._tabs.count().items():
            TABS.labels(kind).set(count)
        return await self._page(scope, receive, send)

    async def _count_sessions(self) -> float:
        try:
            return await self._sessions.count()
        except StoreError:
            return math.nan


class _Server(ListeningServer):
    """Ends when it is told to, and leaves signals to the one that people come to."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def watched(figures: Figures, bound: Listener) -> AsyncGenerator[None]:
    """Answer at that socket meanwhile."""
    config = uvicorn.Config(
        figures, lifespan="off", ws="none", log_config=None, log_level="warning", access_log=False,
        proxy_headers=False, server_header=False, headers=list(ALWAYS),
        timeout_graceful_shutdown=1, limit_concurrency=FEW_CONNECTIONS,
    )  # fmt: skip
    server = _Server(config, bound)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving
