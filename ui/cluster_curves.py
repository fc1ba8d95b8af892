"""The cluster's CPU, memory and network: the sum of what the account may see of its nodes."""

import asyncio
from collections.abc import Iterable

from services.curves import total
from services.errors import ProxmoxError
from services.feed import Feed
from services.proxmox import Node, Series, Timeframe
from services.sessions import Session
from ui import text
from ui.curves import Curves, ask_node, node_charts
from ui.facts import section
from ui.theme import Tag
from ui.visit import current_session

AT_ONCE = 4
"""Nodes that are asked at a time."""

_WEIGHED = {"cpu": "maxcpu"}


class ClusterCurves:
    """Asks the nodes that it was last told of."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.nodes: tuple[str, ...] = ()

    async def ask(self, session: Session, span: Timeframe) -> Series:
        """A node that cannot answer is left out. Raises what the first says when none can, and SessionEnded."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(node: str) -> Series:
            async with gate:
                return await ask_node(self._feed, session, node, span)

        told = await asyncio.gather(*(one(node) for node in self.nodes), return_exceptions=True)
        for trouble in told:
            if isinstance(trouble, BaseException) and not isinstance(trouble, ProxmoxError):
                raise trouble
        known = [one for one in told if isinstance(one, Series)]
        if not known and told:
            raise next(one for one in told if isinstance(one, ProxmoxError))
        return total(known, _WEIGHED)


class Load:
    """The charts of the cluster; draws nothing where the account may see no node's figures."""

    def __init__(self, feed: Feed, span: str) -> None:
        self._cluster = ClusterCurves(feed)
        with Tag("section") as self._room:
            section(text.CLUSTER_LOAD)
            self._curves = Curves(
                span,
                lambda chosen: self._cluster.ask(current_session(), chosen),
                node_charts,
                about=lambda: self._cluster.nodes,
            )
        self._room.set_visibility(False)

    def show(self, nodes: Iterable[Node]) -> None:
        """Ask for the curves at once when the nodes are others than before; after that it goes by itself."""
        names = tuple(sorted(node.node for node in nodes if node.cpu is not None))
        if names == self._cluster.nodes:
            return
        self._cluster.nodes = names
        self._room.set_visibility(bool(names))
        self._curves.refresh_soon()
