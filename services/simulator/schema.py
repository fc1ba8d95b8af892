"""What is wrong with a call's parameters, in the words of Proxmox's JSON schema."""

import re
from collections.abc import Callable, Iterable, Mapping

from services.simulator.request import Request

Rule = int | tuple[str, ...] | range | re.Pattern[str] | Callable[[str], str | None] | None
"""The longest text, the words allowed, the numbers allowed, the form of the text, or what is wrong with it.

None is "any text".
"""

SWITCH = ("0", "1", "no", "yes", "off", "on", "false", "true")
ANY_NUMBER = range(-(2**63), 2**63)
_REALM = re.compile(r"[A-Za-z][A-Za-z0-9.\-_]+")


def config_id(text: str) -> str | None:
    """What is wrong with the name of a snapshot."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]+", text):
        return f"invalid format - invalid configuration ID '{text}'\n"
    return "value may only be 40 characters long" if len(text) > 40 else None


def schema_errors(request: Request, known: Mapping[str, Rule], required: Iterable[str]) -> dict[str, str]:
    """An error for each parameter that has one."""
    missing = set(required) - request.parameters.keys()
    errors = dict.fromkeys(sorted(missing), "property is missing and it is not optional")
    wrongs = {name: _wrong(name, value, known) for name, value in request.parameters.items()}
    return errors | {name: wrong for name, wrong in wrongs.items() if wrong}


def _wrong(name: str, value: object, known: Mapping[str, Rule]) -> str | None:
    if name not in known:
        return "property is not defined in schema and the schema does not allow additional properties"
    if not isinstance(value, str):
        return "type check ('string') failed"
    if name == "realm" and not _REALM.fullmatch(value):
        return "invalid format - value does not look like a valid realm"
    return _misfit(value, known[name])


def _misfit(value: str, rule: Rule) -> str | None:
    match rule:
        case int() if len(value) > rule:
            return f"value may only be {rule} characters long"
        case tuple() if value not in rule:
            return f"value '{value}' does not have a value in the enumeration '{', '.join(rule)}'"
        case re.Pattern() if not rule.fullmatch(value):
            return "value does not match the regex pattern"
        case range():
            return _out_of(value, rule)
        case _:
            return rule(value) if callable(rule) else None


def _out_of(value: str, numbers: range) -> str | None:
    if not re.fullmatch(r"-?\d{1,18}", value):
        return f"type check ('integer') failed - got '{value}'"
    if int(value) < numbers.start:
        return f"value must have a minimum value of {numbers.start}"
    return None if int(value) < numbers.stop else f"value must have a maximum value of {numbers.stop - 1}"
