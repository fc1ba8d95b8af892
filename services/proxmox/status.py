"""What a status means: Proxmox's refusals as errors of ours. The table is in pve-http-server and pve-access-control."""

import re
from contextlib import suppress
from typing import cast

from pydantic_core import from_json

from services.errors import (
    BadAnswer,
    InvalidCredentials,
    Outage,
    PrivilegeMissing,
    ProxmoxError,
    RequestRefused,
    TicketRejected,
    Unreachable,
)

_PERMISSION = re.compile(r"Permission check failed \((/[^\s,()\"\x00-\x1f\x7f]{0,256}), ([A-Za-z.,| ]{1,256})\)")


_MOST_WORDS = 2000


def is_explained(status: int, *, signing_in: bool) -> bool:
    """Whether the body of such an answer may say more than its status does."""
    return status >= 400 and (status == 403 or not signing_in)


def own_words(reason: str, explanation: str) -> str:
    """What Proxmox says of a refusal: in the body of its answer, or before 9.0 in the reason phrase alone."""
    told = _told(explanation)
    said = [told.get("message"), *_wrong(told)]
    lines = [" ".join(one.split()) for one in said if isinstance(one, str)]
    words = "\n".join(line for line in lines if line) or reason
    return "".join(char for char in words[:_MOST_WORDS] if char.isprintable() or char == "\n")


def _told(explanation: str) -> dict[str, object]:
    with suppress(ValueError, RecursionError):
        if isinstance(found := from_json(explanation), dict):
            return cast(dict[str, object], found)
    return {}


def _wrong(told: dict[str, object]) -> list[str]:
    """Which parameters were wrong, and how."""
    errors = told.get("errors")
    wrong = cast(dict[str, object], errors) if isinstance(errors, dict) else {}
    return [f"{name}: {why}" for name, why in wrong.items() if isinstance(why, str)]


def refusal(status: int, message: str, *, signing_in: bool) -> ProxmoxError | None:
    """The error that this answer is, or None for a success.

    `message` is the reason phrase with, where there is one, the body: 7.x and 8.x say more in the former.
    """
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return BadAnswer("a redirect, which is never followed")
    if 400 <= status < 500 or status == 501:
        return _refused(status, message, signing_in=signing_in)
    outage = Outage.DAEMON if 595 <= status <= 599 else Outage.FAILED
    return Unreachable(f"status {status}", outage, status)


def _refused(status: int, message: str, *, signing_in: bool) -> ProxmoxError:
    if signing_in and status in (400, 401):
        return InvalidCredentials("refused by Proxmox", by_proxmox=True)
    if status == 401:
        return RequestRefused(401) if "invalid csrf token" in message.lower() else TicketRejected()
    if status == 403:
        return _privilege(message)
    return RequestRefused(status)


def _privilege(message: str) -> PrivilegeMissing:
    found = _PERMISSION.search(message)
    return PrivilegeMissing(*found.groups()) if found else PrivilegeMissing("", "")
