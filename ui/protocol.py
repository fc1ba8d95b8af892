"""Uvicorn's HTTP protocol, which waits for ever, for a request's head as for its answer to be read: not here."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 512 * 1024
"""Bytes, more than one read brings, so that a body that comes along with its head is not taken for a part of it."""


HEAD_SECONDS = 10
"""A connection that has not said what it wants by then is closed; over TLS it has as long for its handshake before."""


READ_SECONDS, READ_BYTES = 20, 16 * 1024
"""Of an answer that is more than the system takes at once, so much must be read in any so long time."""


class BoundedHead(HttpToolsProtocol):
    """Answers 400 to too long a head, and closes when none comes or an answer is not read."""

    _in_head = True
    _head = 0
    _patience: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _was_read = False

    def connection_made(self, transport: Any) -> None:
        """A connection begins, and with it the wait for a head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ends."""
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The answer is longer than the system takes at once."""
        super().pause_writing()
        if self._reading is None:
            self._expect_reading()

    def resume_writing(self) -> None:
        """Nearly all of it has been read."""
        self._was_read = True
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked; what is still to be read would hold the connection open for ever."""
        if self._reading is None and self.transport.get_write_buffer_size():
            self._expect_reading()
        super().timeout_keep_alive_handler()

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

    def _expect_reading(self) -> None:
        self._was_read = False
        left = self.transport.get_write_buffer_size()
        self._reading = asyncio.get_running_loop().call_later(READ_SECONDS, self._judge_reading, left)

    def _judge_reading(self, before: int) -> None:
        self._reading = None
        left = self.transport.get_write_buffer_size()
        if left and not self._was_read and before - left < READ_BYTES:
            self.transport.abort()
        elif left:
            self._expect_reading()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
