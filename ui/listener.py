"""The listening socket: an event loop would take connections until no file is left, and never tell who is too many."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext
from typing import Any, Self, cast
from weakref import WeakSet

import uvicorn

from ui.protocol import HEAD_SECONDS, BoundedHead

_TOLD = 9 / 8
"""Above the limit so many are taken, and told that they are too many; the next are closed at once."""

_NO_FILE_LEFT = {errno.EMFILE, errno.ENFILE}

_AT_ONCE = 100
"""So many are taken before anybody else has a turn."""


class Listener(socket.socket):
    """Takes an eighth more than `limit` connections at a time, and hangs up on the next, before any TLS handshake."""

    def __init__(self, family: int, type: int, proto: int, *, limit: int) -> None:
        super().__init__(family, type, proto)
        self.limit = limit
        self._open: WeakSet[_Connection] = WeakSet()
        self._spare = socket.socket()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection and its address. Raises ConnectionAbortedError for one that is hung up on,
        BlockingIOError when nobody waits.
        """
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
        with suppress(OSError):  # nobody may wait: the system says that no file is left before it looks
            super().accept()[0].close()
        with suppress(OSError):
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

    def detach(self) -> int:
        """What uvloop does instead of closing it: it closes the file by itself."""
        self._others.discard(self)
        return super().detach()


class Reception(asyncio.AbstractServer):
    """Takes what comes to a listener and gives each connection its protocol, over TLS after the handshake."""

    def __init__(self, listener: Listener, protocol: Callable[[], asyncio.Protocol], tls: SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._arriving: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._loop.add_reader(listener, self._take)

    def close(self) -> None:
        """Take no more, and hang up on those whose handshake is under way; the others go on."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for task in self._arriving:
            task.cancel()

    async def wait_closed(self) -> None:
        """Until nobody is between the door and the protocol."""
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                taken, _ = self._listener.accept()
            except OSError:  # nobody waits any more, or somebody was hung up on: who else waits is announced again
                return
            task = self._loop.create_task(self._begin(taken))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _begin(self, taken: socket.socket) -> None:
        try:
            taken.setblocking(False)
            await self._loop.connect_accepted_socket(
                self._protocol, taken, ssl=self._tls, ssl_handshake_timeout=HEAD_SECONDS if self._tls else None
            )
        except OSError:  # who does not finish a handshake is nobody's error
            taken.close()
        except asyncio.CancelledError:
            taken.close()
            raise


class ListeningServer(uvicorn.Server):
    """Uvicorn, which takes connections as above."""

    def __init__(self, config: uvicorn.Config, *listeners: Listener) -> None:
        super().__init__(config)
        self._listeners = listeners

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - it has its own
        """Begin to take what comes."""
        await super().startup([])
        for one in self._listeners:
            self.servers.append(cast(asyncio.Server, Reception(one, self._protocol, self.config.ssl)))

    def _protocol(self) -> BoundedHead:
        return BoundedHead(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
