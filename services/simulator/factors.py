"""The second factor: time-based codes (RFC 6238), recovery keys, Yubico OTPs and WebAuthn; U2F is only ever offered.

Limits are those of proxmox-tfa. Not simulated: that in a realm with `tfa` only that kind and recovery keys count.
"""

import base64
import hmac
import json
import re
import secrets
from collections import defaultdict
from dataclasses import dataclass, field

from services.simulator.accounts import Account
from services.simulator.webauthn import RelyingParty

STEP = 30  # seconds a code stands for
TOTP_FAILURES = 8  # lock time-based codes until a recovery key is used
FAILURES = 100  # of any kind lock all of them
LOCK = 3_600  # seconds

_MODHEX = "cbdefghijklnrtuv"  # the alphabet of a Yubico OTP: it is the same on every keyboard
_OTP = re.compile(f"[{_MODHEX}]{{44}}")


def totp(secret: str, at: float) -> str:
    """The six digits for a base32 secret at a Unix time."""
    return _code(secret, int(at) // STEP)


def yubico(public_id: str) -> str:
    """What a Yubico key of this public id types at a touch, never the same twice."""
    return public_id + "".join(secrets.choice(_MODHEX) for _ in range(44 - len(public_id)))


def _code(secret: str, step: int) -> str:
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


@dataclass(slots=True)
class _Record:
    """What is remembered of one account: what is used up, and what went wrong since it last went right."""

    last_step: int = -1
    used: set[str] = field(default_factory=set[str], repr=False)
    totp_failures: int = 0
    failures: int = 0
    locked_until: float = 0.0

    def locks(self, kind: str, at: float) -> bool:
        return at < self.locked_until or (kind == "totp" and self.totp_failures >= TOTP_FAILURES)

    def succeeded(self, kind: str) -> None:
        self.failures = 0
        if kind in ("totp", "recovery"):
            self.totp_failures = 0

    def failed(self, kind: str, at: float) -> None:
        self.failures += 1
        self.totp_failures += kind == "totp"
        if self.failures >= FAILURES:
            self.locked_until = at + LOCK

    def unlock(self) -> None:
        self.totp_failures = self.failures = 0
        self.locked_until = 0.0


class Factors:
    """The second factors at one node. WebAuthn is offered only where both its origin and its id are configured."""

    def __init__(self, *, webauthn_origin: str = "", webauthn_id: str = "") -> None:
        self._records: defaultdict[str, _Record] = defaultdict(_Record)
        self._webauthn = RelyingParty(webauthn_origin, webauthn_id)

    def challenge(self, account: Account, at: float) -> str:
        """The JSON of the kinds on offer; recovery lists the numbers of the keys that are left."""
        kinds: dict[str, object] = {}
        if account.totp_secret:
            kinds["totp"] = True
        if account.recovery:
            used = self._records[account.userid].used
            kinds["recovery"] = [number for number, key in enumerate(account.recovery) if key not in used]
        if account.u2f:
            kinds["u2f"] = _u2f()
        if account.webauthn and self._webauthn.configured:
            kinds["webauthn"] = self._webauthn.challenge(account.userid, account.webauthn, at)
        if account.yubico:
            kinds["yubico"] = True
        return json.dumps(kinds, separators=(",", ":"))

    def verify(self, account: Account, response: str, at: float) -> bool:
        """Whether `totp:123456`, `recovery:…`, `yubico:…` or `webauthn:{…}` fits; what fits is used up."""
        kind, _, given = response.partition(":")
        record = self._records[account.userid]
        if record.locks(kind, at):
            return False
        fits = self._fits(account, kind, given, at)
        if fits:
            record.succeeded(kind)
        else:
            record.failed(kind, at)
        return fits

    def unlock(self, userid: str) -> None:
        """Forget the failures, as an administrator may."""
        self._records[userid].unlock()

    def _fits(self, account: Account, kind: str, given: str, at: float) -> bool:
        match kind:
            case "totp":
                return self._totp(account, given, int(at) // STEP)
            case "recovery":
                return given in account.recovery and self._first_use(account, given)
            case "yubico":
                return _is_otp(account, given) and self._first_use(account, given)
            case "webauthn" if account.webauthn:
                return self._webauthn.verify(account.userid, account.webauthn, given, at)
            case _:
                return False

    def _totp(self, account: Account, code: str, now: int) -> bool:
        """One step either side; never a step that is used or older than a used one."""
        record = self._records[account.userid]
        if not account.totp_secret or not code.isascii():
            return False
        for step in range(max(now - 1, record.last_step + 1), now + 2):
            if hmac.compare_digest(_code(account.totp_secret, step), code):
                record.last_step = step
                return True
        return False

    def _first_use(self, account: Account, given: str) -> bool:
        used = self._records[account.userid].used
        first = given not in used
        used.add(given)
        return first


def _is_otp(account: Account, given: str) -> bool:
    return account.yubico != "" and given.startswith(account.yubico) and _OTP.fullmatch(given) is not None


def _u2f() -> dict[str, object]:
    """Looks like the real one; no browser of today can answer it."""
    version = "U2F_V2"
    challenge = {"challenge": secrets.token_urlsafe(32), "appId": "https://pve.example:8006", "version": version}
    return {"challenge": challenge, "keys": [{"keyHandle": secrets.token_urlsafe(64), "version": version}]}
