"""Storages each once, and when one will be full."""

import math

import pytest

from services.proxmox import Series, Storage
from services.storages import DAY, LONGEST_WAIT, full_in, places

GIB = 1024**3


def row(storage, node, *, shared=False, status="available", disk=1, maxdisk=10):
    return Storage(
        storage=storage, node=node, shared=shared, status=status, disk=disk, maxdisk=maxdisk, content=("iso",)
    )


def past(*used, days=7, total=100.0):
    """Samples over so many days, evenly apart."""
    times = [round(index * days * DAY / (len(used) - 1)) for index in range(len(used))]
    return Series(times=tuple(times), curves={"used": tuple(used), "total": (total,) * len(used)})


def test_a_shared_storage_stands_once_with_its_nodes():
    """Several nodes' rows of a shared storage are one, those of a local one are several."""
    found = places([row("nas", "pve2", shared=True), row("local", "pve1"), row("nas", "pve1", shared=True),
                    row("local", "pve2")])  # fmt: skip
    assert [(one.storage, one.nodes) for one in found] == [
        ("local", ("pve1",)), ("local", ("pve2",)), ("nas", ("pve1", "pve2")),
    ]  # fmt: skip


def test_a_node_that_has_it_speaks_for_a_shared_storage():
    """The node that is asked, and whose figures count, is one to which the storage is available."""
    gone = row("nas", "pve1", shared=True, status="unknown", disk=None, maxdisk=None)
    (found,) = places([gone, row("nas", "pve2", shared=True, disk=5)])
    assert (found.node, found.used, found.total, found.available) == ("pve2", 5, 10, True)


def test_a_storage_that_nobody_has_has_no_size():
    """What is not known of a storage is not zero."""
    (found,) = places([row("nas", "pve1", status="unknown", disk=0, maxdisk=0)])
    assert (found.used, found.total, found.available) == (None, None, False)


def test_steady_growth_says_when_it_is_full():
    """Ten of a hundred in a week, half full: five weeks are left."""
    assert full_in(past(40.0, 42.0, 44.0, 46.0, 48.0, 50.0)) == pytest.approx(35 * DAY)


def test_what_is_full_is_full_now():
    """No time is left where nothing is left."""
    assert full_in(past(80.0, 90.0, 100.0)) == 0


@pytest.mark.parametrize(
    "series",
    [
        Series(),
        past(50.0, 50.0, 50.0),
        past(60.0, 50.0, 40.0),
        past(50.0, 50.1, 50.2),
        past(10.0, 20.0, 30.0, days=1),
        past(10.0, 90.0, 12.0, 88.0, 14.0, 90.0),
        past(10.0, 10.5, 11.0, days=30),
        past(10.0, None, 30.0),
        past(10.0, 20.0, 30.0, total=None),
        past(10.0, 20.0, 30.0, total=0.0),
    ],
    ids=["nothing", "still", "shrinks", "noise", "short", "swings", "far", "few", "unknown", "empty"],
)
def test_a_past_that_says_nothing_says_nothing(series):
    """No time is told where growth is missing, too little, too short, no line at all, or too slow to matter."""
    assert full_in(series) is None


def test_the_furthest_that_is_told():
    """A storage that will be full just in time is told of, and one a little later is not."""
    pace = 10 / (7 * DAY)
    near, far = (100 - pace * (LONGEST_WAIT + off) for off in (-DAY, DAY))
    assert full_in(past(near - 10, near - 5, near)) == pytest.approx(LONGEST_WAIT - DAY, rel=0.01)
    assert full_in(past(far - 10, far - 5, far)) is None


def test_gaps_do_not_move_the_line():
    """A node that was off for a while changes nothing of the pace."""
    assert full_in(past(40.0, 42.0, None, None, 48.0, 50.0)) == pytest.approx(35 * DAY)
    assert not math.isnan(full_in(past(40.0, None, 50.0, 55.0)) or 0)
