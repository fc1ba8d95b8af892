"""The cookie's value: an opaque id and the time it was given, signed. Exactly one spelling of it is valid."""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field

from itsdangerous import Signer
from itsdangerous.signer import SigningAlgorithm

from services.keys import Key, KeyRing

ID_BYTES = 32
CLOCK_TOLERANCE = 60
"""Seconds by which another replica's clock may be ahead of ours."""

_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a good cookie held. `stale` when an older key signed it, so that it should be signed again."""

    id: str = field(repr=False)
    given: int
    stale: bool = False


def new_id() -> str:
    """256 random bits, base64url without padding."""
    return secrets.token_urlsafe(ID_BYTES)


class CookieSigner:
    """Signs `<id>.<Unix seconds>` with HMAC-SHA-256, for one purpose: a cookie of another purpose never verifies."""

    def __init__(self, keys: KeyRing, purpose: str, lifetime: int) -> None:
        self._signers = tuple(_signer(key, purpose) for key in keys.keys)
        self._lifetime = lifetime

    def sign(self, id: str, given: float | None = None) -> str:
        """The cookie's value for an id given at that Unix time (now, unless told)."""
        payload = f"{id}.{int(time.time() if given is None else given)}"
        return self._signers[0].sign(payload).decode()

    def open(self, value: str) -> Opened | None:
        """What the cookie holds, or None for anything that we did not sign just so and not too long ago."""
        if len(value) > _LONGEST or not value.isascii():
            return None
        id, _, rest = value.partition(".")
        given, _, _ = rest.partition(".")
        if not _ID.fullmatch(id) or not given.isdecimal() or len(given) > 12:
            return None
        for number, signer in enumerate(self._signers):
            # base64 tolerates several spellings of one signature: compare with the one that we would write.
            if hmac.compare_digest(signer.sign(f"{id}.{given}"), value.encode()):
                return self._fresh(Opened(id=id, given=int(given), stale=number > 0))
        return None

    def _fresh(self, opened: Opened) -> Opened | None:
        return opened if -CLOCK_TOLERANCE <= time.time() - opened.given <= self._lifetime else None


class _HmacSha256(SigningAlgorithm):
    """In one call: every request has two signatures."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


def _signer(key: Key, purpose: str) -> Signer:
    """One whose key is derived once, and not each time that it signs."""
    deriving = Signer(key.cookie, salt=f"proxgate.{purpose}", key_derivation="hmac", digest_method=hashlib.sha256)
    return Signer(deriving.derive_key(), key_derivation="none", algorithm=_HmacSha256())
