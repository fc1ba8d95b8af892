"""`attacks.md` names tests that there are."""

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "attacks.md").read_text()


def named():
    """The tests that the table names, as file and function; a name without a file is of the file before it."""
    file = ""
    for path, test in re.findall(r"`(?:((?:chaos/)?test_\w+\.py)::)?(test_\w+)`", TABLE):
        file = path or file
        yield file, test


def test_each_test_is_there():
    """Each test that the table names is in the file that it names."""
    tests = list(named())
    assert len(tests) > 80
    gone = [(file, test) for file, test in tests if not re.search(rf"def {test}\(", (HERE / file).read_text())]
    assert gone == []


def test_each_row_has_one():
    """No row is without a test."""
    rows = [line for line in TABLE.splitlines() if re.match(r"\| [A-Z]\d\d ", line)]
    assert len(rows) == 9 + 8 + 14
    assert [row for row in rows if "`test_" not in row and "`chaos/" not in row] == []
