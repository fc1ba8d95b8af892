"""What passes through a tab's socket, and when.

NiceGUI checks a socket once, accepts any origin and obeys any client id; here a socket belongs to one tab, the tab to
one session, and every frame passes only while that session was confirmed less than a second ago. With the store
silent, frames wait. When the session ends the last frame takes the tab to the login card.
"""

import asyncio
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

from nicegui import Client, core
from nicegui.element import Element
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions import Session, Sessions
from services.sessions.watch import Watch
from ui.addresses import login_address
from ui.answers import answer
from ui.frames import Valve
from ui.tabs import Tabs
from ui.visit import header, visit_of

logger = logging.getLogger(__name__)

SOCKETS = "/_nicegui_ws"
SOCKET_PATH = f"{SOCKETS}/socket.io/"
_CLIENT = "proxgate.client_id"
_WANTED = "proxgate.wanted"
_HANDLERS = {"connect", "handshake", "disconnect", "event", "javascript_response", "ack", "log"}
SOCKETS_PER_CARD = 2
LARGEST_POST = 1_000_000
POLL_SECONDS = {"GET": 15, "POST": 2}
"""Longer than any poll waits for news, since Engine.IO pings more often; a post waits for nothing."""

JOIN_SECONDS = 6
"""A stranger's socket that joins no card is closed after so long."""

_LONGEST_LOG = 300
_TOUCH_SHARE = 20
"""An active person moves the idle limit at most twenty times in its length."""

Handler = Callable[..., Any]


