"""The table of what is measured side by side: its rows, and how a program gives them.

A program has a `measure`, which returns its rows, and ends with `sys.exit(give(measure, __doc__))`. A row compares two
things that were measured in turns in one run, or holds one figure against a bound.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NOTHING = "–"  # noqa: RUF001 - the dash of an empty cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: what we have, what it is held against, and the figure that is judged."""

    what: str
    against: str
    ours: float
    theirs: float | None = None
    unit: str = ""
    """Of `ours` and `theirs`: "/s", "ms", "kB", "MB", "%", or none."""

    at_least: float | None = None
    at_most: float | None = None
    """The goal; of the ratio where there is something to compare with, else of our own figure."""

    note: str = ""

    @property
    def figure(self) -> float:
        """What is judged."""
        return self.ours / self.theirs if self.theirs else self.ours

    @property
    def holds(self) -> bool:
        """Whether the goal is met; what could not be measured meets none."""
        least = -math.inf if self.at_least is None else self.at_least
        most = math.inf if self.at_most is None else self.at_most
        return math.isfinite(self.figure) and least <= self.figure <= most

    @property
    def goal(self) -> str:
        """In words."""
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {number(bound or 0)}{'' if self.theirs else spaced(self.unit)}"


def spaced(unit: str) -> str:
    """A unit as it follows its number."""
    return unit if unit == "/s" or not unit else f" {unit}"


def number(value: float) -> str:
    """Three figures that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Iterable[Row]) -> str:
    """As Markdown."""
    lines = ["| what | against | ours | theirs | ratio | goal | |", "|---|---|---:|---:|---:|---|---|"]
    for row in rows:
        theirs = f"{number(row.theirs)}{spaced(row.unit)}" if row.theirs else NOTHING
        ratio = number(row.figure) if row.theirs else NOTHING
        ours = f"{number(row.ours)}{spaced(row.unit)}"
        said = "met" if row.holds else "**not met**"
        lines.append(f"| {row.what} | {row.against} | {ours} | {theirs} | {ratio} | {row.goal} | {said} |")
    return "\n".join(lines)


def give(measure: Callable[..., Sequence[Row]], about: str | None, **options: float) -> int:
    """Measure, print the rows, write them where `--json` says; 0 when every goal is met.

    What else is given is an option of the program, of that name and with that default, and goes to `measure`.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help="%(default)s unless told")
    asked = vars(parser.parse_args())
    place = asked.pop("json")
    return put(measure(**asked), place)


def put(rows: Sequence[Row], place: Path | None) -> int:
    """Print the rows, write them where a place is named; 0 when every goal is met."""
    print(table(rows))
    if place:
        place.write_text(json.dumps([asdict(row) for row in rows]))
    return 0 if all(row.holds for row in rows) else 1


def in_turns(rounds: int, *sides: Callable[[], float]) -> list[float]:
    """Measure each side once a round, and give each side's median: what disturbs the machine disturbs all alike.

    The first side of a round is another one each time.
    """
    found: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds):
        for place in range(len(sides)):
            side = (place + turn) % len(sides)
            found[side].append(sides[side]())
    return [statistics.median(values) for values in found]
