"""What the command palette finds, and in which order."""

import pytest

from services.proxmox import Guest, Node, Resources, Storage
from ui.finder import Finder, finder_of
from ui.language import speaking

PAGES = (("Overview", "/"), ("Guests", "/guests"), ("My sessions", "/sessions"))


def guest(vmid, name="", **more):
    return Guest(**{"type": "qemu", "vmid": vmid, "name": name, "node": "pve1", "status": "running", **more})


RESOURCES = Resources(
    nodes=(Node(node="pve1", status="online"), Node(node="pve2", status="offline")),
    guests=(
        guest(100, "web"),
        guest(101, "webmail", node="pve2"),
        guest(102, "old-web", status="stopped"),
        guest(103, "cobweb"),
        guest(104, "db", tags=("web",), pool="Production"),
        guest(1000, "Zürich", type="lxc"),
        guest(105),
        guest(106, "tmpl", template=True),
    ),
    storages=(
        Storage(storage="local", node="pve1"),
        Storage(storage="local", node="pve2"),
        Storage(storage="ceph", node="pve1", shared=True),
        Storage(storage="ceph", node="pve2", shared=True),
    ),
)


def found(typed, resources=RESOURCES):
    return [hit.name for hit in Finder(resources, PAGES).find(typed)]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("web", ["web", "webmail", "old-web", "cobweb", "db"]),
        ("WEB", ["web", "webmail", "old-web", "cobweb", "db"]),
        ("web pve2", ["webmail"]),
        ("zürich", ["Zürich"]),
        ("production", ["db"]),
        ("101", ["webmail"]),
        ("100", ["web", "Zürich"]),
        ("105", ["105"]),
        ("sess", ["My sessions"]),
        ("ceph", ["ceph"]),
        ("local", ["local", "local"]),
        ("guests", ["Guests"]),
        ("web nothing", []),
        ("\n", ["Overview", "Guests", "My sessions", "pve1", "pve2"]),
    ],
)
def test_every_word_has_to_be_there_and_the_nearest_name_comes_first(typed, names):
    """The same name, then its beginning, a word's beginning, its middle, and last what only tags or places have."""
    assert found(typed) == names


def test_no_more_than_twenty_are_told():
    """However many match, twenty are told."""
    many = Resources(guests=tuple(guest(100 + number, f"web{number}") for number in range(500)))
    nodes = Resources(nodes=tuple(Node(node=f"pve{number}", status="online") for number in range(99)))
    assert (len(found("web", many)), len(found("", nodes))) == (20, 20)


def test_only_the_beginning_of_long_words_is_looked_at():
    """Whatever is sent as typed, a hundred letters of it count."""
    assert found("web" + " web" * 50_000) == found("web web")


def test_a_hit_says_what_it_is_and_leads_there():
    """Each kind has its name, its state and the address of its page."""
    finder = Finder(RESOURCES, PAGES)
    by_name = {hit.name: hit for typed in ("", "ceph", "local", "zürich", "tmpl") for hit in finder.find(typed)}
    told = {name: (hit.kind, hit.detail, hit.address, hit.state) for name, hit in by_name.items()}
    assert told["Overview"] == ("Page", "", "/", "")
    assert told["pve2"] == ("Node", "offline", "/nodes/pve2", "offline")
    assert told["Zürich"] == ("CT", "1000 · pve1 · running", "/guests/1000", "running")
    assert told["tmpl"] == ("VM", "106 · pve1 · template", "/guests/106", "template")
    assert told["ceph"] == ("Storage", "shared", "/storage#/ceph", "")
    assert told["local"] == ("Storage", "pve2", "/storage#pve2/local", "")


def test_addresses_hold_whatever_a_node_is_called():
    """A node's name stands in its address as one part of a path, whatever is in it."""
    hostile = Resources(nodes=(Node(node="../x?y#z", status="online"),))
    assert [hit.address for hit in Finder(hostile, ()).find("x")] == ["/nodes/..%2Fx%3Fy%23z"]


def test_one_picture_is_prepared_once_for_each_language():
    """Tabs that show the same picture in one language share the work; hits are in the asking tab's language."""
    one = finder_of(RESOURCES, PAGES)
    assert finder_of(RESOURCES, PAGES) is one
    with speaking("de"):
        german = finder_of(RESOURCES, PAGES)
        assert german is not one
        assert german.find("zürich")[0].detail == "1000 · pve1 · läuft"
