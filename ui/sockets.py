"""What passes through a tab's socket, and when.

NiceGUI checks a socket once, accepts any origin and obeys any client id; here a socket belongs to one tab, the tab to
one session, and every frame passes only while that session was confirmed less than a second ago. With the store
silent, frames wait, and the page is covered. When the session ends the last frame takes the tab to the login card.
"""

import asyncio
import json
import logging
from collections import Counter
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import parse_qs

from nicegui import Client
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.limiter import network
from services.errors import EndReason, SessionEnded
from services.sessions import Session
from services.sessions.watch import PERIOD, Watch
from ui import text
from ui.addresses import login_address
from ui.answers import answer
from ui.frames import Valve, frame
from ui.messages import CLIENT, client_of_transport, transports_of
from ui.tabs import Tabs
from ui.visit import Visit, header, visit_of

logger = logging.getLogger(__name__)

SOCKETS = "/_nicegui_ws"
SOCKET_PATH = f"{SOCKETS}/socket.io/"
_WANTED = "proxgate.wanted"
_COVER, _UNCOVER = "proxgate.cover(true)", "proxgate.cover(false)"  # of assets/page.js
OWN_WAY_SECONDS = 0.5
SOCKETS_PER_CARD = 2
TRANSPORTS_PER_TAB = 10
"""A page on a shaky line opens one after the other, and those it left take a while to be given up."""

GONE_PER_ADDRESS, GONE_IN_ALL = 20, 100
LARGEST_POST = 1_000_000
POLL_SECONDS = {"GET": 15, "POST": 2}
"""Longer than any poll waits for news, since Engine.IO pings more often; a post waits for nothing."""

BETWEEN_POLLS = POLL_SECONDS["GET"] + 3
"""Seconds from one poll's beginning until the next one has surely begun."""

JOIN_SECONDS = 6
"""A stranger's socket that joins no card is closed after so long."""


