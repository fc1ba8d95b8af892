"""The README's table is that of one run of `python -m bench`, and what meets no goal is accounted for."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from bench.table import Row, table

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(scope="module")
def run():
    """The last whole run."""
    return json.loads((BENCH / "table.json").read_text())


@pytest.fixture(scope="module")
def rows(run):
    """Its rows."""
    names = {field.name for field in fields(Row)}
    return [Row(**{name: value for name, value in one.items() if name in names}) for one in run["rows"]]


def test_the_readme_shows_the_last_run(run, rows):
    """The machine and every row, as they were measured."""
    readme = (BENCH.parent / "README.md").read_text()
    assert table(rows) in readme
    assert f"{run['machine']}; {run['at']}" in readme


def test_the_run_judged_as_its_rows_say(run, rows):
    """Nothing in the file says of a row what its figures do not."""
    assert [(one["figure"], one["goal"], one["holds"]) for one in run["rows"]] == [
        (row.figure, row.goal, row.holds) for row in rows
    ]


def test_what_meets_no_goal_has_its_limit_shown(rows):
    """Each such row has a paragraph of its own."""
    limits = (BENCH / "README.md").read_text().partition("## Limits")[2].partition("\n## ")[0]
    missing = [f"{row.what}: {row.against}" for row in rows if not row.holds and f"**{_name(row)}**" not in limits]
    assert missing == []


def _name(row):
    return row.against if row.what == "the same" else row.what
