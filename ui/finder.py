"""What the command palette finds: pages, nodes, guests and storages by parts of their names, the best first."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from services.proxmox import Guest, Node, Resources, Storage
from ui import text
from ui.guest_search import state_of
from ui.language import language
from ui.links import guest_address, node_address, storage_address

MOST, LONGEST = 20, 100
"""Hits that are told, and letters of what is typed that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One line of the palette: what kind of thing it is, its name, what else there is to say, and where it leads.

    `state` is Proxmox's word, empty for what has none.
    """

    kind: str
    name: str
    detail: str
    address: str
    state: str = ""


class _Entry(NamedTuple):
    """Something to be found. `names` are what it is called, `words` all that can be typed for it, in small letters."""

    rank: int
    names: tuple[str, ...]
    words: str
    hit: Callable[..., Hit]
    thing: Any


class Finder:
    """Looks through one picture, in one language."""

    def __init__(self, resources: Resources, pages: Iterable[tuple[str, str]]) -> None:
        self.resources = resources
        self._entries = [
            *(_Entry(_PAGE, (folded := name.casefold(),), folded, _page, (name, address)) for name, address in pages),
            *(_Entry(_NODE, (name := node.node.casefold(),), name, _node, node) for node in resources.nodes),
            *map(_guest_entry, resources.guests),
            *map(_storage_entry, _once(resources.storages)),
        ]

    def find(self, typed: str) -> Sequence[Hit]:
        """What has every typed word somewhere; with nothing typed the pages and the nodes."""
        wanted = typed[:LONGEST].casefold().split()
        if not wanted:
            return [entry.hit(entry.thing) for entry in self._entries if entry.rank < _GUEST][:MOST]
        best = heapq.nsmallest(MOST, self._having(wanted), key=partial(_order, " ".join(wanted)))
        return [entry.hit(entry.thing) for entry in best]

    def _having(self, wanted: Sequence[str]) -> Iterator[_Entry]:
        for entry in self._entries:
            if all(word in entry.words for word in wanted):
                yield entry


_PAGE, _NODE, _GUEST, _STORAGE = range(4)
_shared: WeakValueDictionary[tuple[int, str], Finder] = WeakValueDictionary()


def finder_of(resources: Resources, pages: Iterable[tuple[str, str]]) -> Finder:
    """One for all tabs that show the same picture in one language. It holds the picture, so that the id stays its."""
    key = id(resources), language()
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = Finder(resources, pages)
    return found


def _order(typed: str, entry: _Entry) -> tuple[int, int, tuple[str, ...]]:
    return min(_distance(name, typed) for name in entry.names), entry.rank, entry.names


def _distance(name: str, typed: str) -> int:
    """How far a name is from what was typed: the same, begun with it, a word begun with it, in it, not in it."""
    place = name.find(typed)
    if place < 0:
        return 4
    if place == 0:
        return 0 if name == typed else 1
    return 3 if name[place - 1].isalnum() else 2


def _guest_entry(guest: Guest) -> _Entry:
    name, number = guest.name.casefold(), str(guest.vmid)
    words = "\n".join((name, number, guest.node, *guest.tags, guest.pool)).casefold()
    return _Entry(_GUEST, (name, number) if name else (number,), words, _guest, guest)


def _storage_entry(storage: Storage) -> _Entry:
    name, node = storage.storage.casefold(), storage.node.casefold()
    return _Entry(_STORAGE, (name,), name if storage.shared else f"{name}\n{node}", _storage, storage)


def _once(storages: Iterable[Storage]) -> Iterable[Storage]:
    """A shared storage once, though each node has it."""
    return {(one.storage, "" if one.shared else one.node): one for one in storages}.values()


def _page(page: tuple[str, str]) -> Hit:
    name, address = page
    return Hit(kind=text.FIND_PAGE, name=name, detail="", address=address)


def _node(node: Node) -> Hit:
    state, address = text.state(node.status), node_address(node.node)
    return Hit(kind=text.COLUMN_NODE, name=node.node, detail=state, address=address, state=node.status)


def _guest(guest: Guest) -> Hit:
    state = state_of(guest)
    return Hit(
        kind=text.CONTAINER if guest.type == "lxc" else text.VIRTUAL_MACHINE,
        name=guest.name or str(guest.vmid),
        detail=" · ".join((str(guest.vmid), guest.node, text.state(state))),
        address=guest_address(guest.vmid),
        state=state,
    )


def _storage(storage: Storage) -> Hit:
    node = "" if storage.shared else storage.node
    address = storage_address(storage.storage, node)
    return Hit(kind=text.FIND_STORAGE, name=storage.storage, detail=node or text.FIND_SHARED, address=address)
