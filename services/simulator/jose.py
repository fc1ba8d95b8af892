"""Signed tokens (RFC 7515, 7517, 7518), as far as OpenID needs them: RS256 is made, RS256 and ES256 are checked."""

import base64
import json
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import BaseModel


class Jwk(BaseModel):
    """A public key; `kid` is its name."""

    kty: str
    kid: str | None = None
    alg: str | None = None
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class JwkSet(BaseModel):
    keys: list[Jwk]


class _Header(BaseModel):
    alg: str
    kid: str | None = None


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def public_jwk(key: rsa.RSAPrivateKey, kid: str) -> Jwk:
    numbers = key.public_key().public_numbers()
    return Jwk(kty="RSA", kid=kid, alg="RS256", n=_b64_number(numbers.n), e=_b64_number(numbers.e))


def signed(claims: Mapping[str, object], key: rsa.RSAPrivateKey, kid: str) -> str:
    """A token by RS256."""
    header = {"alg": "RS256", "typ": "JWT", "kid": kid}
    stem = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{stem}.{b64(key.sign(stem.encode(), padding.PKCS1v15(), SHA256()))}"


def verified(token: str, keys: Iterable[Jwk]) -> bytes:
    """The claims, JSON, of a token that one of these keys signed. Raises ValueError."""
    stem, _, signature = token.rpartition(".")
    header, _, claims = stem.partition(".")
    said = _Header.model_validate_json(_unb64(header))
    if not any(_fits(key, said, stem.encode(), _unb64(signature)) for key in keys):
        raise ValueError("no key of the provider has signed this")
    return _unb64(claims)


def _fits(key: Jwk, said: _Header, stem: bytes, signature: bytes) -> bool:
    """The algorithm is the key's affair: the token may only name the one that belongs to it."""
    if said.kid is not None and key.kid is not None and said.kid != key.kid:
        return False
    try:
        match said.alg, key.kty, key.crv:
            case "RS256", "RSA", _:
                _rsa(key).verify(signature, stem, padding.PKCS1v15(), SHA256())
            case "ES256", "EC", "P-256":
                _ec(key).verify(_der(signature), stem, ec.ECDSA(SHA256()))
            case _:
                return False
    except InvalidSignature:
        return False
    return True


def _rsa(key: Jwk) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(_number(key.e), _number(key.n)).public_key()


def _ec(key: Jwk) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicNumbers(_number(key.x), _number(key.y), ec.SECP256R1()).public_key()


def _der(signature: bytes) -> bytes:
    """RFC 7518 has both numbers side by side."""
    return utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def _b64_number(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8))


def _number(text: str) -> int:
    return int.from_bytes(_unb64(text))


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
