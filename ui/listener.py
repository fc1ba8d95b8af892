"""The listening socket: asyncio would take connections until no file is left, and log each that it could not take."""

import errno
import socket
from contextlib import suppress
from typing import Any, Self
from weakref import WeakSet

_TOLD = 9 / 8
"""Above the limit so many are taken, and told that they are too many; the next are closed at once."""

_NO_FILE_LEFT = {errno.EMFILE, errno.ENFILE}


class Listener(socket.socket):
    """Takes an eighth more than `limit` connections at a time, and hangs up on the next, before any TLS handshake."""

    def __init__(self, family: int, type: int, proto: int, *, limit: int) -> None:
        super().__init__(family, type, proto)
        self.limit = limit
        self._open: WeakSet[_Connection] = WeakSet()
        self._spare = socket.socket()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection and its address. Raises ConnectionAbortedError, over which asyncio says nothing."""
        try:
            taken, address = super().accept()
        except OSError as exc:
            if exc.errno in _NO_FILE_LEFT:
                self._turn_away()
                raise ConnectionAbortedError from exc
            raise
        if len(self._open) >= int(self.limit * _TOLD):
            taken.close()
            raise ConnectionAbortedError
        return _Connection.among(self._open, taken), address

    def close(self) -> None:
        """Listen no more; the connections go on."""
        self._spare.close()
        super().close()

    def _turn_away(self) -> None:
        """Who waits would be announced again at once, so that one file is kept to hang up with."""
        self._spare.close()
        with suppress(OSError):
            super().accept()[0].close()
            self._spare = socket.socket()


class _Connection(socket.socket):
    """Counts as long as it is open."""

    _others: "WeakSet[Self]"

    @classmethod
    def among(cls, others: "WeakSet[Self]", taken: socket.socket) -> Self:
        """The same connection, counted among the others."""
        made = cls(taken.family, taken.type, taken.proto, taken.detach())
        made._others = others
        others.add(made)
        return made

    def close(self) -> None:
        self._others.discard(self)
        super().close()
