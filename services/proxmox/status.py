"""What a status means: Proxmox's refusals as errors of ours. The table is in pve-http-server and pve-access-control."""

import re

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

_PERMISSION = re.compile(r"Permission check failed \((/[^\s,()\"]{0,256}), ([A-Za-z.,| ]{1,256})\)")


def is_explained(status: int, *, signing_in: bool) -> bool:
    """Whether the body of such an answer may say more than its status does."""
    return status == 403 or (status == 401 and not signing_in)


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
