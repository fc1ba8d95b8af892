"""What goes back over the wire, in Proxmox's own reason phrases."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

JSON = "application/json;charset=UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status with its reason phrase; `delay` is in simulated seconds. The body may hold a ticket: never printed."""

    status: int
    reason: str
    body: bytes = b""
    content_type: str = ""
    location: str = ""
    delay: float = 0.0

    def __repr__(self) -> str:
        return f"Answer({self.status} {self.reason})"


def data(value: object) -> Answer:
    return Answer(status=200, reason="OK", body=_json({"data": value}), content_type=JSON)


def rows(found: Sequence[object] | Mapping[str, object] | None, **more: object) -> Answer:
    """What may be long, made quickly. Its texts are our own: a lone surrogate would be an error."""
    return Answer(status=200, reason="OK", body=to_json({"data": found, **more}), content_type=JSON)


def unauthorized(reason: str) -> Answer:
    """Proxmox lets whoever is refused wait, and says nothing but the reason phrase."""
    return Answer(status=401, reason=reason, delay=3.0)


def login_refused() -> Answer:
    """The one answer for every refused login, so that nobody can tell why."""
    return _told(401, "authentication failure", delay=3.0)


def parameters_refused(errors: Mapping[str, str]) -> Answer:
    return _told(400, "Parameter verification failed.", errors=dict(errors))


def forbidden(path: str, privilege: str) -> Answer:
    return _told(403, f"Permission check failed ({path}, {privilege})")


def token_refused(path: str) -> Answer:
    return _told(403, f"Permission check failed ('{path}' needs a ticket, not an API token)")


def not_implemented(method: str, path: str) -> Answer:
    return _told(501, f"Method '{method} {path}' not implemented")


def failed(reason: str) -> Answer:
    return _told(500, reason)


def bare(status: int, reason: str) -> Answer:
    return Answer(status=status, reason=reason)


def _told(status: int, reason: str, *, delay: float = 0.0, **more: object) -> Answer:
    body = _json({"data": None, "message": f"{reason}\n", **more})
    return Answer(status=status, reason=reason, body=body, content_type=JSON, delay=delay)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
