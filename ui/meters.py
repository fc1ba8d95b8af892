"""Bars that say how much of something is in use."""

from nicegui import ui

from ui.theme import Tag


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
