"""Hanging up on who does not read what is sent: asyncio would keep it, and the connection, for ever."""

import asyncio
from typing import Any

READ_SECONDS, READ_BYTES = 20, 16 * 1024
"""Of what is more than the system takes at once, so much must be read in any so long time."""


class HangsUp(asyncio.Protocol):
    """Watches a connection's unread bytes, from the first to the last of them; to be mixed into a protocol."""

    transport: asyncio.Transport
    _reading: asyncio.TimerHandle | None = None
    _was_read = False

    def connection_made(self, transport: Any) -> None:
        """A connection begins: let us know of any byte that the system does not take."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=1, low=0)  # TLS takes 0 and none unread for too much

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ends."""
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """There is more than the system takes at once."""
        super().pause_writing()
        if self._reading is None:
            self._expect_reading()

    def resume_writing(self) -> None:
        """All of it has been taken."""
        self._was_read = True
        super().resume_writing()

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
