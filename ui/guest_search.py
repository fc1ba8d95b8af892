"""What people type to find guests: `node:pve1 tag:web stopped -pool:test "two words"`. Every term has to match.

`key:value` looks at one thing alone, and at all of it: `node:pve1` is not pve12, `node:pve*` is. Several values
with commas are alternatives. A plain word is looked for anywhere in what a row shows, and a state by its beginning,
in the person's language or Proxmox's.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from services.proxmox import Guest
from ui import text, words
from ui.language import language

LONGEST, MOST_TERMS = 500, 20
"""Letters and terms of a search; what is more is not looked at."""

TROUBLED = ("io-error", "internal-error", "guest-panicked")
"""States in which QEMU has stopped a virtual machine because something is wrong with it."""

_TERM = re.compile(r'(?P<no>-?)(?:(?P<key>[A-Za-z]+):)?(?P<value>"[^"]*"?|(?:[^\s"]|"[^"]*"?)*)')
_NUMBERS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_TYPES = {"qemu": "qemu", "vm": "qemu", "lxc": "lxc", "ct": "lxc"}
_OTHER_NAMES = {"tags": "tag", "status": "state", "id": "vmid"}

Test = Callable[[Guest], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search as typed. `unknown` are the terms that were not understood, which leave nothing out."""

    words: str = ""
    tests: tuple[Test, ...] = ()
    unknown: tuple[str, ...] = ()

    def __call__(self, guest: Guest) -> bool:
        """Whether every term matches."""
        return all(test(guest) for test in self.tests)


def state_of(guest: Guest) -> str:
    """What a row calls the guest's state: a template is one before anything else."""
    return "template" if guest.template else guest.status


def understand(typed: str) -> Search:
    """Read a search; what was typed is kept as it is, up to a length."""
    return _understand(typed[:LONGEST], language())


@lru_cache(maxsize=256)
def _understand(typed: str, _: str) -> Search:
    tests: list[Test] = []
    unknown: list[str] = []
    for term, no, key, values in _terms(typed):
        test = _test(key, values)
        if test is None:
            unknown.append(term)
        elif values:
            tests.append(_negated(test) if no else test)
    return Search(words=typed, tests=tuple(tests), unknown=tuple(unknown))


def _terms(typed: str) -> Iterator[tuple[str, bool, str, list[str]]]:
    """Each term as typed, whether it excludes, its key and its alternatives: none while it is not finished."""
    found = [match for match in _TERM.finditer(typed) if match[0]]
    for match in found[:MOST_TERMS]:
        key, value = (match["key"] or "").lower(), match["value"].casefold()
        one = not key or '"' in value
        values = [value.replace('"', "")] if one else value.split(",")
        yield match[0], bool(match["no"]), _OTHER_NAMES.get(key, key), [part for part in values if part]


def _test(key: str, values: list[str]) -> Test | None:
    """What one term asks of a guest; None where it cannot be understood."""
    read = _KEYS.get(key)
    tests = [read(value) for value in values] if read else [None]
    known = [test for test in tests if test is not None]
    return _any(known) if len(known) == len(tests) else None


def _anywhere(word: str) -> Test:
    states = {state for state, ours in _states() if word and ours.startswith(word)}

    def test(guest: Guest) -> bool:
        state = state_of(guest)
        return word in guest.name.casefold() or state in states or state.startswith(word) or _is_in_rest(word, guest)

    return test


def _is_in_rest(word: str, guest: Guest) -> bool:
    return (
        word in guest.node.casefold()
        or str(guest.vmid).startswith(word)
        or any(word in tag.casefold() for tag in guest.tags)
        or word in guest.pool.casefold()
        or word == guest.type
    )


def _states() -> Iterator[tuple[str, str]]:
    """Each state by its names: Proxmox's and that in the person's language."""
    for state in words.STATES:
        yield state, state
        yield state, text.state(state).casefold()


def _name(value: str) -> Test:
    if "*" in value:
        return lambda guest: _matches(value, guest.name.casefold())
    return lambda guest: value in guest.name.casefold()


def _node(value: str) -> Test:
    return lambda guest: _matches(value, guest.node.casefold())


def _tag(value: str) -> Test:
    return lambda guest: any(_matches(value, tag.casefold()) for tag in guest.tags)


def _pool(value: str) -> Test:
    return lambda guest: _matches(value, guest.pool.casefold())


def _state(value: str) -> Test:
    states = {state for state, ours in _states() if _matches(value, ours)}
    return lambda guest: state_of(guest) in states or _matches(value, state_of(guest))


def _type(value: str) -> Test | None:
    kind = _TYPES.get(value)
    return None if kind is None else lambda guest: guest.type == kind


def _vmid(value: str) -> Test | None:
    match = _NUMBERS.fullmatch(value)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    return lambda guest: first <= guest.vmid <= last


_KEYS: dict[str, Callable[[str], Test | None]] = {
    "": _anywhere,
    "name": _name,
    "node": _node,
    "tag": _tag,
    "pool": _pool,
    "state": _state,
    "type": _type,
    "vmid": _vmid,
}
KEYS = tuple(filter(None, _KEYS))
"""What `key:value` may begin with."""


def _matches(pattern: str, whole: str) -> bool:
    """Whether all of `whole` is `pattern`, in which `*` stands for anything. Takes time in proportion to both."""
    first, *rest = pattern.split("*")
    if not rest:
        return whole == pattern
    *middle, last = rest
    if not whole.startswith(first) or not whole.endswith(last) or len(whole) < len(first) + len(last):
        return False
    place, end = len(first), len(whole) - len(last)
    for part in middle:
        place = whole.find(part, place, end) + len(part)
        if place < len(part):
            return False
    return True


def _any(tests: list[Test]) -> Test:
    return tests[0] if len(tests) == 1 else lambda guest: any(test(guest) for test in tests)


def _negated(test: Test) -> Test:
    return lambda guest: not test(guest)
