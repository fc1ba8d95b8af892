"""How the fuzz tests look for examples: the same ones each time, without a clock, and nothing kept between runs."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SLOW_IS_NO_FAULT = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)


def fuzz(examples: int) -> Callable[[Any], Any]:
    """Try so many examples."""
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW_IS_NO_FAULT
    )


def mixed(pieces: list[str], most: int = 8) -> st.SearchStrategy[str]:
    """Any text, and texts that are put together from pieces which mean something there."""
    piece = st.sampled_from(pieces) | st.text(max_size=3)
    return st.one_of(st.text(max_size=80), st.lists(piece, max_size=most).map("".join))
