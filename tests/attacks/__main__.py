"""Gives the tests of every row, or of those named, with the defence and without, and prints a table."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from tests.attacks import Row, all_rows

HERE = Path(__file__).parent
SWITCH = HERE / "switch"
AT_ONCE = 2
_ASSERTED = ("assert ", "AssertionError", "Failed: DID NOT RAISE")
"""How the report of a test begins that failed because something was not as it should be; other errors show nothing."""


def main(wanted: list[str]) -> int:
    """Print the table; 0 when every row holds, and shows that it would notice if it did not; 2 for no such row."""
    known = {name for row in all_rows() for name in (row.id, row.id[0])}
    if unknown := [name for name in wanted if name not in known]:
        print(f"There is no such row or section: {', '.join(unknown)}", file=sys.stderr)
        return 2
    rows = [row for row in all_rows() if not wanted or row.id in wanted or row.id[0] in wanted]
    print("| row | attack | holds | with the defence out it fails | what is taken out |\n|---|---|---|---|---|")
    good = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for row, (with_it, without) in zip(rows, pool.map(_proved, rows), strict=True):
            print(f"| {row.id} | {row.attack} | {with_it or 'yes'} | {without or 'yes'} | {row.defence} |", flush=True)
            good += not with_it and not without
    print(f"\n{good} of {len(rows)} rows hold, with proof.")
    return 0 if good == len(rows) else 1


def _proved(row: Row) -> tuple[str, str]:
    return _holds(row), _is_noticed(row)


def _holds(row: Row) -> str:
    """What is wrong with the program as it is; empty when nothing is."""
    report = _report(row.tests)
    failed = [case.get("name", "?") for case in report if _trouble(case) is not None]
    return f"NO: {', '.join(failed)}" if failed else "" if report else "NO TEST RAN"


def _is_noticed(row: Row) -> str:
    """What is wrong with the proof; empty when the first test fails without the defence, and by an assertion."""
    report = _report(row.tests[:1], without=row.id)
    failures = [trouble for case in report if (trouble := _trouble(case)) is not None]
    if not report:
        return "NO TEST RAN"
    if any(failure.tag == "failure" and failure.get("message", "").startswith(_ASSERTED) for failure in failures):
        return ""
    return f"NO: {failures[0].get('message', '')[:80]!r}" if failures else "NO: it passes"


def _report(tests: Iterable[str], *, without: str = "") -> list[ElementTree.Element]:
    """The cases of one pytest, as its JUnit report has them; without any it wrote no report, or ran nothing."""
    with tempfile.TemporaryDirectory(prefix="pg-attacks-") as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-n", "0", "-p", "no:cacheprovider",
                   f"--junitxml={report}", *(f"{HERE.parent / test}" for test in tests)]  # fmt: skip
        surroundings = {**os.environ, "PYTHONPATH": f"{SWITCH}", "PROXGATE_TESTS_WITHOUT": without}
        told = subprocess.run(
            command, check=False, cwd=HERE.parent.parent, env=surroundings, capture_output=True, text=True
        )
        if os.environ.get("VERBOSE") or not report.exists():
            print(told.stdout, told.stderr)
        return list(ElementTree.parse(report).iter("testcase")) if report.exists() else []


def _trouble(case: ElementTree.Element) -> ElementTree.Element | None:
    """Why a case did not pass: skipped is not passed."""
    return next((child for child in case if child.tag in {"failure", "error", "skipped"}), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
