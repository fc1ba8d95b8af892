"""Tickets and CSRF tokens: made, signed and checked.

A real ticket carries a 2048-bit RSA signature. Ours has a MAC stretched to the same length, which costs nothing to
make and looks the same from outside: 344 characters of base64, `+`, `/` and `=` included.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Callable

LIFETIME = 7_200
FUTURE = 300  # seconds of clock skew that Proxmox tolerates

_TICKET = re.compile(r"PVE:([^:]+):([0-9A-F]{8})::(.+)", re.DOTALL)
_CSRF = re.compile(r"([0-9A-F]{8}):(.+)", re.DOTALL)
_CHALLENGE = "!tfa!"


class Keys:
    """The keys that all nodes of a cluster sign with."""

    def __init__(self) -> None:
        self.tickets = [_new_key()]  # the newest first
        self.csrf = _new_key()  # Proxmox has another one for these, and never changes it

    def rotate(self) -> None:
        """Sign with a new key from now on; what the present one signed stays valid, as at Proxmox every 24 hours."""
        self.tickets = [_new_key(), self.tickets[0]]

    def forget(self) -> None:
        """Every ticket of before is worthless from now on."""
        self.tickets = [_new_key()]


class Tickets:
    """Signs with the newest key and takes what that of before signed. Two tickets of one second are the same ticket.

    A ticket lives for `seconds` by the clock `now` (Unix seconds) of the node that is asked, whoever made it.
    """

    def __init__(self, keys: Keys, now: Callable[[], float], seconds: int = LIFETIME) -> None:
        self._keys = keys
        self._now = now
        self._seconds = seconds

    def login(self, userid: str) -> str:
        """A ticket `PVE:user@realm:8HEX::signature`."""
        return _ticket(self._keys.tickets[0], userid, self._stamp())

    def challenge(self, userid: str, kinds: str) -> str:
        """Half a ticket, bound to its user: `kinds` is the JSON of the second factors, `:` percent-encoded."""
        escaped = kinds.replace("%", "%25").replace(":", "%3A")
        return _ticket(self._keys.tickets[0], _CHALLENGE + escaped, self._stamp(), bound=userid)

    def csrf(self, userid: str) -> str:
        """A CSRF token `8HEX:signature`."""
        return _csrf(self._keys.csrf, userid, self._stamp())

    def holder(self, ticket: str) -> str | None:
        """The userid of a ticket that is a login and still valid."""
        found = _TICKET.fullmatch(ticket)
        if found is None or found[1].startswith(_CHALLENGE):
            return None
        return found[1] if self._signed(found) else None

    def is_challenge(self, ticket: str, userid: str) -> bool:
        found = _TICKET.fullmatch(ticket)
        if found is None or not found[1].startswith(_CHALLENGE):
            return False
        return self._signed(found, bound=userid)

    def is_csrf(self, token: str, userid: str) -> bool:
        found = _CSRF.fullmatch(token)
        return found is not None and self._holds(found, found[1], _csrf(self._keys.csrf, userid, found[1]))

    def _signed(self, found: re.Match[str], *, bound: str = "") -> bool:
        """Whether this is one of our tickets, by any key that still counts, and in its time."""
        right = (_ticket(key, found[1], found[2], bound=bound) for key in self._keys.tickets)
        return self._holds(found, found[2], *right)

    def _holds(self, given: re.Match[str], stamp: str, *right: str) -> bool:
        age = int(self._now()) - int(stamp, 16)
        fits = any(hmac.compare_digest(_bytes(given[0]), _bytes(one)) for one in right)
        return fits and -FUTURE <= age <= self._seconds

    def _stamp(self) -> str:
        return f"{int(self._now()):08X}"


def _ticket(key: bytes, body: str, stamp: str, *, bound: str = "") -> str:
    stem = f"PVE:{body}:{stamp}"
    return f"{stem}::{_sign(key, f'{stem}:{bound}', 256)}"


def _csrf(key: bytes, userid: str, stamp: str) -> str:
    return f"{stamp}:{_sign(key, f'csrf:{stamp}:{userid}', 32).rstrip('=')}"


def _sign(key: bytes, text: str, length: int) -> str:
    blocks = (hmac.digest(key, bytes([number]) + _bytes(text), "sha512") for number in range(4))
    return base64.b64encode(b"".join(blocks)[:length]).decode()


def _new_key() -> bytes:
    return secrets.token_bytes(32)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
