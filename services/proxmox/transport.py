"""The one way to Proxmox VE: every request goes through `Funnel.ask`, and only errors of ours come out.

What httpx raises holds the request, and a request holds a password or a ticket. So no error of ours is raised while
one of httpx's is being handled, where Python would tie the two together: what remains of it is its types' names.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http.cookiejar import CookieJar

import anyio
import h11
import httpx

from services.errors import BadAnswer, Distrust, NotTrusted, ProxmoxError, SettingsError, Unreachable
from services.proxmox import body, status
from services.proxmox.certificate import certificate_shown, fingerprint
from services.proxmox.models import Address
from services.proxmox.trust import Trust, Untrusted, distrust_of

logger = logging.getLogger(__name__)

_CONNECT = 3.0  # seconds, for TCP and for TLS
_LOOK = 2.0  # seconds, for a second handshake that only reads the certificate
_SHARE = 0.45  # of the time that is left, for each of the two: httpx, not the deadline, must end a handshake,
# since only httpx then closes the socket at once
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=3.0)  # Proxmox's own is 5 s
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "Proxgate"}
_EXPLANATION = 64 * 1024  # bytes of a refusal's body worth reading

_NOT_IN_A_HOST = frozenset("/@?#\\%[] ")  # what httpx would quote, and go on
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)
_BROKEN = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, h11.ProtocolError,
           anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `path` begins below `/api2/json`; `cap` is the longest answer in decoded bytes."""

    method: str
    path: str
    cap: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    form: bytes | None = field(default=None, repr=False)
    signing_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What stood under "data", and the server's `Date` header."""

    data: object = field(repr=False)
    date: str = ""


class Funnel:
    """Sends each call to one address: the next one is asked only where no connection could be made.

    Whichever answered last is asked first.
    """

    def __init__(
        self, addresses: Sequence[Address], trust: Trust, *, deadline: float, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._base_urls = {address: _base_url(address) for address in addresses}
        self._order = list(self._base_urls)
        self._deadline = deadline
        self._client = _client(transport or httpx.AsyncHTTPTransport(
            verify=trust.ssl_context(), trust_env=False, http2=False, limits=_LIMITS))  # fmt: skip

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def ask(self, call: Call) -> Answer:
        """The answer to a call, within one deadline for all of it, from connecting to the last byte.

        Raises a ProxmoxError. Nothing is asked twice once it was sent.
        """
        try:
            return await self._ask_in_time(call)
        except ProxmoxError as exc:
            # Its traceback would show a body and headers to whatever prints the variables of each frame.
            raise exc.with_traceback(None) from exc.__cause__

    async def _ask_in_time(self, call: Call) -> Answer:
        distrusted: list[NotTrusted] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline) as deadline:
                return await self._ask_in_turn(call, distrusted, deadline)
        raise distrusted[0] if distrusted else Unreachable(f"no answer within {self._deadline} s")

    async def _ask_in_turn(self, call: Call, distrusted: list[NotTrusted], deadline: asyncio.Timeout) -> Answer:
        unreachable = Unreachable("no address")
        for address in tuple(self._order):
            answer = await self._ask_at(address, call, deadline)
            if isinstance(answer, Answer):
                _tell_of(distrusted)
                return answer
            if isinstance(answer, NotTrusted):
                distrusted.append(answer)
            else:
                unreachable = answer
        raise distrusted[0] if distrusted else unreachable

    async def _ask_at(
        self, address: Address, call: Call, deadline: asyncio.Timeout
    ) -> Answer | NotTrusted | Unreachable:
        """The answer of one address, or why no connection was made. An address that fails is asked last from now on.

        That takes in one that hangs, or answers 595: this call has failed then, the next one need not.
        """
        try:
            opened = await self._open(call, address, deadline)
            if isinstance(opened, httpx.Response):
                return await _answer(call, opened)
        except (Unreachable, asyncio.CancelledError) as exc:
            # A caller that went away says nothing of the address; the deadline, which cancels too, does.
            if isinstance(exc, Unreachable) or _is_over(deadline):
                self._put_last(address)
            raise
        self._put_last(address)
        return opened

    def _put_last(self, address: Address) -> None:
        self._order.sort(key=lambda other: other == address)

    async def _open(
        self, call: Call, address: Address, deadline: asyncio.Timeout
    ) -> httpx.Response | NotTrusted | Unreachable:
        """Connect and send: the head of an answer, or why no connection was made. Raises what came after that."""
        request = self._request(call, address, connect=_share_of(deadline, _CONNECT))
        try:
            return await self._client.send(request, stream=True)
        except _BROKEN as exc:
            trouble = _Trouble.of(exc)
        if trouble.distrust is not None:
            return await _not_trusted(address, trouble, _share_of(deadline, _LOOK))
        if trouble.was_sent:
            raise trouble.unreachable()
        return trouble.unreachable()

    def _request(self, call: Call, address: Address, *, connect: float) -> httpx.Request:
        headers = dict(call.headers)
        if call.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = self._base_urls[address] + call.path
        timeout = httpx.Timeout(None, connect=connect)
        return self._client.build_request(call.method, url, content=call.form, headers=headers, timeout=timeout)


