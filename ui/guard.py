"""The page guard: default-deny, pure ASGI, around everything. A page that a developer adds is protected without a word.

Only what is named here is open to strangers; the rest needs a live session, HTTP and sockets alike.
"""

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from urllib.parse import parse_qs

import nicegui
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.audit import Audit, Event, Kind
from services.errors import EndReason, SessionEnded, StoreError
from services.sessions import Session, Sessions
from services.sessions.cookie import CLOCK_TOLERANCE
from services.telemetry.figures import GUARD
from ui import text
from ui.addresses import (
    CARDS,
    LANGUAGE,
    LOGOUT,
    OPENID,
    STEP_CARD,
    THEME,
    TOKEN,
    TRUST,
    login_address,
    safe_next,
    wanted_address,
)
from ui.answers import answer, answer_json, redirect, store_down
from ui.cookies import BROWSER, SESSION, Cookies
from ui.kept import name_in, without_name
from ui.sockets import SOCKET_PATH, SOCKETS, SocketGate
from ui.tabs import Tabs
from ui.visit import header, headers, visit_of

_STEPS = {("POST", STEP_CARD), ("POST", TOKEN), ("POST", OPENID), ("GET", OPENID), ("POST", TRUST)}
"""What strangers may ask for besides the card: the routes behind them judge what comes."""

_CHOICES = {LANGUAGE, THEME}
_ANYBODY = {"/healthz", "/readyz", "/favicon.ico"}
_PART = r"/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*"
_NICEGUI = rf"/_nicegui/{re.escape(nicegui.__version__)}"
_ANYBODYS_FILES = re.compile(
    rf"/assets{_PART}|{_NICEGUI}/(static|libraries|components)({_PART})+|{_NICEGUI}/(resources|esm){_PART}({_PART})+"
)
"""Just what a route of files answers: anything else would reach the pages, and build one for a stranger."""

_PLAINLY = re.compile(r"[A-Za-z0-9_.~/-]+")

_TABS = "/_nicegui/client/"
"""Below it NiceGUI has routes of single tabs, and asks nobody whose."""


decided = cache(GUARD.labels)
"""The counter of a decision, looked up once: there are eight."""


def stranger_address(path: str, query: bytes) -> str | None:
    """Where a stranger's GET of a page leads to; None for what strangers may have, and for what is not plainly a page.

    What a path with more in it than names and slashes is, is told there only after the edge has looked at it.
    """
    open_to_all = path in _ANYBODY or path in CARDS or ("GET", path) in _STEPS or is_anybodys_file(path)
    if open_to_all or path.startswith((SOCKETS, "/_nicegui")) or not _PLAINLY.fullmatch(path):
        return None
    return login_address(wanted_address(path, query))


def is_anybodys_file(path: str) -> bool:
    """Whether a file lies there that strangers may have too."""
    return _ANYBODYS_FILES.fullmatch(path) is not None