class SocketGate:
    """Lets sockets and polls in to NiceGUI."""

    def __init__(self, app: ASGIApp, watch: Watch, tabs: Tabs) -> None:
        self._app = app
        self._watch = watch
        self._tabs = tabs
        self._strangers: Counter[tuple[str, str]] = Counter()
        watch.on_end(tabs.close_session)

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A websocket from a page of ours, let in, its session already in the visit."""
        session = visit_of(scope).session
        if session is None:
            return await self._stranger(scope, receive, send)
        valve = Valve(self._watch, session.hash, receive, send)
        with self._watch.watching(session):
            asides = [
                asyncio.create_task(self._farewell(session, scope, send)),
                asyncio.create_task(self._tell_silence(session, send)),
            ]
            try:
                await self._app(scope, valve.receive, valve.send)
            finally:
                valve.close()
                for aside in asides:
                    aside.cancel()

    async def poll(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A long poll of a signed-in tab: the transport of those whose websockets are blocked."""
        session = visit_of(scope).session
        known = scope["method"] != "POST" or bool(_query(scope, "sid"))
        if session is None or not known:
            return await answer(send, 400, text.NO_SUCH_TAB)
        if int(header(scope, b"content-length") or 0) > LARGEST_POST:
            return await answer(send, 413, text.TOO_LARGE)
        self._watch_on(session)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        with self._watch.watching(session):
            posts = scope["method"] == "POST"  # whose answer is "ok", and no news
            passing = sending if posts else self._answering(session, sending)
            work = asyncio.ensure_future(self._app(scope, receive, passing))
            end = asyncio.create_task(self._watch.ended(session.hash))
            try:
                await asyncio.wait(
                    {work, end}, timeout=POLL_SECONDS[scope["method"]], return_when=asyncio.FIRST_COMPLETED
                )
                if begun or work.done():  # half an answer cannot be taken back
                    await work
                elif end.done():
                    await answer(send, 200, self._open_frame(scope, end.result()))
                else:
                    await answer(send, 400, text.NO_SUCH_TAB)
            finally:
                end.cancel()
                work.cancel()

    def last_word(self, scope: Scope, reason: EndReason) -> str:
        """The way to the card for a poll whose tab was frozen since the one before; empty where there is none."""
        way = self._tabs.kept.way_back(_query(scope, "client_id"))
        known = way and self._tabs.kept.awaits(way, visit_of(scope))
        return frame("open", {"path": login_address(way, ended=reason.value), "new_tab": False}) if known else ""

    def _watch_on(self, session: Session) -> None:
        """A page that polls is away between two polls: its session is watched meanwhile too."""
        stack = ExitStack()
        stack.enter_context(self._watch.watching(session))
        asyncio.get_running_loop().call_later(BETWEEN_POLLS, stack.close)

    def lets_in(self, scope: Scope) -> bool:
        """Whether the tab named in the query is this visitor's, and the transport, if one is named, is that tab's.

        A tab that is gone is nobody's: its page is told so, and loads anew.
        """
        client_id, visit = _query(scope, "client_id"), visit_of(scope)
        if not client_id or (visit.session is None and not visit.browser):
            return False
        if "sid" in _queries(scope):
            if client_of_transport(_query(scope, "sid")) != client_id:
                return False
        elif transports_of(client_id) >= TRANSPORTS_PER_TAB:
            return False
        scope[CLIENT] = client_id
        scope[_WANTED] = self._tabs.address(client_id)
        return _is_of(self._tabs.visit(client_id), visit)

    def is_anothers(self, scope: Scope) -> bool:
        """Whether the tab or the transport named in the query is somebody else's, and not merely gone."""
        client_id, owner = _query(scope, "client_id"), client_of_transport(_query(scope, "sid"))
        way = self._tabs.kept.way_back(client_id)
        if way and self._tabs.kept.awaits(way, visit_of(scope)):  # frozen, and comes back by the card
            return False
        return owner not in {None, client_id} or not _is_of(self._tabs.visit(client_id), visit_of(scope))

    async def _stranger(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The socket of a login card, and for a card that is gone the word to load anew; a few of each."""
        client_id: str = scope[CLIENT]
        gone = self._tabs.visit(client_id) is None
        place = network(visit_of(scope).address)
        owners = [("gone", place), ("gone", "")] if gone else [("card", client_id)]
        limits = [GONE_PER_ADDRESS, GONE_IN_ALL] if gone else [SOCKETS_PER_CARD]
        if any(self._strangers[owner] >= limit for owner, limit in zip(owners, limits, strict=True)):
            return await send({"type": "websocket.close", "code": 1008})
        self._strangers.update(owners)
        try:
            await (_load_anew(receive, send) if gone else self._card(client_id, scope, receive, send))
        finally:
            self._strangers.subtract(owners)
            self._strangers += Counter()  # drops those at zero
        return None

    async def _card(self, client_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(None) as patience:
                joining = asyncio.create_task(self._join_in_time(client_id, patience))
                try:
                    await self._app(scope, receive, send)
                finally:
                    joining.cancel()
        except TimeoutError:
            await send({"type": "websocket.close", "code": 1008})

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
        if reason is EndReason.SIGNED_OUT:  # the tab that signed out is on its way already
            await asyncio.sleep(OWN_WAY_SECONDS)
        with suppress(Exception):
            await send({"type": "websocket.send", "text": self._open_frame(scope, reason)})
            await send({"type": "websocket.close", "code": 1000})

    async def _tell_silence(self, session: Session, send: Send) -> None:
        """Have the page covered while the store is silent; until then nothing that is done there has any effect."""
        while True:
            await self._watch.silent(session.hash)
            with suppress(Exception):  # it may not be open yet
                await send({"type": "websocket.send", "text": frame("run_javascript", {"code": _COVER})})
                await self._watch.confirmed(session.hash)
                await send({"type": "websocket.send", "text": frame("run_javascript", {"code": _UNCOVER})})
            await asyncio.sleep(PERIOD)

    def _open_frame(self, scope: Scope, reason: EndReason) -> str:
        """NiceGUI's own word for "go there", as its socket carries it: the tab itself is gone, or frozen, by now."""
        if reason is EndReason.SIGNED_OUT:
            address = login_address()
        else:
            address = login_address(self._tabs.way_back(scope[CLIENT], scope[_WANTED]), ended=reason.value)
        return frame("open", {"path": address, "new_tab": False})


def _is_of(tab: Visit | None, visit: Visit) -> bool:
    """Whether a tab is this visitor's, or nobody's any more."""
    if tab is None:
        return True
    if tab.session is None:
        return tab.browser == visit.browser
    return visit.session is not None and tab.session.hash == visit.session.hash


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


def _query(scope: Scope, name: str) -> str:
    """The one value of a query parameter, else empty."""
    values = _queries(scope).get(name, [])
    return values[0] if len(values) == 1 else ""


def _queries(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