class SocketGate:
    """Lets sockets and polls in to NiceGUI."""

    def __init__(self, app: ASGIApp, sessions: Sessions, watch: Watch, tabs: Tabs) -> None:
        self._app = app
        self._sessions = sessions
        self._watch = watch
        self._tabs = tabs
        self._touched: dict[str, float] = {}
        self._strangers: Counter[str] = Counter()
        watch.on_end(tabs.close_session)

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A websocket from a page of ours, its session already in the visit."""
        if not self._belongs(scope):
            return await send({"type": "websocket.close", "code": 1008})
        session = visit_of(scope).session
        if session is None:
            return await self._stranger(scope, receive, send)
        valve = Valve(self._watch, session.hash, receive, send)
        with self._watch.watching(session):
            farewell = asyncio.create_task(self._farewell(session, scope, send))
            try:
                await self._app(scope, valve.receive, valve.send)
            finally:
                valve.close()
                farewell.cancel()

    async def poll(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A long poll of a signed-in tab: the transport of those whose websockets are blocked."""
        session = visit_of(scope).session
        known = scope["method"] != "POST" or bool(_query(scope, "sid"))
        if session is None or not known or not self._belongs(scope):
            return await answer(send, 400, "No such tab")
        if int(header(scope, b"content-length") or 0) > LARGEST_POST:
            return await answer(send, 413, "Too large")
        with self._watch.watching(session):
            posts = scope["method"] == "POST"  # whose answer is "ok", and no news
            work = asyncio.ensure_future(self._app(scope, receive, send if posts else self._answering(session, send)))
            end = asyncio.create_task(self._watch.ended(session.hash))
            try:
                await asyncio.wait(
                    {work, end}, timeout=POLL_SECONDS[scope["method"]], return_when=asyncio.FIRST_COMPLETED
                )
                if end.done() and not work.done():
                    await answer(send, 200, _open_frame(scope, end.result()))
                elif not work.done():
                    await answer(send, 400, "No such tab")
            finally:
                end.cancel()
                work.cancel()

    def _belongs(self, scope: Scope) -> bool:
        """Whether the tab named in the query is this visitor's, and the transport, if one is named, is that tab's.

        A tab that is gone is nobody's: its page is told so, and loads anew.
        """
        client_id, visit = _query(scope, "client_id"), visit_of(scope)
        if not client_id or (visit.session is None and not visit.browser):
            return False
        if "sid" in _queries(scope) and _client_of_transport(_query(scope, "sid")) != client_id:
            return False
        scope[_CLIENT] = client_id
        scope[_WANTED] = self._tabs.address(client_id)
        tab = self._tabs.visit(client_id)
        if tab is None:
            return True
        if tab.session is None:
            return tab.browser == visit.browser
        return visit.session is not None and tab.session.hash == visit.session.hash

    async def _stranger(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The socket of a login card: a few for each card, and for a card that is gone the word to load anew."""
        client_id: str = scope[_CLIENT]
        if self._tabs.visit(client_id) is None:
            return await _load_anew(receive, send)
        if self._strangers[client_id] >= SOCKETS_PER_CARD:
            return await send({"type": "websocket.close", "code": 1008})
        self._strangers[client_id] += 1
        try:
            async with asyncio.timeout(None) as patience:
                joining = asyncio.create_task(self._join_in_time(client_id, patience))
                try:
                    await self._app(scope, receive, send)
                finally:
                    joining.cancel()
        except TimeoutError:
            await send({"type": "websocket.close", "code": 1008})
        finally:
            self._strangers[client_id] -= 1
            if not self._strangers[client_id]:
                del self._strangers[client_id]
        return None

    async def _join_in_time(self, client_id: str, patience: asyncio.Timeout) -> None:
        """End a socket whose card is not, or no longer, connected through any."""
        await asyncio.sleep(JOIN_SECONDS)
        client = Client.instances.get(client_id)
        if client is None or not client.has_socket_connection:
            patience.reschedule(asyncio.get_running_loop().time())

    def _answering(self, session: Session, send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                try:
                    await self._watch.confirmed(session.hash)
                except SessionEnded:
                    await asyncio.Event().wait()  # until `poll`, which answers in its place, cancels it
            await send(message)

        return wrapped

    async def _farewell(self, session: Session, scope: Scope, send: Send) -> None:
        reason = await self._watch.ended(session.hash)
        with suppress(Exception):
            await send({"type": "websocket.send", "text": _open_frame(scope, reason)})
            await send({"type": "websocket.close", "code": 1000})

    def guard_handlers(self) -> None:
        """Stand before each of NiceGUI's socket handlers. Refuses to start when they are not the ones we know."""
        handlers: dict[str, Handler] = cast(Any, core.sio).handlers["/"]
        if set(handlers) != _HANDLERS:
            raise RuntimeError("NiceGUI's socket handlers have changed; this version of Proxgate does not know them")
        for name in ("handshake", "event", "javascript_response", "ack"):
            handlers[name] = self._guarded(name, handlers[name])
        handlers["log"] = _log

    def _guarded(self, name: str, handler: Handler) -> Handler:
        if getattr(handler, "guarded", False):  # a second application in one process, as tests have it
            handler = handler.original  # pyright: ignore[reportFunctionMemberAccess]

        async def wrapped(sid: str, message: object = None) -> object:
            client = _own_client(sid, message)
            if client is None or not self._may(name, client, message):
                logger.warning("socket event refused event=%s", name)
                return False
            try:
                result = handler(sid, message)
                return await result if asyncio.iscoroutine(result) else result
            except Exception:  # socket.io's own log is silent, since strangers can fill it
                logger.exception("socket event failed event=%s", name)
                return False

        wrapped.guarded, wrapped.original = True, handler  # pyright: ignore[reportFunctionMemberAccess]
        return wrapped

    def _may(self, name: str, client: Client, message: Any) -> bool:
        if name == "event":
            return self._may_act(client, message)
        _note_questions(client)
        return name != "javascript_response" or message.get("request_id") in _QUESTIONS.get(client, ())

    def _may_act(self, client: Client, message: Any) -> bool:
        if not _is_event(message) or not _is_reachable(client.elements.get(message["id"])):
            return False
        session = visit_of(client.request.scope).session
        if session is None:
            return True
        self._touch(session)
        return self._watch.alive(session.hash)

    def _touch(self, session: Session) -> None:
        """What a person does in an open page keeps the session from falling idle."""
        now = time.monotonic()
        if now - self._touched.get(session.hash, float("-inf")) < self._sessions.limits.idle / _TOUCH_SHARE:
            return
        self._touched = {hash: at for hash, at in self._touched.items() if now - at < self._sessions.limits.idle}
        self._touched[session.hash] = now
        task = asyncio.ensure_future(self._read(session))
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)

    async def _read(self, session: Session) -> None:
        with suppress(SessionEnded, StoreError):  # the watch tells
            await self._sessions.read(session.id)


