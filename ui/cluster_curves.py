"""The cluster's CPU, memory and network: the sum of what the account may see of its nodes."""

import asyncio
from collections.abc import Iterable

from nicegui import ui

from services.curves import total
from services.errors import ProxmoxError
from services.feed import Feed
from services.proxmox import Node, Series, Timeframe
from services.sessions import Session
from ui import text
from ui.curves import REFRESH_SECONDS, Curves, node_charts
from ui.theme import Tag
from ui.visit import current_session

_WEIGHED = {"cpu": "maxcpu"}


class ClusterCurves:
    """Asks the nodes that it was last told of, all at once."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.nodes: tuple[str, ...] = ()

    async def ask(self, span: Timeframe) -> Series:
        """A node that cannot answer is left out. Raises what the first says when none can, and SessionEnded."""
        session = current_session()
        asked = (self._of(session, node, span) for node in self.nodes)
        told = await asyncio.gather(*asked, return_exceptions=True)
        for trouble in told:
            if isinstance(trouble, BaseException) and not isinstance(trouble, ProxmoxError):
                raise trouble
        known = [one for one in told if isinstance(one, Series)]
        if not known and told:
            raise next(one for one in told if isinstance(one, ProxmoxError))
        return total(known, _WEIGHED)

    async def _of(self, session: Session, node: str, span: Timeframe) -> Series:
        key = ("node", node, span)  # as the node's own page asks
        return await self._feed.ask(session, key, lambda proxmox: proxmox.node_curves(node, span), REFRESH_SECONDS)


class Load:
    """The charts of the cluster; draws nothing where the account may see no node's figures."""

    def __init__(self, feed: Feed, span: str) -> None:
        self._cluster = ClusterCurves(feed)
        with Tag("section", "", {"aria-label": text.LOAD}) as self._room:
            with ui.element("div").classes("pg-section"):
                Tag("h2", text.LOAD)
            self._curves = Curves(span, self._cluster.ask, node_charts)
        self._room.set_visibility(False)

    def show(self, nodes: Iterable[Node]) -> None:
        """Ask for the curves at once when the nodes are others than before; after that it goes by itself."""
        names = tuple(sorted(node.node for node in nodes if node.cpu is not None))
        if names == self._cluster.nodes:
            return
        self._cluster.nodes = names
        self._room.set_visibility(bool(names))
        if names:
            with self._room:
                ui.timer(0, self._curves.refresh, once=True)
