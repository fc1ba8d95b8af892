"""A line that says what has been done, and goes by itself."""

from nicegui import ui

from ui.theme import Tag

SAID_SECONDS = 6


class Toast:
    """Of one page; read aloud as well, the same words a second time too."""

    def __init__(self) -> None:
        self._turn = 0
        self._place = Tag("div", "", {"role": "status"}, classes="pg-said")

    def clear(self) -> None:
        """Say nothing any more."""
        self._turn += 1
        self._place.set_text("")

    def say(self, words: str) -> None:
        """Say this for a while."""
        self._turn = turn = self._turn + 1
        self._place.set_text(words)

        def end() -> None:
            if self._turn == turn:
                self._place.set_text("")

        with self._place.parent_slot or self._place:
            ui.timer(SAID_SECONDS, end, once=True)
