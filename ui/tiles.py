"""Draws the tiles of `ui/health.py`, and the verdict above them."""

from collections.abc import Sequence

from nicegui import ui

from services.feed import Picture
from ui import text
from ui.health import Level, Tile, tiles, verdict
from ui.theme import Tag, icon

_SIGNS = {Level.PLAIN: "check", Level.GOOD: "check", Level.WARNING: "warning", Level.BAD: "warning"}


class Tiles:
    """All of them; those that say the same as before are left alone."""

    def __init__(self) -> None:
        self._shown: Sequence[Tile] = ()
        self._said: tuple[Level, str] | None = None
        self._rooms: dict[str, Tag] = {}
        self._verdict = Tag("div", "", {"role": "status"}, classes="pg-verdict")
        self._list = Tag("ul", "", {"aria-label": text.HEALTH}, classes="pg-tiles")

    def show(self, picture: Picture) -> None:
        """Draw what is new."""
        self._show_verdict(verdict(picture))
        self._show_tiles(tiles(picture))

    def _show_tiles(self, tiles: Sequence[Tile]) -> None:
        if [tile.name for tile in tiles] != [tile.name for tile in self._shown]:
            self._list.clear()
            with self._list:
                self._rooms = {tile.name: Tag("li", "", classes="pg-tile") for tile in tiles}
            self._shown = ()
        for tile in tiles:
            if tile not in self._shown:
                _draw(self._rooms[tile.name], tile)
        self._shown = tiles

    def _show_verdict(self, said: tuple[Level, str]) -> None:
        if said == self._said:
            return
        self._said = level, words = said
        self._verdict.clear()
        self._verdict.classes(replace=f"pg-verdict pg-level-{level}")
        with self._verdict:
            icon(_SIGNS[level], size=22)
            Tag("span", words)


def _draw(room: Tag, tile: Tile) -> None:
    room.clear()
    room.classes(replace=f"pg-tile pg-level-{tile.level}")
    with room:
        with Tag("a", "", {"href": tile.address}, classes="pg-tile-link"):
            Tag("span", tile.title, classes="pg-tile-title")
            with Tag("span", "", classes="pg-tile-value"):
                if tile.level in {Level.WARNING, Level.BAD}:
                    icon("warning", size=18)
                Tag("span", tile.value)
            if tile.note:
                Tag("span", tile.note, classes="pg-tile-note")
        if tile.parts:
            with ui.element("div").classes("pg-tile-parts"):
                for words, address in tile.parts:
                    Tag("a", words, {"href": address})
