"""What is sent is compressed: pages each time, and files, which are the same for everybody, once."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware, GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.visit import headers

SMALLEST = 600
PAGE_LEVEL = 4
"""Of gzip, for what is compressed each time: half the work of the highest, for a twentieth more bytes."""

MOST_BYTES = 32 * 1024 * 1024
"""Of files, as they lie on the disk, whose compressed form is kept; NiceGUI's own are less than that."""

_STRONG = re.compile(r'"[^"]*"')


class Compression:
    """Wraps everything. `is_file` tells of a path whether a file of anybody's lies there. NiceGUI looks for `.app`."""

    def __init__(self, app: ASGIApp, is_file: Callable[[str], object]) -> None:
        self.app = app
        self._other = GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=PAGE_LEVEL)
        self._is_file = is_file
        self._packed: dict[bytes, asyncio.Task[bytes]] = {}
        self._room = MOST_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        packs = scope["type"] == "http" and any("gzip" in one for one in headers(scope, b"accept-encoding"))
        if packs and self._is_file(scope["path"]):
            return await self.app(scope, receive, self._packing(send))
        if packs:
            return await self.app(scope, receive, _Packing(self.app, send))
        return await self._other(scope, receive, send)

    def _packing(self, send: Send) -> Send:
        held: list[Message] = []  # until the whole file is there

        async def wrapped(message: Message) -> None:
            held.append(message)
            if message["type"] == "http.response.start" or message.get("more_body"):
                return
            start, *parts = held
            body = b"".join(part.get("body", b"") for part in parts)
            headers = MutableHeaders(raw=start["headers"])
            headers.add_vary_header("Accept-Encoding")
            if start["status"] == 200 and len(body) >= SMALLEST and "content-encoding" not in headers:
                body = await self._pack(body, headers)
            await send(start)
            await send({"type": "http.response.body", "body": body})

        return wrapped

    async def _pack(self, body: bytes, headers: MutableHeaders) -> bytes:
        """The shorter of the two forms, and the headers that go with it."""
        packed = await self._packed_once(body)
        if not packed:
            return body
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(packed))
        if _STRONG.fullmatch(etag := headers.get("etag", "")):
            headers["ETag"] = f"W/{etag}"  # a strong one would say that both forms are the same bytes
        return packed

    async def _packed_once(self, body: bytes) -> bytes:
        """By what is in the file: nobody has to notice that it has changed."""
        digest = hashlib.sha256(body).digest()
        packing = self._packed.get(digest)
        if packing is None:
            packing = asyncio.create_task(asyncio.to_thread(_gzipped, body))
            if len(body) <= self._room:
                self._room -= len(body)
                self._packed[digest] = packing
        return await asyncio.shield(packing)


class _Packing:
    """A `send` that compresses as Starlette does, and makes nothing for that where an answer is short."""

    def __init__(self, app: ASGIApp, send: Send) -> None:
        self._app = app
        self._send = send
        self._start: Message | None = None
        self._responder: GZipResponder | None = None

    async def __call__(self, message: Message) -> None:
        if self._responder is not None:
            return await self._responder.send_with_compression(message)
        if message["type"] == "http.response.start":
            self._start = message
            return None
        start, short = self._start, not message.get("more_body") and len(message.get("body", b"")) < SMALLEST
        if start is None:
            return await self._send(message)
        if short and message["type"] == "http.response.body":
            await self._send(start)
            return await self._send(message)
        self._responder = GZipResponder(self._app, SMALLEST, compresslevel=PAGE_LEVEL)
        self._responder.send = self._send
        await self._responder.send_with_compression(start)
        return await self._responder.send_with_compression(message)


def _gzipped(body: bytes) -> bytes:
    """Empty where that would be no shorter, as of pictures."""
    packed = gzip.compress(body, mtime=0)
    return packed if len(packed) < len(body) else b""
