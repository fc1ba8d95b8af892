"""Uvicorn's protocols, which wait for ever for what a stranger leaves undone: not here."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ui.unread import HangsUp

LARGEST_HEAD = 64 * 1024
"""Bytes, which is three times as much as all cookies that a browser mostly keeps for a name. Of a head that has not
ended what one read brings may come to that."""


HEAD_SECONDS = 10
"""A connection that has not said what it wants by then is closed; over TLS it has as long for its handshake before."""


MOST_HEADERS = 200
"""Of a request; each costs far more than its bytes."""

MOST_WAITING = 16
"""Requests that one connection may send before it has the answer to the first. No browser does that at all."""

MOST_UNREAD = 4 * 1024 * 1024
"""Bytes for a page that it has not read; who sends more before reading them is hung up on at once."""


class _Forgiving:
    """A transport that takes what is said to nobody: an answer does not hear at once that its connection has gone.

    Of several requests on their way at once only the last would hear it at all. uvloop raises for each such word.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it, while there is anybody."""
        if not self._transport.is_closing():
            self._transport.write(data)


class BoundedHead(HangsUp, HttpToolsProtocol):
    """Answers 400 to too long a head, and closes when none comes or an answer is not read."""

    _in_head = True
    _head = 0
    _read = 0
    _refused = False
    _until = 0.0  # by the loop's clock
    _then: Callable[[], None] | None = None
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection begins, and with it the wait for a head."""
        super().connection_made(_Forgiving(transport))
        self._wait(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ends."""
        self._end_patience()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # Uvicorn does not where the connection was reset
        self.pipeline.clear()  # these hold us: memory is to be free at once, however many such connections come
        self.cycle = cast(Any, None)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head has ended, and whatever else that is no body, such as trailers."""
        if self._refused:
            return
        self._read = len(data)
        self._head += self._read
        super().data_received(data)
        if self._head > LARGEST_HEAD and not self._refused:  # and it has not ended
            self._refuse() if self._in_head else self._hang_up()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        self._wait(HEAD_SECONDS, self.transport.abort)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head = False
        self._then = None
        most, self._head = max(self._head, self._read), 0  # whatever else was read with it
        if self._refused:
            return
        if len(self.headers) > MOST_HEADERS or (most > LARGEST_HEAD and self._size() > LARGEST_HEAD):
            self._refuse()
        elif len(self.pipeline) >= MOST_WAITING - 1:  # which leaves out the one that is being answered
            self._hang_up()
        else:
            super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of a head; trailers, which come after a body, are nobody's to believe, or to keep."""
        if self._in_head and len(self.headers) <= MOST_HEADERS:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._head = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has ended."""
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer ends: the next head must begin in time; Uvicorn waits for it no more once any byte has come."""
        super().on_response_complete()
        if self.cycle and self.cycle.response_complete and not self._in_head:
            self._wait(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def handle_websocket_upgrade(self) -> None:
        """Refuse what the websocket library would not read, and Uvicorn leave without an answer."""
        if self._refused:
            return
        if self.cycle and not self.cycle.response_complete:  # it would never hear of its connection's end
            self.transport.abort()
            return
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if isinstance(socket, BoundedSocket) and not socket.handshake_initiated:
            self.send_400_response("No websocket handshake.")
        self._end_patience()
        self.parser = cast(Any, None)  # which holds this; as Uvicorn does where the connection itself ends

    def _refuse(self) -> None:
        """400, and whatever else comes is not looked at."""
        self._refused = True
        self.send_400_response("Request head too large.")

    def _size(self) -> int:
        """Of the head: what was read last may hold some of a body too."""
        line = len("GET  HTTP/1.1\r\n\r\n") + len(self.url)
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _hang_up(self) -> None:
        self._refused = True
        self.transport.abort()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        """At least HEAD_SECONDS. The timer that looks whether they are over goes on from one wait to the next."""
        self._until, self._then = self.loop.time() + seconds, then
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._look)

    def _end_patience(self) -> None:
        """Nothing is waited for, and nothing held for it."""
        self._then = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _look(self) -> None:
        self._patience, then = None, self._then
        if then is None:
            return
        left = self._until - self.loop.time()
        if left > 0:
            self._patience = self.loop.call_later(min(left, HEAD_SECONDS), self._look)
        else:
            then()


class BoundedSocket(HangsUp, WebSocketsSansIOProtocol):
    """A websocket that closes when what it says is not read, and whose farewell fails for nobody else."""

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ends; the generator that reads it, and errors with where they came from, hold themselves."""
        super().connection_lost(exc)
        self.conn.parser.close()
        for error in (self.conn.handshake_exc, self.conn.parser_exc):
            _forget_where(error)

    def data_received(self, data: bytes) -> None:
        """Each ping has an answer, read or not."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server stops; a handshake that was refused, or a farewell that was said, cannot be followed by one."""
        try:
            super().shutdown()
        except Exception:  # noqa: BLE001 - of many kinds, and none may keep the others from their answers
            self.transport.abort()


def _forget_where(error: BaseException | None) -> None:
    """Let go of what the error came through, which holds the error."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
