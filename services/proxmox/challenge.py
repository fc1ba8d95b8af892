"""The second factor's challenge as pve-access-control writes it: `PVE:!tfa!<JSON, percent-encoded>:<time>::<MAC>`.

Read for what it offers; Proxmox alone judges what is answered.
"""

import json
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.proxmox.models import Factors
from services.proxmox.shapes import BY_NEED

_PREFIX = "PVE:!tfa!"
_MOST_KEYS = 100


class _PublicKey(TypedDict):
    challenge: Annotated[str, Field(min_length=1)]
    rpId: Annotated[str, Field(min_length=1, max_length=253)]


@with_config(BY_NEED)
class _WebAuthn(TypedDict):
    publicKey: _PublicKey


@with_config(BY_NEED)
class _Kinds(TypedDict, total=False):
    totp: bool
    recovery: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=_MOST_KEYS)]
    yubico: bool
    webauthn: dict[str, Any]
    u2f: object


_KINDS = TypeAdapter(_Kinds)
_WEBAUTHN = TypeAdapter(_WebAuthn)


def factors(ticket: str) -> Factors:
    """What the challenge offers; nothing at all for a challenge of another make."""
    body, _, _ = ticket.removeprefix(_PREFIX).partition(":")
    with suppress(ValidationError, ValueError, RecursionError):
        return _factors(_KINDS.validate_json(unquote(body, errors="strict") if ticket.startswith(_PREFIX) else ""))
    return Factors()


def relying_party(factors: Factors) -> str:
    """The host name that the account's security keys are bound to; empty where there are none."""
    if not factors.webauthn:
        return ""
    return _WEBAUTHN.validate_json(factors.webauthn)["publicKey"]["rpId"].lower()


def _factors(kinds: _Kinds) -> Factors:
    recovery = kinds.get("recovery")
    return Factors(
        totp=kinds.get("totp", False),
        recovery=None if recovery is None else tuple(recovery),
        yubico=kinds.get("yubico", False),
        webauthn=_options(kinds.get("webauthn")),
        u2f=bool(kinds.get("u2f")),
    )


def _options(webauthn: dict[str, Any] | None) -> str:
    with suppress(ValidationError, ValueError):
        _WEBAUTHN.validate_python(webauthn)
        return json.dumps(webauthn, allow_nan=False)
    return ""
