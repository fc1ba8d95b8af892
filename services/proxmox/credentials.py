"""How a credential is put on the wire: the only file that opens a secret."""

from collections.abc import Mapping
from urllib.parse import quote, quote_plus, unquote

from pydantic import SecretStr

from services.errors import InvalidCredentials, TicketRejected
from services.proxmox.models import ApiToken, Credential, Ticket

_SHORTEST_SECRET = 4  # letters; what is shorter is everywhere
_LONGEST_FORM = 500 * 1024  # Proxmox answers 501 to a body over 512 KiB
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_AS_IT_IS = "".join(char for char in _PRINTABLE if char not in '%;,"')


def is_ticket(password: SecretStr) -> bool:
    """Whether Proxmox would take this password for a ticket, and so log in whoever once had it."""
    return password.get_secret_value().startswith("PVE:")


def sign_in_form(userid: str, password: SecretStr) -> bytes:
    """The body of `POST /access/ticket`, percent-encoded throughout, since `;` too separates fields for Proxmox.

    Raises InvalidCredentials for a password that is too long, or holds what UTF-8 cannot say.
    """
    return _form({"username": userid, "password": password})


def second_factor_form(userid: str, challenge: SecretStr, response: SecretStr) -> bytes:
    """The body of the second `POST /access/ticket`; `response` begins with its kind, as in "totp:123456"."""
    return _form({"username": userid, "tfa-challenge": challenge, "password": response})


def openid_form(**fields: str | SecretStr) -> bytes:
    """The body of one of the two OpenID calls; `_` in a name stands for `-`."""
    return _form({name.replace("_", "-"): value for name, value in fields.items()})


def shown_in(words: str, sent: Mapping[str, str], ticket: Ticket | None) -> bool:
    """Whether words hold any part of what signs a request in: its headers, or its ticket, which a form may have had."""
    parts = [part for value in sent.values() for part in (value, *unquote(value).split("="))]
    if ticket is not None:
        signed, csrf_token = ticket.ticket.get_secret_value(), ticket.csrf_token.get_secret_value()
        parts += [signed, signed.rpartition("::")[2], csrf_token, csrf_token.partition(":")[2]]
    return any(len(part) >= _SHORTEST_SECRET and part in words for part in parts)


def headers(credential: Credential, method: str) -> dict[str, str]:
    """The headers that sign a request in. Raises TicketRejected for a credential that no header can carry.

    Proxmox percent-decodes the cookie, so only what a cookie cannot hold is encoded: a `+` stays a `+`.
    """
    signed = _token(credential) if isinstance(credential, ApiToken) else _ticket(credential.ticket)
    if method != "GET" and not isinstance(credential, ApiToken):
        signed["CSRFPreventionToken"] = credential.csrf_token.get_secret_value()
    if not _can_be_sent(signed):
        raise TicketRejected("a credential that cannot be sent")
    return signed


def _token(token: ApiToken) -> dict[str, str]:
    return {"Authorization": f"PVEAPIToken={token.tokenid}={token.secret.get_secret_value()}"}


def _ticket(ticket: SecretStr) -> dict[str, str]:
    return {"Cookie": "PVEAuthCookie=" + quote(ticket.get_secret_value(), safe=_AS_IT_IS, errors="replace")}


def _can_be_sent(signed: Mapping[str, str]) -> bool:
    return all(set(value) <= set(_PRINTABLE) for value in signed.values())


def _form(fields: Mapping[str, str | SecretStr]) -> bytes:
    form = _encoded(fields)
    if not form or len(form) > _LONGEST_FORM:
        raise InvalidCredentials("what cannot be sent")
    return form


def _encoded(fields: Mapping[str, str | SecretStr]) -> bytes:
    """The form, or nothing: an encoding error would carry the secret with it."""
    try:
        return "&".join(f"{name}={_quoted(value)}" for name, value in fields.items()).encode("ascii")
    except UnicodeEncodeError:
        return b""


def _quoted(value: str | SecretStr) -> str:
    return quote_plus(value.get_secret_value() if isinstance(value, SecretStr) else value, safe="")
