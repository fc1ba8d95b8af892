"""The rows of guests: their text, their order by value, and that all tabs share them."""

import gc

import pytest

from services.proxmox import Guest
from ui.guest_rows import MOST_ORDERS, SORTED_BY, Sorting, rows_of, sorting_of
from ui.guest_search import understand
from ui.language import speaking
from ui.theme import dot
from ui.words import UNKNOWN

GIB = 1024**3


def guest(vmid, **more):
    return Guest(**{"vmid": vmid, "type": "qemu", "node": "pve1", "status": "running", **more})


def ordered(guests, sort, search=""):
    return [one.vmid for one in rows_of(tuple(guests)).order(understand(search), sorting_of(sort))]


def test_a_row_says_what_a_person_sees():
    """A row has the guest's figures in Proxmox's units, and bars beside those that are shares."""
    running = guest(
        100, name="web", type="lxc", cpu=0.123, mem=GIB, maxmem=4 * GIB, disk=2 * GIB, maxdisk=8 * GIB, uptime=90_000,
        tags=("a", "b"), pool="media", lock="backup",
    )  # fmt: skip
    assert rows_of((running,)).row(running) == (
        100, "CT", "web", "pve1", "running", "backup",
        "12 %", 12, "1.0 GiB", 25, "8.0 GiB", 25, "1 d 1 h", "a;b", "media",
    )  # fmt: skip


def test_what_is_not_known_is_a_dash():
    """A stopped guest uses nothing, and one without a name has its number."""
    stopped = guest(101, status="stopped", cpu=0.0, mem=0, maxmem=GIB, disk=0, maxdisk=0, uptime=0)
    assert rows_of((stopped,)).row(stopped) == (
        101, "VM", "101", "pve1", "stopped", "", UNKNOWN, -1, UNKNOWN, -1, UNKNOWN, -1, UNKNOWN, "", "",
    )  # fmt: skip


@pytest.mark.parametrize("status", ["paused", "io-error", "finish-migrate"])
def test_what_stands_still_keeps_its_memory(status):
    """A machine that is on but does not run has its figures all the same, and its state in Proxmox's word."""
    still = guest(102, status=status, cpu=0.0, mem=GIB, maxmem=4 * GIB, uptime=60)
    row = rows_of((still,)).row(still)
    assert (row[4], row[6], row[8], row[9], row[12]) == (status, "0 %", "1.0 GiB", 25, "1 min")
    assert ordered([guest(1, mem=2 * GIB), still, guest(3, status="unknown")], "memory") == [102, 1, 3]


@pytest.mark.parametrize("state", ["part", "stale", "io-error x", "Running", ""])
def test_a_state_that_we_do_not_know_is_no_class(state):
    """A state is a class of its dot only if it is one of those that have a name here."""
    assert (dot(state), dot("io-error")) == ("pg-dot pg-unknown", "pg-dot pg-io-error")


def test_guests_are_sorted_by_value_and_not_by_text():
    """9 GiB come before 10 GiB, web9 before web10, pve2 before pve10."""
    guests = [
        guest(1, name="web10", mem=10 * GIB, node="pve10"),
        guest(2, name="web9", mem=9 * GIB, node="pve2"),
        guest(3, name="Web1", mem=900 * 1024**2, node="pve1"),
    ]
    assert ordered(guests, "memory") == [3, 2, 1]
    assert ordered(guests, "-memory") == [1, 2, 3]
    assert ordered(guests, "name") == [3, 2, 1]
    assert ordered(guests, "node") == [3, 2, 1]


@pytest.mark.parametrize("column", ["cpu", "memory", "uptime", "disk", "tags", "pool"])
def test_what_is_not_known_comes_last_both_ways(column):
    """Guests without a value in the column stand at the end, whichever way the others are sorted."""
    facts = {"cpu": 0.5, "mem": GIB, "uptime": 60, "maxdisk": GIB, "tags": ("a",), "pool": "p"}
    guests = [guest(1, status="stopped"), guest(2, **facts), guest(3)]
    assert ordered(guests, column) == [2, 1, 3]
    assert ordered(guests, f"-{column}") == [2, 1, 3]


def test_equal_guests_are_in_the_order_of_their_numbers():
    """However Proxmox lists them, guests with the same value stand in the order of their numbers."""
    guests = [guest(vmid, cpu=0.1) for vmid in (7, 3, 5)]
    assert ordered(guests, "cpu") == [3, 5, 7]
    assert ordered(guests, "-cpu") == [3, 5, 7]


def test_running_guests_come_before_stopped_ones_and_templates():
    """Sorted by state, what runs comes first, and a state that Proxmox has new last."""
    guests = [
        guest(1, status="stopped", template=True), guest(2, status="stopped"), guest(3), guest(4, status="paused"),
        guest(5, status="hibernating"),
    ]  # fmt: skip
    assert ordered(guests, "state") == [3, 4, 2, 1, 5]


@pytest.mark.parametrize("words", ["", "-", "colour", "--cpu", "cpu ", "-nothing", "__class__"])
def test_a_sorting_that_makes_no_sense_is_that_by_number(words):
    """What an address says about the order is ignored where there is no such column."""
    assert sorting_of(words) == Sorting()


def test_every_column_can_be_sorted_by_with_names_of_any_kind():
    """Names of digits, of right-to-left letters and of odd ones can be compared with each other."""
    names = ["", "9", "a9", "٣", "²", "א", "</script>", "x" * 255, "1" * 255]
    guests = [guest(vmid, name=name, node=name or "n", pool=name) for vmid, name in enumerate(names, 1)]
    for column in SORTED_BY:
        assert sorted(ordered(guests, f"-{column}")) == list(range(1, len(names) + 1))


def test_a_search_keeps_the_order():
    """What a search leaves is sorted like the whole."""
    guests = [guest(1, cpu=0.1), guest(2, cpu=0.3, node="pve2"), guest(3, cpu=0.2)]
    assert ordered(guests, "-cpu", "node:pve1") == [3, 1]


def test_rows_are_shared_by_all_who_look_at_the_same_picture_in_the_same_language():
    """Rows and orders are made once for a picture and language, and go when nobody has them any more."""
    guests = (guest(1), guest(2))
    rows = rows_of(guests)
    assert rows_of(guests) is rows
    assert rows.row(guests[0]) is rows.row(guests[0])
    assert rows.order(understand("x"), Sorting()) is rows.order(understand("x"), Sorting())
    with speaking("de"):
        assert rows_of(guests) is not rows
    assert rows_of((guest(1), guest(2))) is not rows
    old = id(rows)
    del rows
    gc.collect()
    assert old not in map(id, gc.get_objects())


def test_a_picture_keeps_few_orders():
    """However many searches are typed while a picture lasts, only the last orders are kept."""
    guests = (guest(1),)
    rows = rows_of(guests)
    first = rows.order(understand("0"), Sorting())
    for count in range(1, MOST_ORDERS + 1):
        rows.order(understand(f"-x{count}"), Sorting())
    assert rows.order(understand("0"), Sorting()) is not first
