"""The line to one address of Proxmox VE: connect, send, read; only errors of ours come out.

What httpx raises holds the request, and a request holds a password or a ticket. So no error of ours is raised while
one of httpx's is being handled, where Python would tie the two together: what remains of it is its types' names.
"""

import asyncio
import logging
import socket
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from importlib.util import find_spec
from typing import Any

import anyio
import h11
import httpx

from services.errors import (
    BadAnswer,
    ClockOff,
    Distrust,
    NotTrusted,
    Outage,
    ProxmoxError,
    SettingsError,
    TicketRejected,
    Unreachable,
)
from services.proxmox import body, clock, credentials, status
from services.proxmox.certificate import certificate_shown, fingerprint
from services.proxmox.models import Address, Peer, Ticket
from services.proxmox.trust import Anchor, Trust, Untrusted, distrust_of

logger = logging.getLogger(__name__)

if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # pyright: ignore[reportArgumentType]  httpcore looks for it four times a request

CONNECT = 3.0
"""Seconds in which TCP and TLS are up, or the address is passed over."""

_LOOK = 2.0  # seconds, for a second handshake that only reads the certificate
_SHARE = 0.45  # of the time that is left, for each of the two: httpx, not the deadline, should end a handshake,
# since only httpx then closes the socket at once
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=3.0)  # Proxmox's own is 5 s
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "Proxgate"}
_EXPLANATION = 64 * 1024  # bytes of a refusal's body worth reading

_NOT_IN_A_HOST = frozenset("/@?#\\%[] ")  # what httpx would quote, and go on
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)
_BROKEN = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, h11.ProtocolError,
           anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)  # fmt: skip


Read = Callable[[bytearray], Awaitable[object]]
"""What is made of a whole body. Raises BadAnswer."""


