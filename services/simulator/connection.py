"""One connection, as Proxmox's own HTTP server keeps it: limits, refusals, compression, closing."""

import asyncio
import contextlib
import gzip
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

import h11

from services.simulator.answers import Answer, bare
from services.simulator.request import Request, parse

MAX_REQUESTS = 100
MAX_BODY = 512 * 1024
_GZIP_FROM = 1_024
_GZIP_HASTILY_FROM = 256 * 1024  # Proxmox's level is 6 for all; of a long list that is most of the work
_LINGER = 1.0  # real seconds to take in the rest of a refused body, so that its sender gets to read the answer


class Cut(ConnectionError):
    """The connection shall end at once, with a reset and without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What a connection needs of its server. `idle` is in real seconds, `now` (for the Date header) in Unix seconds.

    `respond` gives None for a request that shall never be answered, and raises Cut for one that ends the connection.
    `origin` is where plain HTTP is sent; without one it is answered.
    """

    respond: Callable[[Request], Awaitable[Answer | None]]
    now: Callable[[], float]
    idle: float
    origin: str = ""


class Connection:
    """Reads requests off one connection and answers each, until either side has had enough."""

    def __init__(self, house: House, reader: StreamReader, writer: StreamWriter, *, encrypted: bool) -> None:
        self._house = house
        self._reader = reader
        self._writer = writer
        self._encrypted = encrypted
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        for left in reversed(range(MAX_REQUESTS)):
            head = await self._event()
            if not isinstance(head, h11.Request):
                return
            answer = await self._answer(head)
            if answer is None:
                await self._silence()
                return
            last = left == 0 or answer.status >= 300
            await self._send(head, answer, last=last)
            if last or self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                await self._linger()
                return
            self._http.start_next_cycle()

    async def _answer(self, head: h11.Request) -> Answer | None:
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
        method, target = head.method.decode(), head.target.decode("ascii", "surrogateescape")
        refusal = self._redirect(method, target) or _refusal(method, headers)
        body = b"" if refusal else await self._body()
        request = parse(method, target, headers, body)
        if request is None:
            return bare(400, "bad request - content is not JSON")
        return refusal or await self._house.respond(request)

    def _redirect(self, method: str, target: str) -> Answer | None:
        """Plain HTTP is sent to https, whatever it asks for."""
        if self._encrypted or not self._house.origin:
            return None
        status, reason = (301, "Moved Permanently") if method == "GET" else (308, "Permanent Redirect")
        return Answer(status=status, reason=reason, location=self._house.origin + target)

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
        return bytes(body)

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await asyncio.wait_for(self._reader.read(65_536), self._house.idle))
        return event

    async def _send(self, head: h11.Request, answer: Answer, *, last: bool) -> None:
        headers = self._common_headers(last=last)
        body = answer.body if head.method != b"HEAD" else b""
        if len(body) >= _GZIP_FROM and _accepts_gzip(head):
            body = await asyncio.to_thread(gzip.compress, body, 6 if len(body) < _GZIP_HASTILY_FROM else 1)
            headers.append(("Content-Encoding", "gzip"))
        if answer.content_type:
            headers.append(("Content-Type", answer.content_type))
        if answer.location:
            headers.append(("Location", answer.location))
        headers.append(("Content-Length", str(len(body))))
        response = h11.Response(status_code=answer.status, reason=_phrase(answer.reason), headers=headers)
        parts = (response, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(part) or b"" for part in parts))
        await self._writer.drain()

    def _common_headers(self, *, last: bool) -> list[tuple[str, str]]:
        # The real one sends both Connection headers when it closes.
        connection = ["close", "Keep-Alive"] if last else ["Keep-Alive"]
        return [
            *(("Connection", word) for word in connection),
            ("Cache-Control", "max-age=0"),
            ("Pragma", "no-cache"),
            ("Server", "pve-api-daemon/3.0"),
            ("Date", formatdate(self._house.now(), usegmt=True)),
        ]

    async def _silence(self) -> None:
        """Never answer; stay until the other side gives up."""
        while await self._reader.read(65_536):
            pass

    async def _linger(self) -> None:
        if self._http.their_state is h11.SEND_BODY:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._body(), _LINGER)


def _refusal(method: str, headers: dict[str, str]) -> Answer | None:
    """What Proxmox refuses from the head alone."""
    if "transfer-encoding" in headers:
        return bare(501, "chunked transfer encoding not supported")
    if int(headers.get("content-length", "0")) > MAX_BODY:
        return bare(501, "for data too large")
    if headers.get("content-type", "").startswith("multipart/"):
        return bare(506, f"upload with {method} not allowed")
    return None


def _phrase(reason: str) -> bytes:
    """A reason phrase may quote the path, percent-decoded: nothing of that may end the line."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in reason).encode()


def _accepts_gzip(head: h11.Request) -> bool:
    return any(name.lower() == b"accept-encoding" and b"gzip" in value for name, value in head.headers)
