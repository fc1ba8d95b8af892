"""Found by Python as it starts where this directory is on its path: takes one row's defence out of the process."""

import os
import sys
import traceback

if id := os.environ.get("PROXGATE_TESTS_WITHOUT"):
    try:
        from tests.attacks import row_of

        row_of(id).switch_off()
    except BaseException:  # noqa: BLE001 - Python would print it, and go on with the defence in its place
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(70)
