"""What is wrong with a call's parameters, in the words of Proxmox's JSON schema."""

import re
from collections.abc import Iterable, Mapping

from services.simulator.request import Request

_REALM = re.compile(r"[A-Za-z][A-Za-z0-9.\-_]+")


def schema_errors(request: Request, known: Mapping[str, int | None], required: Iterable[str]) -> dict[str, str]:
    """An error for each parameter that has one. `known` has the longest value of each, None for "no limit"."""
    missing = set(required) - request.parameters.keys()
    errors = dict.fromkeys(sorted(missing), "property is missing and it is not optional")
    wrongs = {name: _wrong(name, value, known) for name, value in request.parameters.items()}
    return errors | {name: wrong for name, wrong in wrongs.items() if wrong}


def _wrong(name: str, value: object, known: Mapping[str, int | None]) -> str | None:
    if name not in known:
        return "property is not defined in schema and the schema does not allow additional properties"
    if not isinstance(value, str):
        return "type check ('string') failed"
    longest = known[name]
    if longest is not None and len(value) > longest:
        return f"value may only be {longest} characters long"
    if name == "realm" and not _REALM.fullmatch(value):
        return "invalid format - value does not look like a valid realm"
    return None