_RUNNING: set[asyncio.Future[None]] = set()
_QUESTIONS: WeakKeyDictionary[Client, deque[str]] = WeakKeyDictionary()
_MOST_QUESTIONS = 100


def _note_questions(client: Client) -> None:
    """Remember which scripts this tab was asked to answer: NiceGUI takes an answer from whichever tab sends it.

    Called before each acknowledgement, with which NiceGUI forgets what it has sent.
    """
    asked = _QUESTIONS.setdefault(client, deque(maxlen=_MOST_QUESTIONS))
    for _, _, (_, kind, data) in client.outbox.message_history:
        if kind == "run_javascript" and "request_id" in data:
            asked.append(data["request_id"])


def _own_client(sid: str, message: object) -> Client | None:
    """The tab that a message names, if it is the one its socket was let in for and has joined."""
    own = _client_of(cast(Any, core.sio).get_environ(sid))
    named = cast(dict[str, object], message).get("client_id") if isinstance(message, dict) else None
    return Client.instances.get(own) if own is not None and own == named else None


def _is_event(message: Any) -> bool:
    args: Any = message.get("args", [])
    well_formed = isinstance(message.get("id"), int) and isinstance(message.get("listener_id"), str)
    return (
        well_formed and isinstance(args, list) and all(isinstance(arg, str | None) for arg in cast(list[object], args))
    )


def _is_reachable(element: Element | None) -> bool:
    """Whether a person can reach the element: it is there, and neither it nor a parent is hidden or disabled.

    NiceGUI itself looks at the element alone, not at its parents.
    """
    while element is not None:
        if element.is_ignoring_events or not element.visible:
            return False
        if element.parent_slot is None:
            return True
        element = element.parent_slot.parent
    return False


def _log(_: str, message: object = None) -> None:
    """What a page's script complains of: never raw, never long, and below what is logged by default."""
    words = cast(dict[str, object], message).get("message") if isinstance(message, dict) else None
    logger.debug("from a page: %r", str(words)[:_LONGEST_LOG])


async def _load_anew(receive: Receive, send: Send) -> None:
    """What NiceGUI's page takes for "this tab is gone": Engine.IO's greeting, then a refusal. The page reloads."""
    await receive()
    await send({"type": "websocket.accept"})
    greeting: dict[str, Any] = {
        "sid": "gone",
        "upgrades": [],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1000,
    }
    await send({"type": "websocket.send", "text": "0" + json.dumps(greeting)})
    with suppress(TimeoutError):
        async with asyncio.timeout(JOIN_SECONDS):
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            await send({"type": "websocket.send", "text": '44{"message":"Implicit handshake failed"}'})
            await receive()
    await send({"type": "websocket.close", "code": 1000})


def _open_frame(scope: Scope, reason: EndReason) -> str:
    """NiceGUI's own word for "go there", as its socket carries it: the tab itself is deleted by now."""
    own = reason is EndReason.SIGNED_OUT
    address = login_address() if own else login_address(scope[_WANTED], ended=reason.value)
    return "42" + json.dumps(["open", {"path": address, "new_tab": False}])


def _query(scope: Scope, name: str) -> str:
    """The one value of a query parameter, else empty."""
    values = _queries(scope).get(name, [])
    return values[0] if len(values) == 1 else ""


def _queries(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _client_of_transport(sid: str) -> str | None:
    return _client_of(cast(Any, core.sio).environ.get(sid))


def _client_of(environ: dict[str, Any] | None) -> str | None:
    """The tab that a socket was let in for."""
    return environ["asgi.scope"].get(_CLIENT) if environ else None
