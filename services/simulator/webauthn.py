"""WebAuthn: challenges for security keys, and the check of what a key signed (WebAuthn Level 2, section 7.2)."""

import base64
import re
import secrets
from hashlib import sha256
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import BaseModel, BeforeValidator, Field

from services.simulator.accounts import SecurityKey

LIFETIME = 120  # seconds a challenge stays good (proxmox-tfa: CHALLENGE_TIMEOUT_SECS)

_USER_PRESENT = 1
_SHORTEST = 37  # bytes of authenticator data: hash of the relying party's id, flags, counter


def _decode(text: object) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("not base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_Bytes = Annotated[bytes, BeforeValidator(_decode)]


class _Signed(BaseModel):
    authenticator_data: _Bytes = Field(alias="authenticatorData", min_length=_SHORTEST)
    client_data: _Bytes = Field(alias="clientDataJSON")
    signature: _Bytes


class _Assertion(BaseModel):
    type: Literal["public-key"]
    id: _Bytes
    raw_id: _Bytes = Field(alias="rawId")
    challenge: str
    response: _Signed


class _ClientData(BaseModel):
    type: Literal["webauthn.get"]
    challenge: str
    origin: str


class RelyingParty:
    """One node as WebAuthn sees it: who it says it is, and the challenges it waits for."""

    def __init__(self, origin: str, name: str) -> None:
        self._origin = origin
        self._name = name
        self._open: dict[tuple[str, str], float] = {}

    @property
    def configured(self) -> bool:
        return bool(self._origin and self._name)

    def challenge(self, userid: str, key: SecurityKey, at: float) -> dict[str, object]:
        """Options for `navigator.credentials.get`, with a challenge that was never used."""
        self._open = {entry: until for entry, until in self._open.items() if at <= until}
        challenge = _encode(secrets.token_bytes(32))
        self._open[userid, challenge] = at + LIFETIME
        options = {
            "challenge": challenge,
            "timeout": 60_000,
            "rpId": self._name,
            "allowCredentials": [{"type": "public-key", "id": _encode(key.credential_id)}],
            "userVerification": "discouraged",
        }
        return {"publicKey": options}

    def verify(self, userid: str, key: SecurityKey, answer: str, at: float) -> bool:
        """Whether the key signed a challenge of ours at our origin; the challenge is used up either way."""
        try:
            assertion = _Assertion.model_validate_json(answer)
            if at > self._open.pop((userid, assertion.challenge), 0.0):
                return False
            return self._fits(assertion, key) and _is_signed(assertion.response, key)
        except (ValueError, InvalidSignature, UnsupportedAlgorithm):
            return False

    def _fits(self, assertion: _Assertion, key: SecurityKey) -> bool:
        client = _ClientData.model_validate_json(assertion.response.client_data)
        facts = assertion.response.authenticator_data
        return (
            assertion.id == assertion.raw_id == key.credential_id
            and client.challenge == assertion.challenge
            and client.origin == self._origin
            and facts[:32] == sha256(self._name.encode()).digest()
            and bool(facts[32] & _USER_PRESENT)
        )


def _is_signed(signed: _Signed, key: SecurityKey) -> bool:
    """ES256 over the authenticator's data and the hash of the client's; raises InvalidSignature when it is not."""
    public = load_der_public_key(key.public_key)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    message = signed.authenticator_data + sha256(signed.client_data).digest()
    public.verify(signed.signature, message, ec.ECDSA(hashes.SHA256()))
    return True


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
