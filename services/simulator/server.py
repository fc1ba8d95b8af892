"""The listening socket. One port takes TLS and, to send it away, plain HTTP."""

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from collections.abc import Callable, Sequence

import h11

from services.simulator.connection import Connection, Cut, House

_HANDSHAKE = 0x16  # the first byte of every TLS connection
_CLOSING = 1.0  # real seconds
_ABRUPTLY = struct.pack("ii", 1, 0)  # SO_LINGER: close without waiting, with a reset


class Server:
    """Accepts connections until `close`, which ends all of them.

    `context` is asked anew for each connection; without one there is no TLS.
    """

    def __init__(self, listener: socket.socket, context: Callable[[], ssl.SSLContext] | None, house: House) -> None:
        self._listener = listener
        self._context = context
        self._house = house
        self._connections: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    async def close(self) -> None:
        tasks = [self._accepting, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.create_task(self._serve(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket) -> None:
        """The border: whatever a client does to its connection ends that connection and nothing else."""
        with contextlib.suppress(OSError, h11.RemoteProtocolError), connection:
            encrypted = await asyncio.wait_for(_first_byte(connection), self._house.idle) == _HANDSHAKE
            context = self._context() if self._context and encrypted else None
            reader, writer = await _streams(connection, context)
            try:
                await Connection(self._house, reader, writer, encrypted=encrypted).run()
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), _CLOSING)
            except Cut:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPTLY)
                raise
            finally:
                with contextlib.suppress(AttributeError):  # Python 3.11.2's TLS transport, when closed already
                    writer.transport.abort()
                await asyncio.sleep(0)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)
    listener.setblocking(False)
    return listener


def listen_together(hosts: Sequence[str], port: int, tries: int = 20) -> list[socket.socket]:
    """A listening socket for each host, all on one port; port 0 takes one that is free on all. Raises OSError."""
    try:
        return _listen_on_all(hosts, port)
    except OSError as exc:
        if port == 0 and exc.errno == errno.EADDRINUSE and tries:
            return listen_together(hosts, port, tries - 1)
        where = " and ".join(hosts)
        raise OSError(exc.errno, f"cannot listen on {where}, port {port or 'any'}: {exc.strerror}") from exc


def _listen_on_all(hosts: Sequence[str], port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as opened:
        listeners: list[socket.socket] = []
        for host in hosts:
            port = listeners[0].getsockname()[1] if listeners else port
            listeners.append(opened.enter_context(listen(host, port)))
        opened.pop_all()
        return listeners


async def _first_byte(connection: socket.socket) -> int | None:
    """The first byte, left where it is, so that the TLS handshake still finds it; None when there is none."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection.fileno())
    return next(iter(connection.recv(1, socket.MSG_PEEK)), None)


async def _streams(connection: socket.socket, context: ssl.SSLContext | None) -> tuple[StreamReader, StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = StreamReader()
    protocol = StreamReaderProtocol(reader)
    deadlines = {"ssl_handshake_timeout": 5.0, "ssl_shutdown_timeout": _CLOSING} if context else {}
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context, **deadlines)
    return reader, StreamWriter(transport, protocol, reader, loop)
