"""How the cluster is, in tiles and one sentence: what is not known is neither well nor zero."""

import pytest

from services.feed import Health, Picture
from services.feed.picture import Unprotected
from services.proxmox import Guest, Node, Resources, Storage, Task
from services.storages import places
from ui import health
from ui.health import Level, fullest, tiles

WELL = Health(quorate=True, failed=(), unprotected=())


def picture(health=WELL, **resources):
    """A picture of these nodes, guests and storages."""
    return Picture(resources=Resources(**resources), health=health, taken=1.0)


def node(name, status="online"):
    return Node(node=name, status=status)


def verdict(shown):
    """The sentence over a picture's tiles."""
    return health.verdict(shown, tiles(shown))


def storage(name, used, *, on="pve1", shared=False, status="available"):
    return Storage(storage=name, node=on, disk=used, maxdisk=100, shared=shared, status=status)


def guest(vmid, status, *, template=False):
    return Guest(type="lxc", vmid=vmid, node="pve1", status=status, template=template)


def task(on):
    return Task(upid=f"UPID:{on}:1", node=on, type="vzdump", user="root@pam", starttime=1, endtime=2, status="no")


def tile(shown, name):
    """The tile of this name, None where there is none."""
    return next((one for one in tiles(shown) if one.name == name), None)


def test_nothing_known_has_no_tile():
    """An account that may see nothing gets no tile, and is not told that all is well."""
    shown = picture(Health())
    assert tiles(shown) == ()
    assert verdict(shown)[0] is Level.PLAIN


def test_all_is_well():
    """With everything known and nothing wrong, all is well."""
    assert verdict(picture(nodes=(node("pve1"),)))[0] is Level.GOOD


@pytest.mark.parametrize("part", ["quorate", "failed", "unprotected"])
def test_what_is_not_known_is_not_well(part):
    """As long as one part is not known, nobody is told that all is well, and it has no tile."""
    known = {"quorate": True, "failed": (), "unprotected": ()} | {part: None}
    assert verdict(picture(Health(**known), nodes=(node("pve1"),)))[0] is Level.PLAIN


def test_node_that_is_down():
    """A node that is offline is bad, counted, and leads to its page."""
    shown = picture(nodes=(node("pve1"), node("pve 2", "offline")))
    assert tile(shown, "nodes").level is Level.BAD
    assert tile(shown, "nodes").parts == (("pve 2", "/nodes/pve%202"),)
    assert verdict(shown)[0] is Level.BAD


def test_node_of_unknown_state_is_not_called_down():
    """A node whose state Proxmox does not know needs a look, and is not called down."""
    shown = picture(nodes=(node("pve1"), node("pve2", "unknown")))
    assert tile(shown, "nodes").level is Level.WARNING
    assert tile(shown, "nodes").parts == ()


def test_lost_quorum():
    """A cluster without quorum is bad."""
    assert verdict(picture(Health(quorate=False)))[0] is Level.BAD


def test_guests_are_counted_by_state():
    """Guests that run, are stopped and are paused are counted apart, templates not at all, and lead to their list."""
    guests = (guest(1, "running"), guest(2, "stopped"), guest(3, "suspended"), guest(4, "stopped", template=True))
    shown = picture(guests=guests)
    assert [(one.name, one.value) for one in tiles(shown)[1:4]] == [("running", "1"), ("stopped", "1"), ("paused", "1")]
    assert tile(shown, "running").address == "/guests?q=state%3Arunning"
    assert tile(picture(guests=guests[:2]), "paused") is None


def test_guests_that_an_error_has_halted():
    """A machine that QEMU has stopped for an error is bad, with the reason; whatever else stands still is paused."""
    states = ("running", "io-error", "guest-panicked", "prelaunch", "paused", "unknown")
    shown = picture(guests=tuple(guest(number, state) for number, state in enumerate(states)))
    halted = tile(shown, "halted")
    assert (halted.value, halted.level, halted.note) == ("2", Level.BAD, "I/O error, crashed")
    assert halted.address == "/guests?q=state%3Aio-error%2Cguest-panicked"
    paused = tile(shown, "paused")
    assert (paused.value, paused.level, paused.address) == ("2", Level.PLAIN, "/guests?q=state%3Apaused%2Cprelaunch")
    assert verdict(shown)[0] is Level.BAD


def test_storages_that_fill_up():
    """From 85 % a storage needs a look, from 95 % it is bad; one that nodes share counts once."""
    assert tile(picture(storages=(storage("a", 84),)), "storage").level is Level.GOOD
    assert tile(picture(storages=(storage("a", 85),)), "storage").level is Level.WARNING
    assert tile(picture(storages=(storage("a", 95),)), "storage").level is Level.BAD
    shared = [storage("nas", 90, on=on, shared=True) for on in ("pve1", "pve2")]
    own = [storage("local", 91, on=on) for on in ("pve1", "pve2")]
    assert [one.storage for one in fullest(places([*shared, *own]))] == ["local", "local", "nas"]


def test_storage_of_unknown_size_has_no_tile():
    """Storages that tell no size are not called empty."""
    assert tile(picture(storages=(Storage(storage="a", node="pve1", status="available"),)), "storage") is None


def test_failed_tasks_by_node():
    """Failed tasks are counted, and by node where there are several, each leading to its list."""
    shown = picture(Health(quorate=True, failed=(task("b"), task("a"), task("b")), unprotected=()))
    failed = tile(shown, "failed")
    assert (failed.value, failed.level) == ("3", Level.WARNING)
    assert failed.parts == (("a 1", "/tasks?failed=1&node=a"), ("b 2", "/tasks?failed=1&node=b"))


def test_guests_without_a_backup():
    """Guests without a recent backup need a look."""
    shown = picture(Health(quorate=True, failed=(), unprotected=(Unprotected(vmid=100),)))
    assert tile(shown, "backups").level is Level.WARNING
    assert verdict(shown)[0] is Level.WARNING


def test_a_lone_node_can_be_well():
    """A node without a cluster has no quorum to know of, and all is well with it all the same."""
    alone = Health(alone=True, failed=(), unprotected=())
    assert verdict(picture(alone, nodes=(node("pve1"),)))[0] is Level.GOOD
    assert tile(picture(alone), "quorum") is None


def test_storage_that_is_not_there():
    """A storage that is not available needs a look, whatever it said of its size."""
    shown = picture(storages=(storage("nas", 1, status="unknown"), storage("local", 1)))
    assert (tile(shown, "storage").level, tile(shown, "storage").parts[0][0]) == (Level.WARNING, "nas")


@pytest.mark.parametrize("part", ["failed", "unprotected"])
def test_what_is_known_in_part_is_not_well(part):
    """Where not all could be asked, none is neither good nor the whole truth."""
    shown = picture(Health(quorate=True, failed=(), unprotected=(), **{f"{part}_whole": False}))
    assert verdict(shown)[0] is Level.PLAIN
    assert tile(shown, {"failed": "failed", "unprotected": "backups"}[part]).level is Level.PLAIN
