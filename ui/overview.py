"""The overview: the account's nodes and guests, live."""

import time

from nicegui import ui

from services.errors import NotTrusted
from services.feed import Feed, Picture
from services.proxmox import Node, Resources
from ui import text
from ui.guest_table import GuestTable
from ui.lasting import lasting
from ui.layout import frame
from ui.theme import Tag
from ui.units import ago, percent, share, size, uptime


def create(feed: Feed) -> None:
    """Register the page."""

    @ui.page("/")
    def overview() -> None:
        with frame(text.OVERVIEW):
            board = Board()
        lasting(lambda session: feed.look(session, board.show).stop)


class Board:
    """The overview's contents; `show` draws a new picture over the old one."""

    def __init__(self) -> None:
        self._picture = Picture()
        self._nodes: dict[str, NodeCard] = {}
        self._told: list[str] = []
        self._drawn = False
        with ui.element("div").classes("pg-trouble") as self._trouble:
            self._state = Tag("p", "", {"role": "status"})
            self._age = Tag("p", "", classes="pg-hint")
        with Tag("div", "", {"role": "status"}, classes="pg-unreached") as self._unreached:
            Tag("p", text.NOT_REACHABLE)
            self._unreached_list = Tag("ul")
        self._loading = Tag("div", text.LOADING, {"aria-busy": "true"}, classes="pg-empty pg-loading")
        self._nothing = _empty(text.NOTHING_VISIBLE_TITLE, text.NOTHING_VISIBLE)
        with ui.element("div").classes("pg-board") as self._board:
            self._node_count = _section(text.NODES)
            self._node_room = ui.element("div").classes("pg-nodes")
            self._no_nodes = Tag("p", text.NO_NODES, classes="pg-hint")
            self._guest_count = _section(text.GUESTS)
            self._guests = GuestTable()
        self._trouble.set_visibility(False)
        self._unreached.set_visibility(False)
        self._nothing.set_visibility(False)
        self._board.set_visibility(False)
        ui.timer(5, self._say_age)

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew."""
        self._picture = picture
        self._loading.set_visibility(not picture.taken and picture.error is None)
        resources = picture.resources
        empty = not resources.nodes and not resources.guests
        self._nothing.set_visibility(bool(picture.taken) and empty)
        self._board.set_visibility(bool(picture.taken) and not empty)
        self._board.classes(**{"add" if picture.error else "remove": "pg-stale"})
        self._say()
        self._show_unreached(picture)
        if picture.taken and not (picture.error and self._drawn):
            self._drawn = True
            self._show_resources(resources)

    def _say(self) -> None:
        picture, words = self._picture, ""
        if picture.error is not None:
            refused = isinstance(picture.error, NotTrusted)  # which waits for the administrator
            form = text.LAST_PICTURE if picture.taken else text.NO_PICTURE
            form = text.LAST_PICTURE_UNTIL if refused else form
            words = form.format(sentence=text.sentence(picture.error).rstrip("."))
        self._state.set_text(words)
        self._trouble.set_visibility(picture.error is not None)
        self._say_age()

    def _show_unreached(self, picture: Picture) -> None:
        """Addresses that others stand in for; with nobody answering, the sentence above says why."""
        told = [f"{address}: {text.trouble(error)}" for address, error in picture.unreached.items()]
        told = [] if picture.error else told
        self._unreached.set_visibility(bool(told))
        if told != self._told:
            self._told = told
            self._unreached_list.clear()
            with self._unreached_list:
                for words in told:
                    Tag("li", words)

    def _say_age(self) -> None:
        """Beside the sentence and not in it, which would be read aloud anew with every change."""
        taken = self._picture.taken
        self._age.set_text(text.PICTURE_TAKEN.format(age=ago(time.time() - taken)) if taken else "")

    def _show_resources(self, resources: Resources) -> None:
        online = sum(node.status == "online" for node in resources.nodes)
        self._node_count.set_text(text.NODES_ONLINE.format(online=online, count=len(resources.nodes)))
        self._no_nodes.set_visibility(not resources.nodes)
        self._show_nodes(resources.nodes)
        guests = [guest for guest in resources.guests if not guest.template]
        running = sum(guest.status == "running" for guest in guests)
        self._guest_count.set_text(text.GUESTS_RUNNING.format(running=running, count=len(guests)))
        self._guests.show(resources.guests)

    def _show_nodes(self, nodes: tuple[Node, ...]) -> None:
        if self._nodes.keys() != {node.node for node in nodes}:
            self._node_room.clear()
            with self._node_room:
                self._nodes = {node.node: NodeCard(node.node) for node in sorted(nodes, key=lambda node: node.node)}
        for node in nodes:
            self._nodes[node.node].show(node)


class NodeCard:
    """One node: state, CPU, memory, uptime."""

    def __init__(self, name: str) -> None:
        with Tag("article", "", {"aria-label": name}, classes="pg-node"):
            with ui.element("div").classes("pg-node-head"):
                self._dot = Tag("span", "", {"aria-hidden": "true"}, classes="pg-dot")
                Tag("h3", name)
                self._state = Tag("span", "", classes="pg-node-state")
            self._cpu = Meter(text.COLUMN_CPU)
            self._memory = Meter(text.COLUMN_MEMORY)

    def show(self, node: Node) -> None:
        """Draw the node's figures; what is not known is left out."""
        online = node.status == "online"
        self._dot.classes(replace=f"pg-dot pg-{node.status}")
        self._state.set_text(uptime(node.uptime) if online and node.uptime else text.state(node.status))
        cpus = text.CPU_OF.format(share=percent(node.cpu), count=node.maxcpu) if node.maxcpu else percent(node.cpu)
        self._cpu.show(node.cpu if online else None, cpus)
        self._memory.show(share(node.mem, node.maxmem) if online else None, f"{size(node.mem)} / {size(node.maxmem)}")


class Meter:
    """A labelled bar of 0 to 1."""

    def __init__(self, label: str) -> None:
        with ui.element("div").classes("pg-meter") as self._all:
            Tag("span", label, classes="pg-meter-label")
            self._words = Tag("span", "", classes="pg-meter-words")
            limits = {"aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0}
            with Tag("div", "", {"role": "meter", **limits}, classes="pg-bar") as self._bar:
                self._fill = Tag("div", "", classes="pg-bar-fill")

    def show(self, value: float | None, words: str) -> None:
        """Set the bar; a figure that is not known, or not this account's to know, is left out."""
        self._all.set_visibility(value is not None)
        part = round(100 * min(max(value or 0, 0), 1))
        self._words.set_text(words)
        if self._bar.props["aria-valuenow"] != part:
            self._bar.props["aria-valuenow"] = part
            self._bar.update()
            self._fill.style(replace=f"width: {part}%")
            self._fill.classes(replace=f"pg-bar-fill {'pg-high' if part >= 90 else ''}")


def _section(title: str) -> Tag:
    """A heading; returns the place for the count beside it."""
    with ui.element("div").classes("pg-section"):
        Tag("h2", title)
        return Tag("span", "", classes="pg-count")


def _empty(title: str, sentence: str) -> ui.element:
    with ui.element("div").classes("pg-empty") as room:
        Tag("h2", title)
        Tag("p", sentence)
    return room
