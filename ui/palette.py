"""The command palette: Ctrl-K, a few letters, Enter. What matches is looked up here, in the tab's latest picture.

The browser has its keys (`assets/palette.js`); all that it is sent are the hits, as text.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from nicegui import ui

from services.feed import Picture
from ui import text
from ui.finder import LONGEST, Finder, finder_of
from ui.theme import Tag, dot, icon

_NAME = "palette"


class Palette:
    """That of one tab. `pages` are their names and addresses."""

    def __init__(self, pages: Iterable[tuple[str, str]]) -> None:
        self._pages = tuple(pages)
        self._picture = Picture()
        self._finder: Finder | None = None
        self._typed: str | None = None
        self._answers = 0
        with Tag("dialog", "", {"id": _NAME, "aria-label": text.FIND}, classes="pg-palette"):
            with ui.element("div").classes("pg-palette-head"):
                icon("search")
                Tag("input", "", _FIELD | {"placeholder": text.FIND_EXAMPLE, "aria-label": text.FIND})
                with Tag("button", "", {"type": "button", "aria-label": text.CLOSE}, classes="pg-icon-button"):
                    icon("cross")
            Tag("div", "", {"id": _LIST, "role": "listbox", "aria-label": text.FOUND}, classes="pg-palette-hits")
            Tag("p", "", {"role": "status", "data-none": text.NOTHING_FOUND}, classes="pg-palette-said")
        self._hits = Tag("div", "", {"id": f"{_NAME}-data", "hidden": ""})
        self._hits.on("ask", self._ask, js_handler="(event) => emit(event.detail)")

    def show(self, picture: Picture) -> None:
        """What is looked through from now on."""
        first = not self._picture.taken
        self._picture, self._finder = picture, None
        if first and self._typed is not None:
            self._answer(self._typed)

    def _ask(self, event: Any) -> None:
        self._typed = str(event.args or "")[:LONGEST]
        self._answer(self._typed)

    def _answer(self, typed: str) -> None:
        self._finder = self._finder or finder_of(self._picture.resources, self._pages)
        hits = [asdict(hit) | {"dot": hit.state and dot(hit.state)} for hit in self._finder.find(typed)]
        self._answers += 1  # so that the browser sees the same answer anew
        self._hits.props["data-hits"] = json.dumps({"answer": self._answers, "typed": typed, "hits": hits})
        self._hits.update()


_LIST = f"{_NAME}-list"
_FIELD = {
    "type": "text",
    "role": "combobox",
    "aria-expanded": "true",
    "aria-controls": _LIST,
    "aria-autocomplete": "list",
    "autocomplete": "off",
    "autocapitalize": "none",
    "spellcheck": "false",
    "enterkeyhint": "go",
    "maxlength": "100",
}


def palette_button() -> None:
    """What opens it, for those without the keys."""
    keys = {"aria-haspopup": "dialog", "aria-keyshortcuts": "Control+K", "data-opens": _NAME}
    with Tag("button", "", {"type": "button", "aria-label": text.FIND_SHORT, **keys}, classes="pg-find"):
        icon("search")
        Tag("span", text.FIND_SHORT, {"aria-hidden": "true"}, classes="pg-find-words")
        Tag("kbd", text.FIND_KEYS, {"aria-hidden": "true"})
