"""The outermost wall: whose request is this, is it for us at all, and what every answer carries.

Nothing of a request's Host or X-Forwarded-* is believed unless the setting says so, and nothing of them goes further
in. Answers to strangers build nothing.
"""

import ipaddress
import logging
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.logs import REQUEST
from services.settings import Settings, is_in, is_ip
from ui import text
from ui.addresses import OPENID
from ui.answers import Headers, answer
from ui.choices import language_of, theme_of
from ui.language import speak
from ui.request_ids import HEADER
from ui.visit import Visit, header, header_names, headers, put_visit

logger = logging.getLogger(__name__)

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})(:(?P<port>[0-9]{1,5}))?")
_FORWARDED = (b"forwarded", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip", b"true-client-ip")
_FROM = (b"x-forwarded-for", b"forwarded", b"x-real-ip")
_MOST_TOLD = 20
_METHODS = {"GET", "HEAD", "POST"}

_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_OTHER_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"

ALWAYS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),  # no-referrer makes our own form send Origin: null
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""What the server writes into every answer, those too that it gives without asking anybody."""

_DROPPED = {b"server", b"x-powered-by", b"x-nicegui-content"}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Edge:
    """Wraps the whole application. NiceGUI looks for `.app` to find its server."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._public = urlsplit(settings.public_url) if settings.public_url else None
        self._any_host = settings.beyond_loopback and self._public is None
        self._told: set[str] = set()
        self._hosts = {"localhost", "127.0.0.1", "[::1]", _bracketed(settings.host)}
        self._hosts |= {_bracketed(self._public.hostname or "")} if self._public else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        visit = self._visit(scope)
        scope = {**scope, "path": _CONTROLS.sub("\ufffd", scope["path"])}  # routes overlook a newline at the end
        if scope["type"] == "http":
            send = _with_headers(send, self._hsts(visit))
            if scope["method"] not in _METHODS:
                return await answer(send, 405, text.METHOD_NOT_ALLOWED, extra=[(b"allow", b"GET, HEAD, POST")])
        if visit is None:
            return (
                await answer(send, 400, text.NOT_OUR_HOST)
                if scope["type"] == "http"
                else await send({"type": "websocket.close", "code": 1008})
            )
        if scope["type"] == "http" and scope["method"] == "HEAD":
            if scope["path"] == OPENID:  # the one GET that changes something
                return await answer(send, 405, text.METHOD_NOT_ALLOWED, extra=[(b"allow", b"GET, POST")])
            scope = {**scope, "method": "GET"}  # the server, which has the scope as it was, leaves the body out
        visit.language, visit.theme = language_of(scope), theme_of(scope)
        if any(map(_is_forwarding, header_names(scope))):
            visit.undeclared_proxy = self._is_undeclared_proxy(scope, (scope.get("client") or ("", 0))[0])
            scope["headers"] = [(name, value) for name, value in scope["headers"] if not _is_forwarding(name)]
        put_visit(scope, visit)
        if visit.undeclared_proxy:
            self._tell_of_proxy(visit.address)
        speak(visit.language)  # and never back: the server has a task for each
        return await self.app(scope, receive, send)

    def _hsts(self, visit: Visit | None) -> Headers:
        """HSTS counts for a host's every port, Proxmox's own among them: only who asks for it gets it."""
        seconds = self._settings.hsts_seconds
        told = seconds and visit is not None and visit.https
        return [(b"strict-transport-security", f"max-age={seconds}".encode())] if told else []

    def _visit(self, scope: Scope) -> Visit | None:
        """Who asks for what, or None when the request names a host that is not ours."""
        peer = (scope.get("client") or ("", 0))[0]
        https = scope["scheme"] in {"https", "wss"}
        host, told = header(scope, b"host"), None
        trusted = is_in(peer, self._settings.trusted_proxies)
        if trusted:
            told = _last(scope, b"x-forwarded-host")
            https = (_last(scope, b"x-forwarded-proto") or ("https" if https else "http")) in {"https", "wss"}
            peer = self._client_behind(scope, peer)
        host = told or host
        if self._public and trusted and not told and host and _HOST.fullmatch(host):
            # The proxy's own name for us stands in Host, as with a plain proxy_pass: people typed the public one.
            return self._public_visit(self._public, peer)
        if host is None or not self.is_ours(host):
            return None
        if self._public and _names(host, self._public):
            return self._public_visit(self._public, peer)
        return Visit(address=peer, https=https, origin=f"{'https' if https else 'http'}://{host.lower()}")

    def _is_undeclared_proxy(self, scope: Scope, peer: str) -> bool:
        """Anybody can send such a header: only a near address that does is likely to be somebody's proxy."""
        if is_in(peer, self._settings.trusted_proxies) or not any(headers(scope, name) for name in _FROM):
            return False
        return is_ip(peer) and ipaddress.ip_address(peer).is_private

    def _tell_of_proxy(self, peer: str) -> None:
        if peer not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(peer)
            logger.warning("%s is a proxy that was not declared: if it is yours, set TRUSTED_PROXIES=%s; until then "
                           "everybody behind it counts as one address", peer, peer)  # fmt: skip

    def _public_visit(self, public: SplitResult, peer: str) -> Visit:
        return Visit(address=peer, https=public.scheme == "https", origin=origin_of(public))

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names a host of ours."""
        match = _HOST.fullmatch(host)
        if match is None or int(match["port"] or 0) > 65535 or ".." in host:
            return False
        return self._any_host or match["name"].lower().rstrip(".") in self._hosts

    def _client_behind(self, scope: Scope, peer: str) -> str:
        """The right-most address that no trusted proxy of ours has: what stands left of it anybody can write."""
        chain = [part.strip() for value in headers(scope, b"x-forwarded-for") for part in value.split(",")]
        for address in reversed(chain):
            if not is_ip(address) or "%" in address:  # behind which anything may stand
                return peer
            peer = address
            if not is_in(address, self._settings.trusted_proxies):
                return address
        return peer


def _with_headers(send: Send, hsts: Headers) -> Send:
    """Add the security headers to every answer, and give each script of a page its nonce."""
    nonce = ""
    held: list[Message] = []  # the start of a page, until its whole body is there

    async def wrapped(message: Message) -> None:
        nonlocal nonce
        if message["type"] == "http.response.start":
            page = _is_page(message["headers"])
            nonce = secrets.token_urlsafe(16) if page else ""
            if message["status"] >= 400:
                message["headers"] = _without(message["headers"], b"cache-control")
            policy = _PAGE_POLICY.format(nonce=nonce).encode() if page else _OTHER_POLICY
            message["headers"] = [*secured(message["headers"], hsts, policy), (HEADER, REQUEST.get().encode())]
            if page:
                return held.append(message)
        elif held and message["type"] == "http.response.body":
            held.append(message)
            if message.get("more_body"):
                return None
            start, *bodies = held
            held.clear()
            body = b"".join(part.get("body", b"") for part in bodies)
            body = body.replace(b"<script", f'<script nonce="{nonce}"'.encode())
            start["headers"] = _without(start["headers"], b"content-length")
            start["headers"].append((b"content-length", str(len(body)).encode()))
            await send(start)
            return await send({"type": "http.response.body", "body": body})
        return await send(message)

    return wrapped


def secured(sent: Headers, hsts: Headers = (), policy: bytes = _OTHER_POLICY) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those of ours and without what nobody has to know."""
    kept = [(name.lower(), value) for name, value in sent if not _is_dropped(name)]
    kept += [*hsts, (b"content-security-policy", policy)]
    if not any(name == b"cache-control" for name, _ in kept):
        kept.append((b"cache-control", b"no-store"))
    return kept


