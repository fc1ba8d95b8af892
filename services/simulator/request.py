"""A request as Proxmox reads it: form bodies (where `;` separates too), JSON bodies, the query, one cookie."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote, unquote_plus

Parameters = dict[str, object]

PREFIX = "/api2/json"
_COOKIE = re.compile(r"(?:^|[;\s])PVEAuthCookie=([^;]*)")
_TOKEN = re.compile(r"PVEAPIToken=([^;]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `path` lacks `/api2/json`, unless it lies `outside`; a parameter sent twice is a list."""

    method: str
    path: str
    outside: bool = False
    headers: Mapping[str, str] = field(repr=False)
    parameters: Parameters = field(repr=False, default_factory=Parameters)

    @property
    def ticket(self) -> str | None:
        """The ticket in the cookie, percent-decoded; a `+` stays one, a space does not turn back into one."""
        found = _COOKIE.search(self.headers.get("cookie", ""))
        return unquote(found[1].rstrip()) if found else None

    @property
    def api_token(self) -> tuple[str, str] | None:
        """The token's id and secret, when the request brings one: cut at `;`, decoded, parted at the last `=`."""
        found = _TOKEN.match(self.headers.get("authorization", ""))
        tokenid, _, secret = unquote(found[1]).rpartition("=") if found else ("", "", "")
        return (tokenid, secret) if found else None

    def text(self, name: str) -> str | None:
        """A parameter that is a single text; None when it is missing or something else."""
        value = self.parameters.get(name)
        return value if isinstance(value, str) else None


def parse(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request | None:
    """The request behind a head and its body; None when the body says it is JSON and is not."""
    path, _, query = target.partition("?")
    parameters = _form(query)
    if "json" in headers.get("content-type", ""):
        given = _json(body)
        if given is None:
            return None
        parameters |= given
    else:
        parameters |= _form(body.decode("ascii", "surrogateescape"))
    path = unquote(path).rstrip("/")
    outside = not path.startswith(f"{PREFIX}/")
    path = path if outside else path.removeprefix(PREFIX)
    return Request(method=method, path=path, outside=outside, headers=headers, parameters=parameters)


def _form(text: str) -> Parameters:
    parameters: Parameters = {}
    for piece in filter(None, re.split("[&;]", text)):
        name, _, value = (unquote_plus(part, errors="surrogateescape") for part in piece.partition("="))
        parameters[name] = [parameters[name], value] if name in parameters else value
    return parameters


def _json(body: bytes) -> Parameters | None:
    try:
        value: object = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return {str(name): _scalar(item) for name, item in cast("dict[object, object]", value).items()}


def _scalar(item: object) -> object:
    """Perl tells no number from its digits."""
    return str(item) if isinstance(item, int | float) else item
