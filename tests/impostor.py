"""A TLS server in Proxmox's place that says what it is told to say, and keeps what it hears."""

import contextlib
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from services.certificate import fingerprint, self_signed

RESET, SILENCE = object(), object()
"""Parts of a reply: the connection is torn down, or stays open and nothing more comes."""

Part = bytes | object
Reply = bytes | tuple[Part, ...] | Callable[[], Iterable[Part]]

ABRUPTLY = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: a reset instead of a goodbye


def context_of(pem: str) -> ssl.SSLContext:
    """A server's context for a certificate and its key."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "both.pem")
        file.write_text(pem)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context


class Impostor:
    """One reply a connection: `replies` has them by the path below `/api2/json`, `reply` is for all others.

    `heard` are the requests, `bytes` counts what came after a handshake.
    """

    def __init__(self) -> None:
        pem, key = self_signed(["localhost", "127.0.0.1"])
        self.context = context_of(pem + key)
        self.fingerprint = fingerprint(pem)
        self.reply: Reply = b""
        self.replies: dict[str, Reply] = {}
        self.heard: list[bytes] = []
        self.bytes = 0
        self._listener = Listener(self._answer)
        self.port = self._listener.port

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def forget(self) -> None:
        """What was heard so far."""
        self.heard.clear()
        self.bytes = 0

    def _answer(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(line, server_side=True) as inside:
            inside.settimeout(20)
            heard = self._request(inside)
            self.heard.append(heard)
            path = heard.split()[1].decode().removeprefix("/api2/json").partition("?")[0]
            for part in _parts(self.replies.get(path, self.reply)):
                if part is RESET:
                    time.sleep(0.05)  # what was said before it shall arrive
                    inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
                    return
                if part is SILENCE:
                    inside.recv(1)
                    return
                inside.sendall(part)

    def _request(self, inside: ssl.SSLSocket) -> bytes:
        heard = b""
        while b"\r\n\r\n" not in heard or (heard.startswith(b"POST") and b"password=" not in heard):
            if not (part := inside.recv(65536)):
                raise ConnectionError
            self.bytes += len(part)
            heard += part
        return heard


def _parts(reply: Reply) -> Iterable[Part]:
    if callable(reply):
        return reply()
    return reply if isinstance(reply, tuple) else (reply,)


class Listener:
    """Counts the connections that are made to it, and hangs up on each, unless somebody takes it."""

    def __init__(self, take: Callable[[socket.socket], None] = socket.socket.close) -> None:
        self.connections = 0
        self._take = take
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._take, args=(line,), daemon=True).start()


def http(status: int | str, body: bytes = b"", *lines: str, length: int | None = None) -> bytes:
    """An HTTP answer, the last one of its connection."""
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    return "\r\n".join((*head, *lines, "", "")).encode() + body
