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
        self._said: tuple[Level, str] | None = None
        self._drawn: dict[str, _Drawn] = {}
        self._verdict = Tag("div", "", {"role": "status"}, classes="pg-verdict")
        self._list = Tag("ul", "", {"aria-label": text.HEALTH}, classes="pg-tiles")

    def show(self, picture: Picture) -> None:
        """Draw what is new."""
        shown = tiles(picture)
        self._show_verdict(verdict(picture, shown))
        self._show_tiles(shown)

    def _show_tiles(self, shown: Sequence[Tile]) -> None:
        if [tile.name for tile in shown] != list(self._drawn):
            self._list.clear()
            with self._list:
                self._drawn = {tile.name: _Drawn() for tile in shown}
        for tile in shown:
            self._drawn[tile.name].show(tile)

    def _show_verdict(self, said: tuple[Level, str]) -> None:
        if said == self._said:
            return
        self._said = level, words = said
        self._verdict.clear()
        self._verdict.classes(replace=f"pg-verdict pg-level-{level}")
        with self._verdict:
            icon(_SIGNS[level], size=22)
            Tag("span", words)


class _Drawn:
    """One tile. Its link stays when its words change, and with it whoever is there by keyboard."""

    def __init__(self) -> None:
        self._shown: Tile | None = None
        with Tag("li", "", classes="pg-tile") as self._room:
            with Tag("a", "", classes="pg-tile-link") as self._link:
                self._title = Tag("span", "", classes="pg-tile-title")
                with Tag("span", "", classes="pg-tile-value"):
                    self._sign = icon("warning", size=18)
                    self._value = Tag("span")
                self._note = Tag("span", "", classes="pg-tile-note")
            self._parts = ui.element("div").classes("pg-tile-parts")

    def show(self, tile: Tile) -> None:
        """Say what has changed."""
        before, self._shown = self._shown, tile
        if tile == before:
            return
        self._room.classes(replace=f"pg-tile pg-level-{tile.level}")
        self._title.set_text(tile.title)
        self._value.set_text(tile.value)
        self._sign.set_visibility(tile.level in {Level.WARNING, Level.BAD})
        self._note.set_text(tile.note)
        self._note.set_visibility(bool(tile.note))
        self._link.lead(tile.address)
        if before is None or before.parts != tile.parts:
            self._draw_parts(tile)

    def _draw_parts(self, tile: Tile) -> None:
        self._parts.clear()
        self._parts.set_visibility(bool(tile.parts))
        with self._parts:
            for words, address in tile.parts:
                with Tag("a", "", {"href": address}):
                    Tag("bdi", words)
