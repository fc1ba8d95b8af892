"""The second factor: time-based codes (RFC 6238) and recovery keys.

Not simulated: lock-outs, yubico and WebAuthn.
"""

import base64
import hmac
import json

from services.simulator.accounts import Account

STEP = 30  # seconds a code stands for


def totp(secret: str, at: float) -> str:
    """The six digits for a base32 secret at a Unix time."""
    return _code(secret, int(at) // STEP)


def _code(secret: str, step: int) -> str:
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


class Factors:
    """Which codes and keys are used up, by userid."""

    def __init__(self) -> None:
        self._last_step: dict[str, int] = {}
        self._used_keys: dict[str, set[int]] = {}

    def challenge(self, account: Account) -> str:
        """The JSON of the kinds on offer; recovery lists the numbers of the keys that are left."""
        kinds: dict[str, object] = {}
        if account.totp_secret:
            kinds["totp"] = True
        if account.recovery:
            used = self._used_keys.get(account.userid, set())
            kinds["recovery"] = [number for number in range(len(account.recovery)) if number not in used]
        return json.dumps(kinds, separators=(",", ":"))

    def verify(self, account: Account, response: str, at: float) -> bool:
        """Whether `totp:123456` or `recovery:0000-0000-0000-0000` fits; what fits is used up."""
        kind, _, code = response.partition(":")
        if kind == "totp" and account.totp_secret:
            return self._totp(account, code, int(at) // STEP)
        return kind == "recovery" and self._recovery(account, code)

    def _totp(self, account: Account, code: str, now: int) -> bool:
        """One step either side; never a step that is used or older than a used one."""
        last = self._last_step.get(account.userid, -1)
        for step in range(max(now - 1, last + 1), now + 2):
            if hmac.compare_digest(_code(account.totp_secret, step), code if code.isascii() else ""):
                self._last_step[account.userid] = step
                return True
        return False

    def _recovery(self, account: Account, key: str) -> bool:
        used = self._used_keys.setdefault(account.userid, set())
        if key not in account.recovery or account.recovery.index(key) in used:
            return False
        used.add(account.recovery.index(key))
        return True
