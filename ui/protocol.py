"""Uvicorn's HTTP protocol, which waits for a request's head for ever and keeps it however long it is: not here."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 512 * 1024
"""Bytes, more than one read brings, so that a body that comes along with its head is not taken for a part of it."""


HEAD_SECONDS = 10
"""A connection that has not said what it wants by then is closed."""


_TOLD = 9 / 8
"""Above the limit so many are taken, and told that they are too many; the next are closed at once."""


class BoundedHead(HttpToolsProtocol):
    """Answers 400 to a head that is too long, and closes when a head does not come, or too many come."""

    _in_head = True
    _head = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection begins, and with it the wait for a head."""
        super().connection_made(transport)
        if self.limit_concurrency and len(self.connections) > self.limit_concurrency * _TOLD:
            return transport.abort()  # without a file left, asyncio would log each of them, again and again
        return self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ends."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head has ended."""
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > LARGEST_HEAD:
            self.send_400_response("Request head too large.")
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
