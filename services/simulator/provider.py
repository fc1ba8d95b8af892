"""An OpenID provider of the simulator's own: it asks nobody for a password, for it knows nobody real."""

import hashlib
import html
import json
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote_plus

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa

from services.proxmox.models import Realm
from services.simulator.accounts import Account, Grant
from services.simulator.answers import Answer, bare
from services.simulator.connection import House
from services.simulator.jose import JwkSet, b64, public_jwk, signed
from services.simulator.openid import OpenIdRealm
from services.simulator.privileges import AUDITOR
from services.simulator.request import Request
from services.simulator.server import Server, listen

PEOPLE = ("anna", "anna@example.org")
PROVIDED_REALM = Realm(realm="sso", type="openid", comment="Simulated single sign-on")
PROVIDED_ACCOUNTS = (
    Account(
        userid="anna@sso",
        password="",
        note="Comes from the simulated provider, without a password, and sees everything.",
        grants=(Grant("/", AUDITOR),),
    ),
    Account(
        userid="anna@example.org@sso",
        password="",
        note="Comes from there too, and sees the guests.",
        grants=(Grant("/vms", frozenset({"VM.Audit"})),),
    ),
)

_CLIENT = "proxgate"
_KID = "simulated"
_LIFETIME = 3_600  # seconds an ID token is good for
_IDLE = 5.0  # real seconds
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Simulated provider</title>
<meta name="viewport" content="width=device-width"><style>body {{ font: 1.1rem system-ui; margin: 3rem }}</style>
<h1>Simulated provider</h1><p>{text}</p>{form}</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """What a code stands for."""

    person: str
    redirect: str
    nonce: str = field(repr=False)
    challenge: str = field(repr=False)


class Provider:
    """Listens on loopback, plain HTTP, while its block runs. `now` gives Unix seconds."""

    def __init__(self, *, now: Callable[[], float], people: tuple[str, ...] = PEOPLE) -> None:
        self._now = now
        self._people = people
        self._secret = secrets.token_urlsafe(24)
        self._key = rsa.generate_private_key(65_537, 2_048)
        self._codes: dict[str, _Code] = {}
        self._server: Server | None = None
        self.issuer = ""

    @property
    def settings(self) -> OpenIdRealm:
        """How a realm is set up for this provider."""
        return OpenIdRealm(issuer=self.issuer, client_id=_CLIENT, client_secret=self._secret)

    async def __aenter__(self) -> Self:
        listener = listen("127.0.0.1", 0)
        self.issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = Server(listener, None, House(respond=self._respond, now=self._now, idle=_IDLE))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            await self._server.close()

    async def _respond(self, request: Request) -> Answer:
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                return _json(self._metadata())
            case "GET", "/jwks":
                return _json(JwkSet(keys=[public_jwk(self._key, _KID)]).model_dump(exclude_defaults=True))
            case "GET" | "POST", "/authorize":
                return self._authorize(request)
            case "POST", "/token":
                return self._token(request)
            case _:
                return bare(404, "Not Found")

    def _metadata(self) -> dict[str, object]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _authorize(self, request: Request) -> Answer:
        """A page with a button for each person; what a button sends goes back to the redirect_uri of the request."""
        asked = {name: value for name, value in request.parameters.items() if isinstance(value, str)}
        if not _is_sound(asked):
            return _page(400, "This is no request that can be answered.")
        answer = asked.pop("answer", None)
        if answer is None:
            return _page(200, "Who are you?", _form(asked, self._people))
        person = answer.removeprefix("as ")
        if person not in self._people:
            return _sent_back(asked, {"error": "access_denied"})
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Code(
            person=person,
            redirect=asked["redirect_uri"],
            nonce=asked.get("nonce", ""),
            challenge=asked["code_challenge"],
        )
        return _sent_back(asked, {"code": code})

    def _token(self, request: Request) -> Answer:
        if not self._is_client(request.headers.get("authorization", "")):
            return _json({"error": "invalid_client"}, 401)
        code = self._codes.pop(request.text("code") or "", None)
        proof = b64(hashlib.sha256((request.text("code_verifier") or "").encode()).digest())
        if code is None or (request.text("redirect_uri"), proof) != (code.redirect, code.challenge):
            return _json({"error": "invalid_grant"}, 400)
        token = signed(self._claims(code), self._key, _KID)
        return _json({"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "id_token": token})

    def _is_client(self, header: str) -> bool:
        right = b64encode(f"{quote_plus(_CLIENT)}:{quote_plus(self._secret)}".encode()).decode()
        return secrets.compare_digest(header.encode("utf-8", "replace"), f"Basic {right}".encode())

    def _claims(self, code: _Code) -> dict[str, object]:
        now = int(self._now())
        email = code.person if "@" in code.person else f"{code.person}@example.org"
        return {
            "iss": self.issuer,
            "aud": _CLIENT,
            "iat": now,
            "exp": now + _LIFETIME,
            "nonce": code.nonce,
            "sub": code.person,
            "email": email,
            "preferred_username": code.person,
        }


def _is_sound(asked: Mapping[str, str]) -> bool:
    """Nobody is sent anywhere before this has been looked at."""
    return (
        asked.get("client_id") == _CLIENT
        and asked.get("response_type") == "code"
        and asked.get("code_challenge_method") == "S256"
        and "code_challenge" in asked
        and asked.get("redirect_uri", "").startswith(("https://", "http://"))
    )


def _sent_back(asked: Mapping[str, str], result: Mapping[str, str]) -> Answer:
    state = {"state": asked["state"]} if "state" in asked else {}
    location = httpx.URL(asked["redirect_uri"]).copy_merge_params({**result, **state})
    return Answer(status=303, reason="See Other", location=str(location))


def _form(asked: Mapping[str, str], people: tuple[str, ...]) -> str:
    kept = "".join(f'<input type="hidden" name="{_text(name)}" value="{_text(asked[name])}">' for name in asked)
    choices = {f"as {person}": person for person in people} | {"refuse": "Refuse"}
    buttons = (f'<p><button name="answer" value="{_text(value)}">{_text(choices[value])}</button>' for value in choices)
    return f'<form method="post" action="/authorize">{kept}{"".join(buttons)}</form>'


def _page(status: int, text: str, form: str = "") -> Answer:
    body = _PAGE.format(text=_text(text), form=form).encode()
    reason = "OK" if status == 200 else "Bad Request"
    return Answer(status=status, reason=reason, body=body, content_type="text/html;charset=UTF-8")


def _json(value: object, status: int = 200) -> Answer:
    reason = {200: "OK", 400: "Bad Request", 401: "Unauthorized"}[status]
    return Answer(status=status, reason=reason, body=json.dumps(value).encode(), content_type="application/json")


def _text(text: str) -> str:
    return html.escape(text)