async def at_once(answer: bytearray) -> object:
    """What stands under "data", as it is."""
    return body.data(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `path` begins below `/api2/json`; `cap` is the longest answer in decoded bytes.

    `read` makes of the body what `Answer.data` holds. With a `peer` it goes to that one server and to no other.
    `ticket` is the one that it stands or falls with. What is `passed_on` whoever is asked hands to another node, and
    it is that one's failure which comes back.
    """

    method: str
    path: str
    cap: int
    read: Read = at_once
    passed_on: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    form: bytes | None = field(default=None, repr=False)
    signing_in: bool = False
    peer: Peer | None = None
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What stood under "data", or what the call's own `read` made of it, and who answered."""

    data: object = field(repr=False)
    peer: Peer


Trouble = Unreachable | NotTrusted | BadAnswer | ClockOff
"""Why an address gave no answer of Proxmox's that counts."""


@dataclass(frozen=True, slots=True)
class Failure:
    """No usable answer. `sent` when the request may have arrived, so that only a read may be asked again."""

    error: Trouble
    sent: bool

    @property
    def answered(self) -> bool:
        """Whether some answer came, though none of use."""
        return isinstance(self.error, Unreachable) and bool(self.error.status)


class Line:
    """One address, the connections to it, and what is known of it.

    `trouble` is why it gave no answer last time, None after an answer and before the first question; `skew` the
    seconds that our clock is ahead of the server's, None before the first answer.
    """

    def __init__(self, address: Address, anchor: Anchor | None, transports: "Transports") -> None:
        self.address = address
        self.anchor = anchor
        self.trouble: Trouble | None = None
        self.skew: float | None = None
        self._told = ""
        self._transports = transports
        self._url = _url(address)
        self._client = _client(transports.of(anchor))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def hold_to(self, anchor: Anchor | None) -> bool:
        """Judge certificates by this anchor from now on; whether that is news. Connections made before are closed."""
        if anchor == self.anchor:
            return False
        before, self._client = self._client, _client(self._transports.of(anchor))
        self.anchor = anchor
        await before.aclose()
        return True

    async def ask(self, call: Call, deadline: asyncio.Timeout, patience: float | None = None) -> Answer | Failure:
        """The answer to a call, or why there is none. Raises Proxmox's refusals.

        `patience` is how many seconds to wait for an answer once the request was sent; None for all that is left.
        """
        try:
            outcome = await self._ask(call, deadline, patience)
        except (asyncio.CancelledError, ProxmoxError) as exc:
            # A caller that went away says nothing of the address; the deadline, which cancels too, does.
            if isinstance(exc, ProxmoxError):
                self._note(None)
            elif is_over(deadline) and not call.passed_on:
                self._note(Unreachable("no answer in time"))
            raise
        if isinstance(outcome, Failure) and not _is_about_the_request(call, outcome):
            self._note(outcome.error)
        elif isinstance(outcome, Answer) or outcome.answered:
            self._note(None)
        return outcome

    def tell_of_distrust(self) -> None:
        """Log it once, and not with every call: it holds until the administrator has looked."""
        told = str(self.trouble) if isinstance(self.trouble, NotTrusted) else ""
        if told and told != self._told:
            logger.error("%s", told)
        self._told = told

    def _note(self, trouble: Trouble | None) -> None:
        self.trouble = trouble

    async def _ask(self, call: Call, deadline: asyncio.Timeout, patience: float | None) -> Answer | Failure:
        timeout, client, anchor = asyncio.timeout(None), self._client, self.anchor
        sending = _Sending(timeout, patience, lambda: self._client is client)
        try:
            async with timeout:
                opened = await self._open(client, call, deadline, sending)
                if isinstance(opened, _Trouble):
                    sending.answering()  # a look at the certificate has a clock of its own
                    error = await self._not_trusted(opened, anchor, _share_of(deadline, _LOOK))
                    return Failure(error, sent=False)
                return await self._read(call, opened, sending) if isinstance(opened, httpx.Response) else opened
        except TimeoutError:  # the deadline's own comes as a CancelledError: this one is ours
            return Failure(Unreachable("no answer in time", sent=sending.sent), sending.sent)
        except BadAnswer as exc:
            return Failure(exc.with_traceback(None), sent=True)

    async def _open(
        self, client: httpx.AsyncClient, call: Call, deadline: asyncio.Timeout, sending: "_Sending"
    ) -> "httpx.Response | Failure | _Trouble":
        """Connect and send: the head of an answer, or why none came; the trouble where it is with the certificate."""
        request = self._request(call, sending, connect=_share_of(deadline, CONNECT))
        try:
            return await client.send(request, stream=True)
        except (*_BROKEN, RuntimeError) as exc:  # the latter when trust changed while we waited for a connection
            trouble = _Trouble.of(exc)
            sent = sending.sent or not isinstance(exc, (*_NOT_CONNECTED, RuntimeError))
        return trouble if trouble.distrust is not None else Failure(trouble.unreachable(sent=sent), sent)

    def _request(self, call: Call, sending: "_Sending", *, connect: float) -> httpx.Request:
        headers = dict(call.headers)
        if call.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = self._url.copy_with(raw_path=f"/api2/json{call.path}".encode("ascii"))
        extensions: dict[str, Any] = {"trace": sending.trace}
        if call.peer and call.peer.ip:  # the name is not looked up again: it may stand for several servers
            headers["Host"] = url.netloc.decode("ascii")
            extensions["sni_hostname"] = url.host
            url = url.copy_with(host=call.peer.ip)
        timeout = httpx.Timeout(None, connect=connect)
        return self._client.build_request(
            call.method, url, content=call.form, headers=headers, timeout=timeout, extensions=extensions
        )

    async def _read(self, call: Call, response: httpx.Response, sending: "_Sending") -> Answer | Failure:
        try:
            async with closed_whole(response):
                self.skew = _skew(response, self.skew)
                refusal = await _refusal(call, response)
                if isinstance(refusal, Unreachable | ClockOff):
                    return Failure(refusal, sent=True)
                if refusal is not None:
                    raise refusal
                sending.answering()
                data = await call.read(await body.read(response, call.cap))
                return Answer(data=data, peer=Peer(address=self.address, ip=_ip(response)))
        except _BROKEN as exc:
            trouble = _Trouble.of(exc)
        return Failure(trouble.unreachable(sent=True), sent=True)

    async def _not_trusted(self, trouble: "_Trouble", anchor: Anchor | None, limit: float) -> NotTrusted:
        """With the fingerprint that was seen; OpenSSL keeps no certificate that it refused, so it takes a second look.

        That look may meet another certificate, and then tells of the later one: nothing is ever trusted by it.
        """
        shown = trouble.fingerprint
        if not shown:
            with suppress(OSError):
                shown = fingerprint(await certificate_shown(self.address, limit))
        return self._transports.trust.refusal(self.address, shown, trouble.distrust or Distrust.UNKNOWN, anchor)


@dataclass(frozen=True, slots=True)
class Transports:
    """Makes what carries the requests of a line, and shares the TLS contexts, of which each takes a while to make."""

    trust: Trust
    given: httpx.AsyncBaseTransport | None = None
    contexts: dict[Anchor | None, ssl.SSLContext] = field(default_factory=dict[Anchor | None, ssl.SSLContext])

    def of(self, anchor: Anchor | None) -> httpx.AsyncBaseTransport:
        """The transport of a line that holds to this anchor. Raises SettingsError."""
        if self.given:
            return self.given
        if anchor not in self.contexts:
            self.contexts[anchor] = self.trust.ssl_context(anchor)
        return httpx.AsyncHTTPTransport(verify=self.contexts[anchor], trust_env=False, http2=False, limits=_LIMITS)


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,  # no proxy, no .netrc
        follow_redirects=False,
        headers=_HEADERS,
        cookies=_NoCookies(),
        event_hooks={"response": [_forget_location]},
    )


