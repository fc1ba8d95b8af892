"""What people type or touch as a second factor, in the form that Proxmox takes."""

import re
from collections.abc import Callable
from enum import StrEnum

from pydantic import SecretStr, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from services.errors import InvalidCredentials
from services.proxmox import Factors
from services.proxmox.shapes import BY_NEED

LONGEST_ASSERTION = 16 * 1024


class Kind(StrEnum):
    """The kinds of second factor that can be answered here, in Proxmox's words."""

    TOTP = "totp"
    WEBAUTHN = "webauthn"
    YUBICO = "yubico"
    RECOVERY = "recovery"


_TOTP = re.compile(r"[0-9]{6,8}")
_RECOVERY = re.compile(r"[0-9a-f]{16}")
_YUBICO = re.compile(r"[cbdefghijklnrtuv]{32,48}")


class _AssertionResponse(TypedDict):
    authenticatorData: str
    clientDataJSON: str
    signature: str


@with_config(BY_NEED)
class _Assertion(TypedDict):
    id: str
    type: str
    challenge: str
    rawId: str
    response: _AssertionResponse


_ASSERTION = TypeAdapter(_Assertion)


def offered(factors: Factors, *, security_key: bool) -> tuple[Kind, ...]:
    """Which kinds can be answered; `security_key` when the browser may use the account's here."""
    kinds = {
        Kind.TOTP: factors.totp,
        Kind.WEBAUTHN: bool(factors.webauthn) and security_key,
        Kind.YUBICO: factors.yubico,
        Kind.RECOVERY: bool(factors.recovery),
    }
    return tuple(kind for kind, there in kinds.items() if there)


def response(kind: str, code: SecretStr) -> SecretStr:
    """The second call's password, e.g. "totp:123456". Raises InvalidCredentials for what can be no such code."""
    if kind not in _FORMS:
        raise InvalidCredentials("no kind of second factor")
    return SecretStr(f"{kind}:{_FORMS[Kind(kind)](code.get_secret_value())}")


def _totp(code: str) -> str:
    return _only(_TOTP, _bare(code))


def _recovery(code: str) -> str:
    """In any spacing and case; Proxmox wants four groups of four."""
    digits = _only(_RECOVERY, _bare(code).lower())
    return "-".join(digits[place : place + 4] for place in range(0, 16, 4))


def _yubico(code: str) -> str:
    return _only(_YUBICO, _bare(code).lower())


def _webauthn(code: str) -> str:
    if len(code) <= LONGEST_ASSERTION:
        try:
            return _ASSERTION.dump_json(_ASSERTION.validate_json(code)).decode()
        except ValidationError:
            pass
    raise InvalidCredentials("not what a security key says")


def _bare(code: str) -> str:
    return re.sub(r"[\s-]", "", code)


def _only(form: re.Pattern[str], code: str) -> str:
    if not form.fullmatch(code):
        raise InvalidCredentials("not a code of this kind")
    return code


_FORMS: dict[Kind, Callable[[str], str]] = {
    Kind.TOTP: _totp,
    Kind.WEBAUTHN: _webauthn,
    Kind.YUBICO: _yubico,
    Kind.RECOVERY: _recovery,
}
