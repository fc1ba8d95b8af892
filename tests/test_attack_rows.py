"""The rows of `tests/attacks`: each names tests that there are, and a defence."""

import re
from pathlib import Path

import pytest

from tests.attacks import SECTIONS, all_rows

HERE = Path(__file__).parent
ROWS = all_rows()


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
    assert len(set(ids)) == len(ids) == 90
    assert {id[0] for id in ids} == set(SECTIONS)