async def _answer(call: Call, response: httpx.Response) -> Answer:
    try:
        async with aclosing(response):
            refusal = await _refusal(call, response)
            if refusal is not None:
                raise refusal
            data = body.data(await body.read(response, call.cap))
            return Answer(data=data, date=response.headers.get("date", ""))
    except _BROKEN as exc:
        trouble = _Trouble.of(exc)
    raise trouble.unreachable()


async def _refusal(call: Call, response: httpx.Response) -> ProxmoxError | None:
    message = response.reason_phrase
    if status.is_explained(response.status_code, signing_in=call.signing_in):
        message += "\n" + await _explanation(response)
    return status.refusal(response.status_code, message, signing_in=call.signing_in)


async def _explanation(response: httpx.Response) -> str:
    """The body of a refusal; nothing where it cannot be had, since the status says enough."""
    with suppress(BadAnswer, *_BROKEN):
        return (await body.read(response, _EXPLANATION)).decode("utf-8", "replace")
    return ""


async def _not_trusted(address: Address, trouble: "_Trouble", limit: float) -> NotTrusted:
    """With the fingerprint that was seen; OpenSSL keeps no certificate that it refused, so that takes a second look."""
    shown = trouble.fingerprint
    if not shown:
        with suppress(OSError):
            shown = fingerprint(await certificate_shown(address, limit))
    return NotTrusted(str(address), shown, trouble.distrust or Distrust.UNKNOWN)


def _tell_of(distrusted: Sequence[NotTrusted]) -> None:
    for passed_over in distrusted:
        logger.warning("asked another address: %s", passed_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """What is worth keeping of an error from below, and safe to keep."""

    cause: ConnectionError
    was_sent: bool
    distrust: Distrust | None = None
    fingerprint: str = ""

    @classmethod
    def of(cls, error: Exception) -> "_Trouble":
        chain = tuple(_chain(error))
        cause = ConnectionError(" < ".join(type(link).__name__ for link in chain))
        was_sent = not isinstance(error, _NOT_CONNECTED)
        for link in chain:
            if isinstance(link, Untrusted):
                return cls(cause=cause, was_sent=was_sent, distrust=link.distrust, fingerprint=link.fingerprint)
            if isinstance(link, ssl.SSLCertVerificationError):
                return cls(cause=cause, was_sent=was_sent, distrust=distrust_of(link))
        return cls(cause=cause, was_sent=was_sent)

    def unreachable(self) -> Unreachable:
        """As an error of ours, its cause set by hand: `raise from` would come too late for one that is returned."""
        failure = Unreachable("no connection" if not self.was_sent else "the connection broke")
        failure.__cause__ = self.cause
        return failure


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _is_over(deadline: asyncio.Timeout) -> bool:
    return (deadline.when() or 0.0) <= asyncio.get_running_loop().time()


def _share_of(deadline: asyncio.Timeout, most: float) -> float:
    left = (deadline.when() or 0.0) - asyncio.get_running_loop().time()
    return min(most, _SHARE * max(left, 0.0))


def _base_url(address: Address) -> str:
    wrong = SettingsError("PROXMOX_HOST", f"{address} is not a host name or address")
    if not address.host or _NOT_IN_A_HOST.intersection(address.host):
        raise wrong
    try:
        address.host.encode("idna")  # as the resolver will: it knows more wrong names than the URL does
        return str(httpx.URL(scheme="https", host=address.host, port=address.port, path="/api2/json"))
    except (httpx.InvalidURL, ValueError) as exc:
        raise wrong from exc


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,  # no proxy, no .netrc
        follow_redirects=False,
        headers=_HEADERS,
        cookies=_NoCookies(),
        event_hooks={"response": [_forget_location]},
    )


class _NoCookies(CookieJar):
    """Keeps nothing: one client serves everybody, so a cookie of one would be sent with the next one's request."""

    def extract_cookies(self, response: object, request: object) -> None: ...


async def _forget_location(response: httpx.Response) -> None:
    """httpx would build the next request, credentials and all, even where it is not to follow."""
    response.headers.pop("location", None)
