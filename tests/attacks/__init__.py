"""The attacks that Proxgate has to survive, row by row: the tests that prove each off, and the proof of the first.

    .venv/bin/python -m tests.attacks          all rows
    .venv/bin/python -m tests.attacks A G05    a section, a row

Each row's tests are given twice: all of them against the program as it is, and the first against a build in which the
row's defence is switched off, where it has to fail. Nothing in the program knows of this: `switch/sitecustomize.py`
takes a defence out of a Python process as it starts, the tests' own and the program's that they start.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType

SECTIONS = {
    "A": "cookie",
    "B": "races",
    "C": "requests",
    "D": "sign_in",
    "E": "proxmox",
    "F": "store",
    "G": "sockets",
    "H": "resources",
    "I": "leaks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack."""

    id: str
    attack: str
    tests: tuple[str, ...]
    """As pytest names them, from the directory `tests`; the first is the one that must fail without the defence."""
    switch_off: Callable[[], None]
    """Takes the defence out of this process; its docstring says what is gone."""

    @property
    def defence(self) -> str:
        """What is taken out, in words."""
        return (self.switch_off.__doc__ or "").partition("\n")[0].rstrip(".")


class Rows:
    """The rows of one section, each written above the function that takes its defence out."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def __call__(self, id: str, attack: str, *tests: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """A decorator; several of them may stand on one function."""

        def add(switch_off: Callable[[], None]) -> Callable[[], None]:
            self._rows.append(Row(id=id, attack=attack, tests=tests, switch_off=switch_off))
            return switch_off

        return add

    def __iter__(self) -> Iterator[Row]:
        return iter(sorted(self._rows, key=lambda row: row.id))


def take_out(owner: object, name: str, instead: object) -> None:
    """Put something in the place of what a class or module has, a function where it has one.

    Raises AttributeError where nothing is there, TypeError for a function that cannot be called as the one before it,
    and ValueError where nothing would change: a switch that switches nothing proves nothing.
    """
    before = getattr(owner, name)
    if before == instead:
        raise ValueError(f"{name} is that already")
    if isinstance(before, FunctionType) and callable(instead):
        asked = inspect.signature(before).parameters.values()
        given = [one for one in asked if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
        named = {one.name: one for one in asked if one.kind is one.KEYWORD_ONLY}
        inspect.signature(instead).bind(*given, **named)
    setattr(owner, name, instead)


def all_rows() -> tuple[Row, ...]:
    """Every row, in order."""
    return tuple(row for section in SECTIONS for row in rows_of(section))


def rows_of(section: str) -> Rows:
    """Those of the section with this letter."""
    return importlib.import_module(f"tests.attacks.{SECTIONS[section]}").row


def row_of(id: str) -> Row:
    """That row."""
    return next(row for row in rows_of(id[0]) if row.id == id)
