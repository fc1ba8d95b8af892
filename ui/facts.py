"""Small pieces that several pages are made of: headings, facts by name, a notice, what is empty."""

from collections.abc import Mapping

from nicegui import ui

from ui.theme import Tag

LONG, LINES = 160, 4


def section(title: str, name: str = "") -> Tag:
    """A heading; returns the place for the count beside it."""
    with Tag("div", "", {"id": name} if name else None, classes="pg-section"):
        Tag("h2", title)
        return Tag("span", "", classes="pg-count")


def empty(title: str, sentence: str = "") -> ui.element:
    """Instead of what is not there."""
    with ui.element("div").classes("pg-empty") as room:
        Tag("h2", title)
        if sentence:
            Tag("p", sentence)
    return room


def long_words(words: str) -> None:
    """What somebody has written, with its lines; more than a few of them fold themselves up."""
    if len(words) <= LONG and words.count("\n") < LINES:
        if words.strip():
            Tag("p", words, {"dir": "auto"}, classes="pg-written")
        return
    with Tag("details", "", classes="pg-fold"):
        with Tag("summary"):
            Tag("bdi", f"{' '.join(words[:LONG].split())}…")
        Tag("p", words, {"dir": "auto"}, classes="pg-written")


class Facts:
    """Names and what they are; what is not known is left out."""

    def __init__(self, *labels: str) -> None:
        with Tag("dl", "", classes="pg-facts"):
            self._rows = {label: _row(label) for label in labels}

    def show(self, facts: Mapping[str, str]) -> None:
        """Say these, and leave out the rest."""
        for label, (row, value) in self._rows.items():
            words = facts.get(label, "")
            row.set_visibility(bool(words))
            value.set_text(words)


class Notice:
    """A sentence above a page about what has become of its object; draws nothing without one."""

    def __init__(self) -> None:
        self._place = Tag("p", "", {"role": "status"}, classes="pg-notice-line")
        self._place.set_visibility(False)

    def say(self, words: str) -> None:
        """Say this, or nothing."""
        self._place.set_text(words)
        self._place.set_visibility(bool(words))


def _row(label: str) -> tuple[ui.element, Tag]:
    with ui.element("div").classes("pg-fact-row") as row:
        Tag("dt", label)
        with Tag("dd"):
            value = Tag("bdi", "")
    row.set_visibility(False)
    return row, value
