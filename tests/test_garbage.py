"""Garbage that only holds itself is looked for in quiet seconds, and in a rush only once there may be much of it."""

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nicegui import Client, ui
from nicegui.page import page

from ui import garbage
from ui.clients import let_go

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python looks at a part at a time by itself")

PERIOD = 0.01
OLD_ENOUGH = 10  # collections of the young after which Python itself would look
SPARE = 5  # of those: what the test itself makes


class Loop:
    """Holds only itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
async def collecting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[weakref.ref[Loop]]:
    """The errand is up, there is nothing old, and old garbage."""
    monkeypatch.setattr(garbage, "PERIOD", PERIOD)
    gc.collect()  # there is nothing that it would do at once, and have to rest from
    task = asyncio.create_task(garbage.collect_in_quiet())
    await asyncio.sleep(0)
    yield old_garbage()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def old_garbage() -> weakref.ref[Loop]:
    """What became garbage when it was no longer young."""
    loop = Loop()
    ref = weakref.ref(loop)
    gc.collect(1)
    return ref


def make(young: int) -> None:
    """Have the young collected until so many are counted, as if much had been made and kept."""
    while gc.get_count()[2] < young:
        gc.collect(1)


async def test_in_a_quiet_second(collecting: weakref.ref[Loop]) -> None:
    """It goes as soon as it is quiet, if anything was made."""
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is not None, "nothing was made"
    make(OLD_ENOUGH)
    for _ in range(500):
        await asyncio.sleep(PERIOD)
        if collecting() is None:
            break
    assert collecting() is None


async def test_in_a_rush(collecting: weakref.ref[Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is held up for it, until very much was made."""
    monkeypatch.setattr(garbage, "QUIET", -1.0)
    make(garbage.MOST_MADE - SPARE)
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is not None
    make(garbage.MOST_MADE)
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell how much it takes")
async def test_in_a_rush_that_takes_much(collecting: weakref.ref[Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Few objects may hold much: it is done once the process has grown."""
    monkeypatch.setattr(garbage, "QUIET", -1.0)
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is not None
    held = b"x" * (2 * garbage.MOST_GROWN)
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is None
    del held


@pytest.mark.parametrize(("quiet", "share"), [(1e9, "MOST_SHARE"), (-1.0, "MOST_OF_A_RUSH")])
async def test_little_of_the_time(
    quiet: float, share: str, collecting: weakref.ref[Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long one the next has to wait, however quiet it is and however much was made."""
    monkeypatch.setattr(garbage, "QUIET", quiet)
    make(garbage.MOST_MADE)
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is None, "the first"
    monkeypatch.setattr(garbage, share, 1e-9)
    ref = old_garbage()
    make(garbage.MOST_MADE)
    await asyncio.sleep(5 * PERIOD)
    assert ref() is not None, "the second"


async def test_python_has_its_way_again() -> None:
    """Once it is cancelled everything is as before."""
    before = gc.get_threshold()
    task = asyncio.create_task(garbage.collect_in_quiet())
    await asyncio.sleep(0)
    assert gc.get_threshold() != before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_threshold() == before


async def test_what_was_let_go_last(collecting: weakref.ref[Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes after a while though nothing more is made."""
    monkeypatch.setattr(garbage, "QUIET", 1e9)
    monkeypatch.setattr(garbage, "LONGEST", 0.0)
    await asyncio.sleep(5 * PERIOD)
    assert collecting() is None


async def test_a_page_that_ends_leaves_none() -> None:
    """Its elements are gone without anybody looking for them."""
    client = Client(page("/ended"))
    with client:
        ui.button("one").classes("two").style("color: red").props("flat")
    refs = [weakref.ref(own) for each in client.elements.values() for own in (each, each.classes, each.props)]
    gc.collect()
    gc.disable()
    try:
        let_go(client)
        client.delete()
        del client
        assert [ref for ref in refs if ref()] == []
    finally:
        gc.enable()