class Guard:
    """Stands between the edge and the application."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, cookies: Cookies, tabs: Tabs, gate: SocketGate, audit: Audit
    ) -> None:
        self.app = app
        self._sessions = sessions
        self._cookies = cookies
        self._tabs = tabs
        self._gate = gate
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        try:
            if scope["type"] == "websocket":
                return await self._socket(scope, receive, send)
            return await self._http(scope, receive, send)
        except StoreError:
            decided("store-down").inc()
            return await _store_down(scope, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, posts = scope["path"], scope["method"] == "POST"
        if posts and not is_same_site(scope):
            await self._note_refusal(scope, "other-site")
            decided("other-site").inc()
            return await _refuse(scope, send, 403, text.OTHER_SITE)
        if path in _ANYBODY or (path in _CHOICES if posts else is_anybodys_file(path)):
            decided("anybody").inc()
            return await self.app(scope, receive, send)
        ended = await self._find_session(scope)
        if path in CARDS or (scope["method"], path) in _STEPS:
            return await self._card(scope, receive, send, ended)
        if path == LOGOUT and posts:
            decided("anybody").inc()
            return await self.app(scope, receive, send)
        if visit_of(scope).session is None:
            if ended and not posts and path == SOCKET_PATH and (words := self._gate.last_word(scope, ended)):
                decided("stranger").inc()
                return await answer(send, 200, words)
            return await self._stranger(scope, send, ended)
        if path.startswith(SOCKETS):
            if not _from_our_page(scope):
                if _says_whence(scope):
                    await self._note_refusal(scope, "other-origin")
                decided("other-site").inc()
                return await _refuse(scope, send, 403, text.OTHER_SITE)
            if path != SOCKET_PATH:
                decided("no-tab").inc()
                return await answer(send, 404)
            if not await self._lets_in(scope):
                return await answer(send, 400, text.NO_SUCH_TAB)
            decided("session").inc()
            return await self._gate.poll(scope, receive, send)
        if path.startswith(_TABS) and not self._is_own_tab(scope):
            await self._note_refusal(scope, "not-its-tab")
            decided("no-tab").inc()
            return await answer(send, 404)
        if name_in(_address(scope)) and scope["method"] == "GET":
            decided("session").inc()
            return await self._come_back(scope, receive, send)
        with self._tabs.building(visit_of(scope)) as room:
            decided("session" if room else "full").inc()
            if not room:
                return await answer(send, 429, text.TOO_MANY_TABS, extra=[(b"retry-after", b"8")])
            return await self.app(scope, receive, self._signing_again(scope, send))

    def _is_own_tab(self, scope: Scope) -> bool:
        """Whether what a tab has of its own, such as the place of its uploads, is asked for by that tab's session."""
        tab, own = self._tabs.visit(scope["path"].removeprefix(_TABS).partition("/")[0]), visit_of(scope).session
        return tab is not None and tab.session is not None and own is not None and tab.session.hash == own.hash

    async def _come_back(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To a page that was frozen when its session expired; where there is none, to a new one."""
        address = _address(scope)
        client = self._tabs.kept.thaw(address, visit_of(scope))
        if client is None:
            return await redirect(send, safe_next(without_name(address)))
        response = client.build_response(Request(scope))
        return await response(scope, receive, self._signing_again(scope, send))

    async def _find_session(self, scope: Scope) -> EndReason | None:
        """Write the live session and the browser's id into the visit; tells why a session is no longer live."""
        visit = visit_of(scope)
        if browser := self._cookies.read(scope, BROWSER):
            visit.browser = browser.id
        opened = visit.opened = self._cookies.read(scope, SESSION)
        if opened is None and self._cookies.has(scope, SESSION):
            await self._note_refusal(scope, "forged-cookie")
        if opened:
            age = time.time() - opened.given
            if age > self._sessions.limits.longest + CLOCK_TOLERANCE:
                return EndReason.AGE
            try:
                visit.session = await self._sessions.read(opened.id, touch=not _is_background(scope))
            except SessionEnded as exc:
                # Of a record that is gone nobody knows more than that it ran out: the cookie tells whether of age.
                aged = age >= self._sessions.limits.longest and exc.reason is EndReason.IDLE
                return EndReason.AGE if aged else exc.reason
        return None

    async def _card(self, scope: Scope, receive: Receive, send: Send, ended: EndReason | None) -> None:
        """A card of strangers, or what it posts."""
        visit = visit_of(scope)
        if scope["method"] == "POST" or scope["path"] == OPENID:
            decided("card").inc()
            return await self.app(scope, receive, self._knowing_browser(scope, send))
        if visit.session is not None:
            decided("session").inc()
            return await redirect(send, safe_next(_query_value(scope, "next")))
        clear = [self._cookies.clear(visit, SESSION)] if ended else []
        if _note(ended) and _query_value(scope, "ended") is None:
            wanted = safe_next(_query_value(scope, "next"))
            decided("card").inc()
            return await redirect(send, login_address(wanted, **_note(ended)), extra=clear)
        with self._tabs.building(visit) as room:
            if not room:
                decided("full").inc()
                return await answer(send, 429, text.TOO_MANY_TABS, extra=[(b"retry-after", b"8")])
            await self._sessions.ping()
            decided("card").inc()
            return await self.app(scope, receive, self._knowing_browser(scope, send, clear))

    async def _stranger(self, scope: Scope, send: Send, ended: EndReason | None) -> None:
        decided("stranger").inc()
        if not _is_navigation(scope):
            return await _refuse(scope, send, 401, text.NOT_SIGNED_IN)
        wanted = wanted_address(scope["path"], scope["query_string"])
        clear = [self._cookies.clear(visit_of(scope), SESSION)] if ended else []
        return await redirect(send, login_address(wanted, **_note(ended)), extra=clear)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = _from_our_page(scope)
        if not ours and _says_whence(scope):
            await self._note_refusal(scope, "other-origin")
        if scope["path"] != SOCKET_PATH or not ours:
            decided("other-site").inc()
            return await send({"type": "websocket.close", "code": 1008})
        await self._find_session(scope)
        if not await self._lets_in(scope):
            return await send({"type": "websocket.close", "code": 1008})
        decided("session" if visit_of(scope).session else "card").inc()
        return await self._gate.socket(scope, receive, send)

    async def _lets_in(self, scope: Scope) -> bool:
        """Whether a socket or poll is let in; that somebody else's tab was asked for is noted."""
        if self._gate.lets_in(scope):
            return True
        decided("no-tab").inc()
        if self._gate.is_anothers(scope):
            await self._note_refusal(scope, "not-its-tab")
        return False

    def _knowing_browser(self, scope: Scope, send: Send, extra: Iterable[tuple[bytes, bytes]] = ()) -> Send:
        """Send the pre-login cookie along to a browser that has none, or one of long ago."""
        return _adding(send, [*extra, *self._cookies.browser(scope)])

    async def _note_refusal(self, scope: Scope, outcome: str) -> None:
        """No page of ours sent this: through whose browser it came, where it brings a session along."""
        visit = visit_of(scope)
        session = visit.session or await self._untouched(scope)
        await self._audit.note(Event(
            kind=Kind.REFUSAL, principal=session.principal if session else "", address=visit.address,
            session=session.fingerprint if session else "", outcome=outcome,
        ))  # fmt: skip

    async def _untouched(self, scope: Scope) -> Session | None:
        """The session that a refused request names; it is used by nobody with that."""
        if opened := self._cookies.read(scope, SESSION):
            with suppress(SessionEnded, StoreError):
                return await self._sessions.read(opened.id, touch=False)
        return None

    def _signing_again(self, scope: Scope, send: Send) -> Send:
        """Sign the cookie with today's key when an older one had signed it."""
        opened = visit_of(scope).opened
        if opened is None or not opened.stale:
            return send
        return _adding(send, [self._cookies.write(visit_of(scope), SESSION, opened.id, opened.given)])


def is_same_site(scope: Scope) -> bool:
    """Whether a POST comes from our own pages, or from no browser at all (Fetch Metadata, and Origin)."""
    sites, origins = headers(scope, b"sec-fetch-site"), headers(scope, b"origin")
    return all(site in {"same-origin", "none"} for site in sites) and all(
        origin == visit_of(scope).origin for origin in origins
    )


def _from_our_page(scope: Scope) -> bool:
    """Whether a socket or poll comes from a page of ours: only scripts open those, and a browser says whose."""
    origin, site = headers(scope, b"origin"), header(scope, b"sec-fetch-site")
    if origin:
        return is_same_site(scope)
    return scope["type"] == "http" and site == "same-origin"


def _says_whence(scope: Scope) -> bool:
    """Whether a browser told where a request comes from: on plain http it does not say so of our own polls either."""
    return bool(headers(scope, b"origin") or headers(scope, b"sec-fetch-site"))


def _is_navigation(scope: Scope) -> bool:
    if scope["method"] not in {"GET", "HEAD"}:
        return False
    mode = header(scope, b"sec-fetch-mode")
    return mode == "navigate" if mode is not None else "text/html" in (header(scope, b"accept") or "")


def _is_background(scope: Scope) -> bool:
    """Sockets and polls come by themselves: they do not say that somebody is there."""
    return scope["type"] == "websocket" or scope["path"].startswith(SOCKETS)


def _address(scope: Scope) -> str:
    """What was asked for, its query included."""
    query = scope["query_string"].decode("latin-1")
    return f"{scope['path']}?{query}" if query else scope["path"]


def _note(ended: EndReason | None) -> dict[str, str]:
    """Why the session is over, for the card's address; signing out needs no word."""
    return {"ended": ended.value} if ended and ended is not EndReason.SIGNED_OUT else {}


def _query_value(scope: Scope, name: str) -> str | None:
    values = parse_qs(scope["query_string"].decode("latin-1")).get(name, [])
    return values[0] if len(values) == 1 else None


def _adding(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    if not extra:
        return send

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] < 500:
            message["headers"] = [*message["headers"], *extra]
        await send(message)

    return wrapped


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if "application/json" in (header(scope, b"accept") or ""):
        return await answer_json(send, status, {"error": sentence})
    return await answer(send, status, sentence)


async def _store_down(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1013})
    if "application/json" in (header(scope, b"accept") or ""):
        return await answer_json(send, 503, {"error": text.STORE_DOWN_TITLE})
    return await store_down(send, visit_of(scope).theme)