@asynccontextmanager
async def closed_whole(response: httpx.Response) -> AsyncGenerator[None]:
    """Close it in any case: cut half way, it would stay open for good in the eyes of httpcore's pool."""
    try:
        yield
    finally:
        await asyncio.shield(asyncio.ensure_future(response.aclose()))


def _is_about_the_request(call: Call, failure: Failure) -> bool:
    """Whether it says nothing of the server: another node gave it or kept silent, or what was posted cannot be done."""
    passed_on = call.passed_on and failure.sent and isinstance(failure.error, Unreachable)
    return passed_on or is_final(call, failure)


def is_final(call: Call, failure: Failure) -> bool:
    """Whether nobody would answer otherwise: a 500 by the node that it is about, or to what was posted."""
    failed = isinstance(failure.error, Unreachable) and failure.error.outage is Outage.FAILED
    return failed and (call.passed_on or call.method != "GET")


class _Sending:
    """Watches one request go out, and sets its clock: so long to connect, then so long for the answer's beginning."""

    def __init__(self, timeout: asyncio.Timeout, patience: float | None, is_trusted: Callable[[], bool]) -> None:
        self.sent = False
        self._timeout = timeout
        self._patience = patience
        self._is_trusted = is_trusted

    async def trace(self, event: str, _: Mapping[str, Any]) -> None:
        """What httpcore tells of its steps. Waiting for a free connection is no one's fault and costs nothing."""
        if event == "connection.connect_tcp.started":
            self._within(CONNECT + 0.2)  # httpx ends each of the two by itself; this is for both together
        elif event.endswith(".send_request_headers.started"):
            if not self._is_trusted():  # httpcore gives a call that waits a connection even after it was closed
                raise RuntimeError("the trust changed meanwhile")
            self.sent = True
            self._within(self._patience)

    def answering(self) -> None:
        """The answer has begun: it may take all the time that is left."""
        self._within(None)

    def _within(self, seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        self._timeout.reschedule(None if seconds is None else now + seconds)


async def _refusal(call: Call, response: httpx.Response) -> ProxmoxError | None:
    page = response.headers.get("content-type", "").lower().startswith("text/html")
    if page and response.is_client_error and response.status_code != 401:  # a 401 is one, whatever comes with it
        return BadAnswer("a page for people, which Proxmox's API never gives")
    explanation = ""
    if status.is_explained(response.status_code, signing_in=call.signing_in):
        explanation = await _explanation(response)
    message = f"{response.reason_phrase}\n{explanation}"
    refusal = status.refusal(response.status_code, message, signing_in=call.signing_in)
    if refusal and not call.signing_in:
        words = status.own_words(response.reason_phrase, explanation)
        refusal.words = "" if credentials.shown_in(words, call.headers, call.ticket) else words
    if call.ticket and isinstance(refusal, TicketRejected) and clock.is_off(call.ticket, _date(response)):
        return ClockOff()
    return refusal


async def _explanation(response: httpx.Response) -> str:
    """The body of a refusal; nothing where it cannot be had, since the status says enough."""
    with suppress(BadAnswer, *_BROKEN):
        return (await body.read(response, _EXPLANATION)).decode("utf-8", "replace")
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """What is worth keeping of an error from below, and safe to keep."""

    cause: ConnectionError
    outage: Outage
    distrust: Distrust | None = None
    fingerprint: str = ""

    @classmethod
    def of(cls, error: Exception) -> "_Trouble":
        chain = tuple(_chain(error))
        cause = ConnectionError(" < ".join(type(link).__name__ for link in chain))
        outage = _outage(error, chain)
        for link in chain:
            if isinstance(link, Untrusted):
                return cls(cause=cause, outage=outage, distrust=link.distrust, fingerprint=link.fingerprint)
            if isinstance(link, ssl.SSLCertVerificationError):
                return cls(cause=cause, outage=outage, distrust=distrust_of(link))
        return cls(cause=cause, outage=outage)

    def unreachable(self, *, sent: bool) -> Unreachable:
        """As an error of ours, its cause set by hand: `raise from` would come too late for one that is returned."""
        failure = Unreachable(f"{self.outage}: {self.cause}", self.outage, sent=sent)
        failure.__cause__ = self.cause
        return failure


def _outage(error: Exception, chain: tuple[BaseException, ...]) -> Outage:
    if any(isinstance(link, socket.gaierror | UnicodeError) for link in chain):
        return Outage.NAME
    if isinstance(error, httpx.ConnectTimeout):
        return Outage.SILENT
    if not isinstance(error, _NOT_CONNECTED):
        return Outage.BROKEN
    if any(isinstance(link, ConnectionRefusedError) for link in chain):
        return Outage.REFUSED
    if any(isinstance(link, ssl.SSLError) for link in chain):
        return Outage.NO_TLS
    return Outage.BROKEN if any(isinstance(link, ConnectionResetError | EOFError) for link in chain) else Outage.SILENT


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, outermost first; of several tried at once, each."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        links += getattr(link, "exceptions", ())
        links.append(link.__cause__ or link.__context__)


def is_over(deadline: asyncio.Timeout) -> bool:
    """Whether a deadline has passed."""
    return seconds_left(deadline) <= 0


def seconds_left(deadline: asyncio.Timeout) -> float:
    """How much of a deadline is left, negative once it has passed."""
    return (deadline.when() or 0.0) - asyncio.get_running_loop().time()


def _share_of(deadline: asyncio.Timeout, most: float) -> float:
    return min(most, _SHARE * max(seconds_left(deadline), 0.0))


def _skew(response: httpx.Response, before: float | None) -> float | None:
    shown = clock.shown(_date(response))
    return before if shown is None else time.time() - shown


def _date(response: httpx.Response) -> str:
    return response.headers.get("date", "")


def _ip(response: httpx.Response) -> str:
    """Which of the name's addresses answered; empty where the transport does not know."""
    stream = response.extensions.get("network_stream")
    place: tuple[str, int] | None = stream.get_extra_info("server_addr") if stream else None
    return place[0] if place else ""


def _url(address: Address) -> httpx.URL:
    wrong = SettingsError("PROXMOX_HOST", f"{address} is not a host name or address")
    if not address.host or _NOT_IN_A_HOST.intersection(address.host):
        raise wrong
    try:
        address.host.encode("idna")  # as the resolver will: it knows more wrong names than the URL does
        return httpx.URL(scheme="https", host=address.host, port=address.port)
    except (httpx.InvalidURL, ValueError) as exc:
        raise wrong from exc


class _NoCookies(CookieJar):
    """Keeps nothing: one client serves everybody, so a cookie of one would be sent with the next one's request."""

    def extract_cookies(self, response: object, request: object) -> None: ...


async def _forget_location(response: httpx.Response) -> None:
    """httpx would build the next request, credentials and all, even where it is not to follow."""
    response.headers.pop("location", None)
