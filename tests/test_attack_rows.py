"""The rows of `tests/attacks`: each names tests that there are, and a defence."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks import SECTIONS, all_rows, take_out
from tests.attacks.__main__ import SWITCH, main

HERE = Path(__file__).parent
ROWS = all_rows()

EACH_SWITCH = """
import os
import traceback

import ui.server
from tests.attacks import all_rows

for row in all_rows():
    if child := os.fork():
        if os.waitpid(child, 0)[1]:
            print(row.id)
        continue
    left = 1
    try:
        row.switch_off()
        left = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(left)
"""
"""Each in a process of its own, which has all of the program's modules already, since they take long to import."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_its_tests_are_there(row):
    """A row names at least one test, each in the file that it names, and says which defence its proof takes out."""
    assert row.tests
    assert row.defence
    for test in row.tests:
        file, _, function = test.partition("::")
        name = function.partition("[")[0]
        assert not name or re.search(rf"def {name}\(", (HERE / file).read_text()), test


def test_ids():
    """No two rows have the same name, every section has some, and none is lost."""
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids) == 92
    assert {id[0] for id in ids} == set(SECTIONS)


def test_every_switch_switches():
    """Each defence is still where its switch takes it out."""
    told = subprocess.run(
        [sys.executable, "-c", EACH_SWITCH], cwd=HERE.parent, check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == [], told.stderr


def test_switches_take_out_what_there_is():
    """No switch writes to a class or module but by `take_out`, which demands that something is there."""
    for file in (HERE / "attacks").glob("[a-z]*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                assert ast.unparse(node.value) in {"self", "client", "context"}, f"{file.name}:{node.lineno}"


class Owner:
    """Has something to be taken out."""

    figure = 1

    def method(self, one, *, two):
        """Takes two."""


@pytest.mark.parametrize(
    ("name", "instead", "error"),
    [
        ("gone", 2, AttributeError),
        ("figure", 1, ValueError),
        ("method", lambda self: None, TypeError),
        ("method", lambda self, one: None, TypeError),
        ("method", lambda self, one, two, *, three: None, TypeError),
    ],
)
def test_take_out_refuses(name, instead, error):
    """What is not there, would not change or could not be called like the one before is not taken out."""
    with pytest.raises(error):
        take_out(Owner, name, instead)


def test_take_out(monkeypatch):
    """What is there is taken out."""
    monkeypatch.setattr(Owner, "method", Owner.method)
    take_out(Owner, "method", lambda self, *given, **how: (given, how))
    assert Owner().method(1, two=2) == ((1,), {"two": 2})


def test_a_switch_that_raises_ends_the_process():
    """A process whose defence could not be taken out ends, and says why, before it has done anything."""
    surroundings = {**os.environ, "PYTHONPATH": f"{SWITCH}", "PROXGATE_TESTS_WITHOUT": "A99"}
    told = subprocess.run(
        [sys.executable, "-c", "print('on it goes')"], env=surroundings, cwd=HERE.parent, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (70, "")
    assert "Traceback" in told.stderr


def test_no_such_row(capsys):
    """A row that is none is named, and nothing is run."""
    assert main(["A01", "Z99"]) == 2
    told = capsys.readouterr()
    assert (told.out, "Z99" in told.err, "A01" in told.err) == ("", True, False)
