"""From the command to the first page, embedded store included, beside the bare NiceGUI program.

Ready is when `/readyz` says that the store answers and the login page has been read; there, when the page has been.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.installed import Program, bare, installed, proxgate, started
from bench.table import Row, give, in_turns
from tests import harness

ROUNDS = 11
GOAL = 1.3
AGAINST = "the bare NiceGUI program"


def measure() -> Sequence[Row]:
    """Two rows: with the data directory of an earlier start, as usual, and with none."""
    with tempfile.TemporaryDirectory(prefix="pg-bench-") as name, harness.simulator() as proxmox:
        directory = Path(name)
        ours = proxgate(installed("proxgate", directory / "ours"), **harness.for_proxmox(proxmox))
        theirs = bare(installed("nicegui", directory / "theirs"), directory)
        kept = proxgate(ours.python, **ours.settings, PROXGATE_DATA_DIR=str(directory / "kept"))
        for program in (kept, ours, theirs):  # the system's cache is warm for all
            _milliseconds(program)
        again, first, bare_one = in_turns(
            ROUNDS, lambda: _milliseconds(kept), lambda: _milliseconds(ours), lambda: _milliseconds(theirs)
        )
    return [
        Row(what="start to ready, embedded store included", against=AGAINST, ours=again, theirs=bare_one, unit="ms",
            at_most=GOAL),
        Row(what="the same with an empty data directory", against=AGAINST, ours=first, theirs=bare_one, unit="ms",
            at_most=GOAL),
    ]  # fmt: skip


def _milliseconds(program: Program) -> float:
    with started(program) as (_, seconds):
        return 1000 * seconds


if __name__ == "__main__":
    sys.exit(give(measure, __doc__))
