"""What a tab may say: which of its messages reach NiceGUI's handlers.

NiceGUI obeys whichever client id a message names, looks at an element but not at its parents, and writes what pages
complain of raw into the log.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from weakref import WeakKeyDictionary

from engineio.async_socket import AsyncSocket
from nicegui import Client, core
from nicegui.element import Element
from socketio.packet import Packet
from starlette.types import Receive, Scope, Send

from services.errors import SessionEnded, StoreError
from services.logs import Bound
from services.sessions import Session, Sessions
from services.sessions.watch import Watch
from ui import text
from ui.answers import Begun, answer
from ui.language import speaking
from ui.visit import visit_of

logger = logging.getLogger(__name__)

CLIENT = "proxgate.client_id"
"""In the scope of a socket: the tab it was let in for."""

_HANDLERS = {"connect", "handshake", "disconnect", "event", "javascript_response", "ack", "log"}
_LONGEST_LOG = 300
_MOST_QUESTIONS = 100
MOST_WAITING = 300
"""Packets that a tab has not read yet."""

_TOUCH_SHARE = 20
"""An active person moves the idle limit at most twenty times in its length."""

Handler = Callable[..., Any]


class Messages:
    """Stands before NiceGUI's socket handlers."""

    def __init__(self, sessions: Sessions, watch: Watch) -> None:
        self._sessions = sessions
        self._watch = watch
        self._touched: dict[str, float] = {}
        self._refusals = Bound()
        self._touching: set[asyncio.Future[None]] = set()
        self._questions: WeakKeyDictionary[Client, deque[str]] = WeakKeyDictionary()

    def guard_handlers(self) -> None:
        """Stand before each of NiceGUI's socket handlers. Refuses to start when they are not the ones we know."""
        core.sio.packet_class = _Packet
        handlers: dict[str, Handler] = cast(Any, core.sio).handlers["/"]
        if set(handlers) != _HANDLERS:
            raise RuntimeError("NiceGUI's socket handlers have changed; this version of Proxgate does not know them")
        for name in ("handshake", "event", "javascript_response", "ack"):
            handlers[name] = self._guarded(name, handlers[name])
        handlers["log"] = _log
        AsyncSocket.send = _bounded(cast(Handler, AsyncSocket.send))
        core.sio.handle_request = _quietly(cast(Any, core.sio).handle_request)

    def _guarded(self, name: str, handler: Handler) -> Handler:
        if getattr(handler, "guarded", False):  # a second application in one process, as tests have it
            handler = handler.original  # pyright: ignore[reportFunctionMemberAccess]

        async def wrapped(sid: str, *said: object) -> object:
            message = said[0] if len(said) == 1 else None
            client = _own_client(sid, message)
            if client is None:
                return self._refuse(name, "not this tab's to send")
            if not self._may(name, client, message):
                logger.debug("socket event ignored event=%s", name)  # hidden tables, too, tell how they are sorted
                return False
            try:
                with speaking(visit_of(client.request.scope).language):  # the socket may be of a later choice
                    result = handler(sid, message)
                    return await result if asyncio.iscoroutine(result) else result
            except (KeyError, TypeError, ValueError) as exc:
                return self._refuse(name, type(exc).__name__)
            except Exception:  # socket.io's own log is silent, since strangers can fill it
                logger.exception("socket event failed event=%s", name)
                return False

        wrapped.guarded, wrapped.original = True, handler  # pyright: ignore[reportFunctionMemberAccess]
        return wrapped

    def _refuse(self, name: str, why: str) -> bool:
        """Say so in the log, but never so often that strangers could fill it."""
        if self._refusals.lets_through():
            logger.warning("socket event refused event=%s: %s", name, why)
        return False

    def _may(self, name: str, client: Client, message: Any) -> bool:
        if name == "event":
            return self._may_act(client, message)
        self._note_questions(client)
        return name != "javascript_response" or message.get("request_id") in self._questions.get(client, ())

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
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def _read(self, session: Session) -> None:
        with suppress(SessionEnded, StoreError):  # the watch tells
            await self._sessions.read(session.id)

    def _note_questions(self, client: Client) -> None:
        """Remember which scripts this tab was asked to answer: NiceGUI takes an answer from whichever tab sends it.

        Called before each acknowledgement, with which NiceGUI forgets what it has sent.
        """
        asked = self._questions.setdefault(client, deque(maxlen=_MOST_QUESTIONS))
        for _, _, (_, kind, data) in client.outbox.message_history:
            if kind == "run_javascript" and data.get("request_id", "") not in {"", *asked}:
                asked.append(data["request_id"])


class _Packet(Packet):
    """A Socket.IO packet without attachments: NiceGUI's pages send none, and strangers fill memory with them.

    Nor an event by the name of one of Socket.IO's own, with which it would call their handlers.
    """

    def decode(self, encoded_packet: Any) -> int:
        """As Socket.IO has it. Raises ValueError for a packet that is not taken."""
        attachments = cast(Any, super()).decode(encoded_packet)
        if attachments:
            raise ValueError("attachments are not taken")
        data = cast(Any, self).data
        if cast(Any, self).namespace not in {None, "/"}:  # each is answered with its own name, however long
            raise ValueError("another namespace")
        if isinstance(data, list) and data[:1] in (["connect"], ["disconnect"]):
            raise ValueError("not a tab's to send")
        return 0


def _bounded(send: Handler) -> Handler:
    """Engine.IO keeps whatever nobody reads: who lets so much wait has gone, or wants to fill our memory."""
    if getattr(send, "guarded", False):
        return send

    async def wrapped(self: Any, pkt: object) -> None:
        if self.queue.qsize() < MOST_WAITING:
            await send(self, pkt)
        elif not self.closing:
            await self.close(wait=False, abort=True)

    wrapped.guarded = True  # pyright: ignore[reportFunctionMemberAccess]
    return wrapped


def _quietly(handle: Handler) -> Handler:
    """Engine.IO stumbles over a transport, or a sender, that has gone since the request came, and over odd packets."""
    if getattr(handle, "guarded", False):
        return handle

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        sending = Begun(send)
        try:
            await handle(scope, receive, sending)
        except (KeyError, ValueError) as exc:
            logger.debug("socket given up: %s", type(exc).__name__)
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            if sending.begun:
                raise
            return await answer(send, 400, text.NO_SUCH_TAB)

    wrapped.guarded = True  # pyright: ignore[reportFunctionMemberAccess]
    return wrapped


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


def _log(_: str, message: object = None, *_more: object) -> None:
    """What a page's script complains of: never raw, never long, and below what is logged by default."""
    words = cast(dict[str, object], message).get("message") if isinstance(message, dict) else None
    logger.debug("from a page: %r", str(words)[:_LONGEST_LOG])


def client_of_transport(sid: str) -> str | None:
    return _client_of(cast(Any, core.sio).environ.get(sid))


def transports_of(client_id: str) -> int:
    """How many transports a tab has open; one that is left alone is given up after a ping's time."""
    environs = cast("dict[str, dict[str, Any]]", cast(Any, core.sio).environ)
    return sum(_client_of(environ) == client_id for environ in environs.values())


def _client_of(environ: dict[str, Any] | None) -> str | None:
    """The tab that a socket was let in for."""
    return environ["asgi.scope"].get(CLIENT) if environ else None