@lru_cache(maxsize=256)
def _is_dropped(name: bytes) -> bool:
    name = name.lower()
    return name in _DROPPED or name.startswith(b"access-control-")


def _is_page(sent: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in sent)


def _without(sent: list[tuple[bytes, bytes]], dropped: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in sent if name.lower() != dropped]


def _is_forwarding(name: bytes) -> bool:
    return name.startswith(b"x-forwarded-") or name in _FORWARDED


def _last(scope: Scope, name: bytes) -> str | None:
    """The value that the nearest proxy wrote."""
    values = headers(scope, name)
    return values[-1].rpartition(",")[2].strip() if values else None


def _bracketed(host: str) -> str:
    host = host.lower().rstrip(".")
    return f"[{host}]" if ":" in host else host


def origin_of(url: SplitResult) -> str:
    """An address's origin as browsers spell it: scheme, host, and the port where it is not the scheme's own."""
    port = f":{url.port}" if url.port and url.port != _default_port(url.scheme) else ""
    return f"{url.scheme}://{_bracketed(url.hostname or '')}{port}"


def _names(host: str, url: SplitResult) -> bool:
    """Whether a Host header names the public address; a port that a proxy drops or changes does not matter."""
    name = _HOST.fullmatch(host)
    return name is not None and name["name"].lower().rstrip(".") == _bracketed(url.hostname or "")


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
