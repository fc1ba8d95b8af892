"""Programs of this machine that tests need."""

import os
import shutil

import pytest


def needed(name: str) -> str:
    """The machine's own; without one the test is skipped, but never in CI."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"no {name} on this machine, and in CI nothing may be skipped")
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found
