"""The composed application: FastAPI's routes and NiceGUI's pages inside, the guard and the edge around them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.types import ASGIApp, Lifespan

from services.actions import Actions
from services.anchors import Anchors
from services.auth import SignIn
from services.auth.limiter import Limiter
from services.auth.pending import Pending
from services.auth.realms import RealmDirectory
from services.feed import Feed
from services.keys import KeyRing
from services.proxmox import Proxmox
from services.sessions import Limits, Sessions, upkeep
from services.sessions.watch import Watch
from services.settings import Settings
from services.store.connection import Store
from ui import (
    choices,
    guest_page,
    guests,
    login,
    my_sessions,
    node_page,
    overview,
    routes,
    storage_page,
    strays,
    tasks_page,
    trust,
    verify,
    ways_in,
)
from ui.clients import let_go
from ui.clocks import Clocks
from ui.compression import Compression
from ui.cookies import Cookies
from ui.doorstep import Doorstep
from ui.drain import Drain
from ui.edge import Edge, origin_of
from ui.guard import Guard, is_anybodys_file
from ui.layout import set_banners, set_clocks, set_feed
from ui.messages import Messages
from ui.proxmox_links import set_proxmox
from ui.request_ids import RequestIds
from ui.signatures import remember_signatures
from ui.sockets import SocketGate
from ui.tabs import Tabs
from ui.timers import guard_timers
from ui.watching import Figures
from ui.words import PRODUCT

logger = logging.getLogger(__name__)

HOUR = 3600
TRUST_SECONDS = 10
"""How soon what one administrator no longer trusts is known to every replica."""

HISTORY = 100
"""Messages that a tab which lost its socket for a moment gets once more; NiceGUI would hold on to a thousand."""

PROBE_SECONDS = 30
"""How often an address that gave no answer is asked whether it is back."""


_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
}  # fmt: skip
"""FastAPI's own tells of errors with their texts: spans of ours are made in `services.telemetry`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application stands on, opened and closed by whoever composes it."""

    settings: Settings
    store: Store
    keys: KeyRing
    proxmox: Proxmox
    anchors: Anchors


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What people come to, and what the operator watches."""

    served: ASGIApp
    figures: Figures


def compose(parts: Parts) -> Application:
    """Build the ASGI applications from their parts."""
    settings = parts.settings
    limits = Limits(
        idle=settings.session_idle_seconds,
        longest=settings.session_max_seconds,
        renew_ticket=settings.ticket_renew_seconds,
    )
    sessions = Sessions(parts.store, parts.keys, parts.proxmox, limits)
    directory, limiter = RealmDirectory(parts.proxmox), Limiter(parts.store)
    sign_in = SignIn(parts.proxmox, sessions, limiter, Pending(parts.store, parts.keys), directory, sessions.audit)
    cookies = Cookies(parts.keys, longest=limits.longest, demo=settings.demo)
    feed, watch, tabs = Feed(sessions, parts.proxmox), Watch(sessions), Tabs()
    actions = Actions(feed, parts.store, sessions.audit)

    inner = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY,
        lifespan=_lifespan(parts, sessions, watch, tabs, feed),
    )  # fmt: skip
    # Routes before NiceGUI, whose mount at / hides later ones.
    routes.create(inner, sessions, watch, cookies)
    choices.create(inner)
    ways_in.create(inner, ways_in.WaysIn(
        sign_in=sign_in, sessions=sessions, cookies=cookies, limiter=limiter, anchors=parts.anchors,
        directory=directory,
        public=origin_of(urlsplit(settings.public_url)) if settings.public_url else "",
    ))  # fmt: skip
    remember_signatures()
    set_clocks(Clocks(sessions, watch))
    set_feed(feed)
    set_banners(demo=settings.demo, unverified=_trusts_anybody(settings))
    set_proxmox(settings.addresses, demo=settings.demo)
    login.create(directory, tabs.kept, first_use=settings.trust.uses_anchors)
    verify.create(sign_in, cookies)
    trust.create()
    overview.create(feed)
    guests.create(feed, actions)
    guest_page.create(feed, actions)
    node_page.create(feed)
    storage_page.create(feed)
    tasks_page.create(feed, actions)
    my_sessions.create(sessions)
    strays.create()
    nicegui_app.router.redirect_slashes = False
    ui.run_with(
        inner, title=PRODUCT, dark=None, language="en-US", tailwind=False, gzip_middleware_factory=None,
        show_welcome_message=False, reconnect_timeout=3.0, message_history_length=HISTORY, markdown=False,
        favicon=(files("assets") / "icon.svg").read_text(),
    )  # fmt: skip
    Messages(sessions, watch).guard_handlers()
    guard_timers(watch)
    nicegui_app.on_delete(let_go)
    gate = SocketGate(inner, watch, tabs)
    edge = Edge(Drain(Guard(inner, sessions, cookies, tabs, gate, sessions.audit)), settings)
    served = RequestIds(Compression(edge, is_anybodys_file), settings.trusted_proxies)
    return Application(served=Doorstep(served, edge, settings), figures=Figures(sessions, tabs))


def _lifespan(parts: Parts, sessions: Sessions, watch: Watch, tabs: Tabs, feed: Feed) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        tasks = [
            asyncio.create_task(watch.run()),
            asyncio.create_task(upkeep.listen(sessions, watch, parts.store)),
            asyncio.create_task(upkeep.keep_fresh(sessions, watch)),
            asyncio.create_task(_every(1, tabs.forget_unconnected)),
            asyncio.create_task(_every(TRUST_SECONDS, parts.proxmox.refresh_trust)),
            asyncio.create_task(_every(PROBE_SECONDS, parts.proxmox.probe)),
        ]
        if _trusts_anybody(parts.settings):
            tasks.append(asyncio.create_task(_every(HOUR, _warn_of_unverified_tls)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await feed.aclose()

    return lifespan


def _trusts_anybody(settings: Settings) -> bool:
    """Pinned fingerprints are checked even then."""
    return not settings.proxmox_verify_tls and not settings.proxmox_fingerprint


async def _every(seconds: float, work: Callable[[], Awaitable[None] | None]) -> None:
    while True:
        try:
            if (more := work()) is not None:
                await more
        except Exception:  # the next round may do better, and there has to be one
            logger.exception("a regular task failed")
        await asyncio.sleep(seconds)


def _warn_of_unverified_tls() -> None:
    logger.warning(
        "PROXMOX_VERIFY_TLS=false: certificates of Proxmox are not checked; anyone in between can read passwords"
    )
