"""Snapshots as a tree in lines, and the names that a new one may have."""

import pytest

from services.proxmox import Snapshot, Snapshots
from services.snapshots import NameFault, fault_of_name, lines


def drawn(current, **parents):
    """Each snapshot with its depth, in the order in which they are listed; `parents` in the order of their times."""
    made = [Snapshot(name=name, parent=parent, snaptime=at) for at, (name, parent) in enumerate(parents.items())]
    found = lines(Snapshots(all=tuple(reversed(made)), current=current))
    return [f"{'-' * line.depth}{line.snapshot.name if line.snapshot else 'NOW'}" for line in found]


@pytest.mark.parametrize(
    ("current", "parents", "there"),
    [
        ("", {}, ["NOW"]),
        ("c", {"a": "", "b": "a", "c": "b"}, ["a", "b", "c", "NOW"]),
        ("b", {"a": "", "b": "a", "c": "b", "d": "c"}, ["a", "b", "-c", "-d", "NOW"]),
        ("c", {"a": "", "b": "a", "x": "b", "c": "a"}, ["a", "-b", "-x", "c", "NOW"]),
        ("b", {"a": "gone", "b": ""}, ["-a", "b", "NOW"]),
        ("gone", {"a": "", "b": "a"}, ["a", "b", "NOW"]),
        ("a", {"a": "b", "b": "a"}, ["b", "a", "NOW"]),
    ],
)
def test_the_line_to_now_is_straight(current, parents, there):
    """Each stands after the one it was taken after; what leads elsewhere is further in, and nothing is left out."""
    assert drawn(current, **parents) == there


def test_a_thousand_in_a_row():
    """A long line is no deeper than a short one."""
    parents = {f"s{at}": f"s{at - 1}" if at else "" for at in range(3000)}
    assert drawn("s2999", **parents)[-2:] == ["s2999", "NOW"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("ab", None),
        ("a" * 40, None),
        ("a", NameFault.MISSPELT),
        ("a" * 41, NameFault.MISSPELT),
        ("1a", NameFault.MISSPELT),
        ("a b", NameFault.MISSPELT),
        ("ab\n", NameFault.MISSPELT),
        ("äöü", NameFault.MISSPELT),
        ("current", NameFault.RESERVED),
        ("Pending", NameFault.RESERVED),
        ("old", NameFault.TAKEN),
        ("Old", None),
    ],
)
def test_names(name, fault):
    """What Proxmox would not take is told before it is asked."""
    assert fault_of_name(name, {"old"}) is fault
