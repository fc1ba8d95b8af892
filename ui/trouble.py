"""Above what is live: why it is not, how old what is shown is, and which addresses others stand in for."""

import time
from collections.abc import Sequence

from nicegui import ui

from services.errors import NotTrusted
from services.feed import Picture
from ui import text
from ui.theme import Tag
from ui.units import ago

_AGE_SECONDS = 5


class Trouble:
    """Draws nothing while all is well."""

    def __init__(self) -> None:
        self._picture = Picture()
        self._told: Sequence[str] = ()
        with ui.element("div").classes("pg-trouble") as self._trouble:
            self._state = Tag("p", "", {"role": "status"})
            self._age = Tag("p", "", classes="pg-hint")
        with Tag("div", "", {"role": "status"}, classes="pg-unreached") as self._unreached:
            Tag("p", text.NOT_REACHABLE)
            self._list = Tag("ul")
        self._trouble.set_visibility(False)
        self._unreached.set_visibility(False)
        ui.timer(_AGE_SECONDS, self._say_age)

    def show(self, picture: Picture) -> None:
        """Say what is wrong with this picture."""
        self._picture = picture
        self._state.set_text(_words(picture))
        self._trouble.set_visibility(picture.error is not None)
        self._say_age()
        self._show_unreached(picture)

    def _say_age(self) -> None:
        """Beside the sentence and not in it, which would be read aloud anew with every change."""
        taken = self._picture.taken
        self._age.set_text(text.PICTURE_TAKEN.format(age=ago(time.time() - taken)) if taken else "")

    def _show_unreached(self, picture: Picture) -> None:
        """With nobody answering, the sentence above says why."""
        told = [f"{address}: {text.trouble(error)}" for address, error in picture.unreached.items()]
        told = [] if picture.error else told
        self._unreached.set_visibility(bool(told))
        if told != self._told:
            self._told = told
            self._list.clear()
            with self._list:
                for words in told:
                    Tag("li", words)


def _words(picture: Picture) -> str:
    if picture.error is None:
        return ""
    form = text.LAST_PICTURE if picture.taken else text.NO_PICTURE
    form = text.LAST_PICTURE_UNTIL if isinstance(picture.error, NotTrusted) else form  # which waits for a person
    return form.format(sentence=text.sentence(picture.error).rstrip("."))
