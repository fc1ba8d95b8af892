"""The nodes, a card each."""

from collections.abc import Iterable

from nicegui import ui

from services.proxmox import Node
from ui import text
from ui.links import node_address
from ui.meters import Meter
from ui.theme import Tag, dot
from ui.units import cpus_of, share, uptime, used_of


class NodeCards:
    """A card for each node, by name."""

    def __init__(self) -> None:
        self._cards: dict[str, NodeCard] = {}
        self._room = ui.element("div").classes("pg-nodes")

    def show(self, nodes: Iterable[Node]) -> None:
        """Draw the nodes anew where they are others than before, else what has changed of them."""
        sorted_nodes = sorted(nodes, key=lambda node: node.node)
        if list(self._cards) != [node.node for node in sorted_nodes]:
            self._room.clear()
            with self._room:
                self._cards = {node.node: NodeCard(node.node) for node in sorted_nodes}
        for node in sorted_nodes:
            self._cards[node.node].show(node)


class NodeCard:
    """One node: state, CPU, memory, uptime."""

    def __init__(self, name: str) -> None:
        with Tag("article", "", {"aria-label": name}, classes="pg-node"):
            with ui.element("div").classes("pg-node-head"):
                self._dot = Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                with Tag("h3"):
                    Tag("a", name, {"href": node_address(name)}, classes="pg-name")
                self._state = Tag("span", "", classes="pg-node-state")
            self._cpu = Meter(text.COLUMN_CPU)
            self._memory = Meter(text.COLUMN_MEMORY)

    def show(self, node: Node) -> None:
        """Draw the node's figures; what is not known is left out."""
        online = node.status == "online"
        self._dot.classes(replace=dot(node.status))
        self._state.set_text(uptime(node.uptime) if online and node.uptime else text.state(node.status))
        self._cpu.show(node.cpu if online else None, cpus_of(node.cpu, node.maxcpu))
        self._memory.show(share(node.mem, node.maxmem) if online else None, used_of(node.mem, node.maxmem))
