"""Tickets and CSRF tokens: made, signed and checked.

A real ticket carries a 2048-bit RSA signature. Ours has a MAC stretched to the same length, which costs nothing to
make and looks the same from outside: 344 characters of base64, `+`, `/` and `=` included.
"""

import base64
import hmac
import re
import secrets

from services.simulator.clock import Clock

LIFETIME = 7_200
FUTURE = 300  # seconds of clock skew that Proxmox tolerates

_TICKET = re.compile(r"PVE:([^:]+):([0-9A-F]{8})::(.+)", re.DOTALL)
_CSRF = re.compile(r"([0-9A-F]{8}):(.+)", re.DOTALL)
_CHALLENGE = "!tfa!"


class Tickets:
    """Signs with a key that lives as long as this object. Two tickets of one second are the same ticket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def login(self, userid: str) -> str:
        """A ticket `PVE:user@realm:8HEX::signature`."""
        return self._ticket(userid, self._stamp())

    def challenge(self, userid: str, kinds: str) -> str:
        """Half a ticket, bound to its user: `kinds` is the JSON of the second factors, `:` percent-encoded."""
        escaped = kinds.replace("%", "%25").replace(":", "%3A")
        return self._ticket(_CHALLENGE + escaped, self._stamp(), bound=userid)

    def csrf(self, userid: str) -> str:
        """A CSRF token `8HEX:signature`."""
        return self._csrf(userid, self._stamp())

    def holder(self, ticket: str) -> str | None:
        """The userid of a ticket that is a login and still valid."""
        found = _TICKET.fullmatch(ticket)
        if found is None or found[1].startswith(_CHALLENGE):
            return None
        return found[1] if self._holds(ticket, self._ticket(found[1], found[2]), found[2]) else None

    def is_challenge(self, ticket: str, userid: str) -> bool:
        found = _TICKET.fullmatch(ticket)
        if found is None or not found[1].startswith(_CHALLENGE):
            return False
        return self._holds(ticket, self._ticket(found[1], found[2], bound=userid), found[2])

    def is_csrf(self, token: str, userid: str) -> bool:
        found = _CSRF.fullmatch(token)
        return found is not None and self._holds(token, self._csrf(userid, found[1]), found[1])

    def _holds(self, given: str, right: str, stamp: str) -> bool:
        age = int(self._clock.now()) - int(stamp, 16)
        return hmac.compare_digest(_bytes(given), _bytes(right)) and -FUTURE <= age <= LIFETIME

    def _stamp(self) -> str:
        return f"{int(self._clock.now()):08X}"

    def _ticket(self, body: str, stamp: str, *, bound: str = "") -> str:
        stem = f"PVE:{body}:{stamp}"
        return f"{stem}::{self._sign(f'{stem}:{bound}', 256)}"

    def _csrf(self, userid: str, stamp: str) -> str:
        return f"{stamp}:{self._sign(f'csrf:{stamp}:{userid}', 32).rstrip('=')}"

    def _sign(self, text: str, length: int) -> str:
        blocks = (hmac.digest(self._key, bytes([number]) + _bytes(text), "sha512") for number in range(4))
        return base64.b64encode(b"".join(blocks)[:length]).decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
