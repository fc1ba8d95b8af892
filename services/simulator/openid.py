"""Proxmox's half of OpenID Connect: where to send the browser, and what its return is good for.

As `PVE::API2::OpenId` and the crate proxmox-openid have it. The state is kept on one node and good for one try; every
refusal of a login looks the same.
"""

import hashlib
import hmac
import json
import re
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import quote_plus, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict

from services.proxmox.models import Realm
from services.simulator import answers
from services.simulator.accounts import Account, Directory
from services.simulator.answers import Answer
from services.simulator.clock import Clock
from services.simulator.jose import JwkSet, b64, verified
from services.simulator.request import Request
from services.simulator.schema import schema_errors

_AUTH_URL = {"realm": 32, "redirect-url": 255}
_LOGIN = {"state": 1_024, "code": 4_096, "redirect-url": 255}
_LIFETIME = 600  # simulated seconds between the two calls
_MOST = 100  # logins on their way, for each realm
_PATIENCE = 5.0  # real seconds for each answer of the provider
_USERID = re.compile(r"[^\s:/]+@[^@\s:/]+")
_FAILURES = (ValueError, httpx.HTTPError, httpx.InvalidURL)  # pydantic's errors are ValueErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdRealm:
    """The settings of a realm of type openid. With `autocreate`, who is new gets an account without any rights."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    username_claim: Literal["sub", "email", "preferred_username"] = "sub"
    autocreate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A browser that is away at the provider since `left`."""

    realm: str
    left: float
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class _Metadata(BaseModel):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(BaseModel):
    id_token: str


class _Claims(BaseModel):
    model_config = ConfigDict(extra="allow")

    iss: str
    aud: str | list[str]
    exp: float
    nonce: str
    sub: str
    email: str | None = None
    preferred_username: str | None = None


class OpenId:
    """The two calls. Neither needs a login."""

    def __init__(
        self,
        directory: Directory,
        settings: Mapping[str, OpenIdRealm],
        clock: Clock,
        success: Callable[[Account], Answer],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._success = success
        self._pending: dict[str, _Pending] = {}

    async def authorization_url(self, request: Request) -> Answer:
        """`POST /access/openid/auth-url`."""
        errors = schema_errors(request, _AUTH_URL, _AUTH_URL)
        if errors:
            return answers.parameters_refused(errors)
        name, redirect = request.text("realm") or "", request.text("redirect-url") or ""
        wrong = _unfit(name, self._directory.realms.get(name)) or _unusable(redirect) or self._crowded(name)
        settings = self._settings.get(name)
        if wrong or settings is None:
            return answers.failed(wrong or f"realm '{name}' has no issuer")
        try:
            async with _client() as client:
                metadata = await _discover(client, settings.issuer)
            return answers.data(self._leave(name, redirect, settings, metadata))
        except _FAILURES as exc:
            return answers.failed(f"openid discovery failed: {type(exc).__name__}")

    async def login(self, request: Request) -> Answer:
        """`POST /access/openid/login`."""
        errors = schema_errors(request, _LOGIN, _LOGIN)
        if errors:
            return answers.parameters_refused(errors)
        state, code, redirect = (request.text(name) or "" for name in _LOGIN)
        try:
            account = await self._account(state, code, redirect)
        except _FAILURES:
            account = None
        return self._success(account) if account else answers.login_refused()

    def _leave(self, name: str, redirect: str, settings: OpenIdRealm, metadata: _Metadata) -> str:
        """Remember who leaves for the provider, and say which way. The state is JSON, as Proxmox makes it."""
        nonce, verifier, token = (secrets.token_urlsafe(32) for _ in range(3))
        state = json.dumps({"csrf_token": token, "realm": name}, separators=(",", ":"))
        self._pending[state] = _Pending(realm=name, left=self._clock.now(), nonce=nonce, verifier=verifier)
        parameters = {
            "response_type": "code",
            "client_id": settings.client_id,
            "state": state,
            "code_challenge": b64(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "redirect_uri": redirect,
            "scope": "openid email profile",
            "nonce": nonce,
            "display": "page",
        }
        return str(httpx.URL(metadata.authorization_endpoint).copy_merge_params(parameters))

    async def _account(self, state: str, code: str, redirect: str) -> Account | None:
        """Whom the provider names, when Proxmox has such an account and lets it in."""
        self._forget()
        pending = self._pending.pop(state, None)
        if pending is None:
            return None
        settings = self._settings[pending.realm]
        claims = await self._claims(settings, pending, code, redirect)
        name: str | None = getattr(claims, settings.username_claim)
        userid = f"{name or ''}@{pending.realm}"
        if len(userid) > 64 or not _USERID.fullmatch(userid):
            return None
        if settings.autocreate:
            self._directory.accounts.setdefault(userid, Account(userid=userid, password=""))
        return self._directory.usable(userid)

    async def _claims(self, settings: OpenIdRealm, pending: _Pending, code: str, redirect: str) -> _Claims:
        """What the provider says of the person behind the code. Raises one of `_FAILURES`."""
        async with _client() as client:
            metadata = await _discover(client, settings.issuer)
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect,
                "code_verifier": pending.verifier,
            }
            answer = await client.post(metadata.token_endpoint, data=form, auth=_credentials(settings))
            token = _Tokens.model_validate_json(answer.raise_for_status().content).id_token
            keys = (await client.get(metadata.jwks_uri)).raise_for_status().content
        claims = _Claims.model_validate_json(verified(token, JwkSet.model_validate_json(keys).keys))
        _check(claims, settings, pending.nonce, self._clock.now())
        return claims

    def _crowded(self, name: str) -> str:
        """Proxmox keeps a hundred logins on their way and a little one, and then none more until they are too old."""
        self._forget()
        waiting = sum(pending.realm == name for pending in self._pending.values())
        return f"too many pending openid auth request for realm {name}" if waiting > _MOST else ""

    def _forget(self) -> None:
        oldest = self._clock.now() - _LIFETIME
        self._pending = {state: pending for state, pending in self._pending.items() if pending.left >= oldest}


def _unfit(name: str, realm: Realm | None) -> str:
    if realm is None:
        return f"authentication domain '{name}' does not exist"
    return "" if realm.type == "openid" else f"wrong realm type ({realm.type} != openid)"


def _unusable(redirect: str) -> str:
    parts = urlsplit(redirect)
    return "" if parts.scheme and parts.netloc else "relative URL without a base"


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=_PATIENCE, verify=_authorities())


@cache
def _authorities() -> ssl.SSLContext:
    """The platform's; reading them takes some 20 ms."""
    return ssl.create_default_context()


async def _discover(client: httpx.AsyncClient, issuer: str) -> _Metadata:
    """The provider's own account of itself. Raises one of `_FAILURES`."""
    answer = await client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    metadata = _Metadata.model_validate_json(answer.raise_for_status().content)
    if metadata.issuer != issuer:
        raise ValueError("another issuer")
    return metadata


def _credentials(settings: OpenIdRealm) -> httpx.BasicAuth:
    """RFC 6749, 2.3.1: both are form-encoded first."""
    return httpx.BasicAuth(quote_plus(settings.client_id), quote_plus(settings.client_secret))


def _check(claims: _Claims, settings: OpenIdRealm, nonce: str, now: float) -> None:
    """Whether a well-signed token is meant for us and for this login. Raises ValueError."""
    audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    ours = claims.iss == settings.issuer and settings.client_id in audience
    if not ours or claims.exp <= now or not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):
        raise ValueError("not a token for this login")
