"""The overview: whether all is well, in one second, and what is not, in ten."""

from nicegui import ui

from services.feed import Feed, Picture
from ui import text
from ui.busiest import Busiest
from ui.cluster_curves import Load
from ui.facts import empty, section
from ui.first_picture import first_picture
from ui.lacking import draw_grant
from ui.layout import frame
from ui.nodes import NodeCards
from ui.sight import watch
from ui.theme import Tag
from ui.tiles import Tiles
from ui.trouble import Trouble
from ui.unprotected import UnprotectedList
from ui.visit import current_session

PATIENCE = 0.4
"""Seconds that the page waits for the first picture, to be drawn once and with all it shows; else its shape comes."""


def create(feed: Feed) -> None:
    """Register the page."""

    @ui.page("/")
    async def overview(span: str = "") -> None:
        async with first_picture(feed, PATIENCE):
            with frame(text.OVERVIEW, "charts.js"):
                board = Board(feed, span)
            watch(feed, board.show)


class Board:
    """The overview's contents; `show` draws a new picture over the old one."""

    def __init__(self, feed: Feed, span: str) -> None:
        self._drawn = False
        self._trouble = Trouble()
        self._loading = _skeleton()
        self._nothing = empty(text.NOTHING_VISIBLE_TITLE, text.NOTHING_VISIBLE)
        with self._nothing:
            draw_grant(current_session().principal, "/", "VM.Audit")
        with ui.element("div").classes("pg-board") as self._board:
            self._tiles = Tiles()
            self._unprotected = UnprotectedList()
            self._node_count = section(text.NODES, "nodes")
            self._nodes = NodeCards()
            self._no_nodes = Tag("p", text.NO_NODES, classes="pg-hint")
            self._load = Load(feed, span)
            self._busiest = Busiest()
        self._nothing.set_visibility(False)
        self._board.set_visibility(False)

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew."""
        self._trouble.show(picture)
        self._loading.set_visibility(not picture.taken and picture.error is None)
        resources = picture.resources
        told = any(node.maxmem for node in resources.nodes)  # everybody may see the names of nodes
        empty = not told and not resources.guests and not resources.storages
        self._nothing.set_visibility(bool(picture.taken) and empty)
        self._board.set_visibility(bool(picture.taken) and not empty)
        self._board.classes(**{"add" if picture.error else "remove": "pg-stale"})
        if picture.taken and not (picture.error and self._drawn):
            self._drawn = True
            self._show_all(picture)

    def _show_all(self, picture: Picture) -> None:
        nodes = picture.resources.nodes
        self._tiles.show(picture)
        self._unprotected.show(picture)
        online = sum(node.status == "online" for node in nodes)
        self._node_count.set_text(text.NODES_ONLINE.format(online=online, count=len(nodes)))
        self._no_nodes.set_visibility(not nodes)
        self._nodes.show(nodes)
        self._load.show(nodes)
        self._busiest.show(picture.resources.guests)


def _skeleton() -> Tag:
    """The shape of what comes, while it is on its way."""
    with Tag("div", "", {"aria-busy": "true"}) as room:
        Tag("p", text.LOADING, classes="pg-unseen")
        with Tag("div", "", {"aria-hidden": "true"}, classes="pg-tiles"):
            for _ in range(6):
                Tag("div", "", classes="pg-tile pg-tile-waiting")
    return room
