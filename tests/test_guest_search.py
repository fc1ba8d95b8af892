"""What people type to find guests, and which guests that leaves."""

import time

import pytest

from services.proxmox import Guest
from ui.guest_search import LONGEST, MOST_TERMS, understand
from ui.language import speaking


def guest(vmid=100, name="web1", node="pve1", status="running", **more):
    return Guest(vmid=vmid, type=more.pop("type", "qemu"), node=node, status=status, name=name, **more)


GUESTS = (
    guest(100, "web1", tags=("web", "prod")),
    guest(101, "web2", node="pve2", status="stopped", tags=("web",), pool="Media"),
    guest(102, "db", node="pve12", type="lxc", tags=("Prod",)),
    guest(200, "Big Media box", type="lxc", status="paused"),
    guest(201, "debian-13", template=True, status="stopped"),
)


def found(words):
    search = understand(words)
    return [one.vmid for one in GUESTS if search(one)]


@pytest.mark.parametrize(
    ("words", "vmids"),
    [
        ("", [100, 101, 102, 200, 201]),
        ("node:pve1", [100, 200, 201]),
        ("node:PVE1", [100, 200, 201]),
        ("tag:web", [100, 101]),
        ("tag:prod", [100, 102]),
        ("state:stopped", [101]),
        ("state:template", [201]),
        ("type:lxc", [102, 200]),
        ("type:ct", [102, 200]),
        ("type:vm", [100, 101, 201]),
        ("vmid:100", [100]),
        ("vmid:101-200", [101, 102, 200]),
        ("name:MEDIA", [200]),
        ("pool:media", [101]),
        ("state:stop*", [101]),
    ],
)
def test_a_key_looks_at_one_thing_alone(words, vmids):
    """`key:value` finds the guests whose one property is that value, in capitals or not."""
    assert found(words) == vmids


@pytest.mark.parametrize(
    ("words", "vmids"),
    [("node:pve1*", [100, 102, 200, 201]), ("node:*2", [101, 102]), ("tag:p*d", [100, 102]), ("name:*b*1*", [100, 201]),
     ("name:web*", [100, 101]), ("node:pve", [])],
)  # fmt: skip
def test_a_star_stands_for_anything(words, vmids):
    """A value is compared as a whole, `*` in it stands for anything."""
    assert found(words) == vmids


@pytest.mark.parametrize(
    ("words", "vmids"),
    [("web", [100, 101]), ("stopped", [101]), ("stop", [101]), ("pve2", [101]), ("20", [200, 201]), ("lxc", [102, 200]),
     ("prod", [100, 102]), ("temp", [201]), ("MEDIA", [101, 200]), ("nothing-like-it", [])],
)  # fmt: skip
def test_a_plain_word_is_looked_for_in_all_that_a_row_shows(words, vmids):
    """A plain word finds part of a name, node or tag, the beginning of a number or of a state, or a type."""
    assert found(words) == vmids


def test_states_are_known_in_the_language_of_the_person(monkeypatch):
    """A state is found by its name in the person's language, and by Proxmox's own."""
    monkeypatch.setattr("ui.text.state", {"stopped": "Aus"}.get)
    monkeypatch.setattr("ui.words.STATES", {"stopped": ""})
    with speaking("xx"):
        assert found("aus") == found("state:aus") == found("stopped") == [101]


@pytest.mark.parametrize("words", ["state:finish-migrate", "state:finish*", "finish"])
def test_a_state_without_a_name_is_found_too(words):
    """A state that has no name here is found by Proxmox's own, as it is shown."""
    guest = Guest(type="qemu", vmid=1, node="pve1", status="finish-migrate")
    assert understand(words)(guest)


def test_every_term_has_to_match():
    """Terms narrow down what is found."""
    assert found("tag:web stopped") == [101]
    assert found("tag:web node:pve2 running") == []


def test_values_with_commas_are_alternatives():
    """`node:pve1,pve2` finds the guests of either node."""
    assert found("node:pve2,pve12") == [101, 102]


@pytest.mark.parametrize(
    ("words", "vmids"),
    [("-tag:web", [102, 200, 201]), ("-running", [101, 200, 201]), ("-type:lxc -template", [100, 101]),
     ('-"media box" type:lxc', [102])],
)  # fmt: skip
def test_a_dash_excludes(words, vmids):
    """A term with a dash before it leaves out what it would have found."""
    assert found(words) == vmids


@pytest.mark.parametrize("words", ['"media box"', 'name:"media box"', 'name:"media box', 'na"me:foo" name:box'])
def test_quotes_hold_a_value_together(words):
    """Within quotes, closed or not, spaces, colons and commas belong to the value."""
    boxes = (guest(200, "Big Media box"), guest(1, "media, box"), guest(2, "name:foo name:box"))
    expected = {"media box": [200], "name:foo": [2]}
    vmids = next(vmids for words_in, vmids in expected.items() if words_in in words.replace('"', ""))
    assert [one.vmid for one in boxes if understand(words)(one)] == vmids
    assert [one.vmid for one in boxes if understand('name:"a, b"')(one)] == [1]


@pytest.mark.parametrize("words", ["foo:bar", "type:virtual", "vmid:abc", "vmid:1-", "-foo:bar", 'foo:"b c"'])
def test_what_is_not_understood_is_named_and_leaves_nothing_out(words):
    """A term with an unknown key, or a value that makes no sense, is told as typed and finds everything."""
    search = understand(f"node:pve1 {words}")
    assert search.unknown == (words,)
    assert [one.vmid for one in GUESTS if search(one)] == [100, 200, 201]


@pytest.mark.parametrize("words", ["node:", "-", '"', '""', "-node:", "tag:,", "   "])
def test_a_term_that_is_not_finished_leaves_nothing_out(words):
    """While somebody types on, neither is anything left out nor complained of."""
    search = understand(words)
    assert search.unknown == ()
    assert all(search(one) for one in GUESTS)


def test_brackets_and_the_like_are_text():
    """What means something to regular expressions or to pages is looked for as it stands."""
    odd = guest(name="</script>{{ 1+1 }}[a-z]+(x)?.*")
    for words in ("</script>", '"{{ 1+1 }}"', "[a-z]+", "(x)?."):
        assert understand(words)(odd), words
        assert not any(understand(words)(one) for one in GUESTS), words


def test_a_search_is_bounded():
    """A search that is too long is cut, with too many terms the rest is not looked at, and none takes long."""
    assert len(understand("x" * 10_000).words) == LONGEST
    assert len(understand("x " * 200).tests) == MOST_TERMS
    slow, name = understand("name:" + "a*" * 240 + "b"), guest(name="a" * 255)
    began = time.perf_counter()
    assert not any(slow(name) for _ in range(100))
    assert time.perf_counter() - began < 1
