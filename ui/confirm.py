"""The one dialog by which people confirm what changes something; it says what will happen, and is answered once.

if await confirm.ask(title, what, yes, danger=True):
    ...
"""

from itertools import count
from typing import Protocol

from nicegui import ui

from ui import text
from ui.theme import Tag

_numbers = count(1)


class Fields(Protocol):
    """What a person fills in before saying yes."""

    def draw(self) -> None:
        """Draw them anew."""
        ...

    def check(self) -> bool:
        """Whether they will do; what will not is said beside its field."""
        ...


class Confirm:
    """The dialog of a page, drawn where it is made."""

    def __init__(self) -> None:
        name = f"confirm-{next(_numbers)}"
        label = f"no-backdrop-dismiss role=alertdialog aria-labelledby={name}-title aria-describedby={name}-what"
        self._dialog = ui.dialog().props(label)
        self._fields: Fields | None = None
        with self._dialog, ui.element("div").classes("pg-dialog"), Tag("form", "", {"novalidate": ""}) as form:
            self._title = Tag("h2", "", {"id": f"{name}-title"})
            self._what = Tag("p", "", {"id": f"{name}-what"})
            self._room = ui.element("div").classes("pg-dialog-room")
            with ui.element("div").classes("pg-dialog-buttons"):
                no = Tag("button", text.CANCEL, {"type": "button", "data-autofocus": ""}, classes="pg-button pg-quiet")
                self._yes = Tag("button", "", {"type": "submit"}, classes="pg-button")
        no.on("click", lambda: self._dialog.submit(False), args=[])
        form.on("submit.prevent", self._say_yes, args=[])

    async def ask(self, title: str, what: str, yes: str, *, danger: bool = False, fields: Fields | None = None) -> bool:
        """Whether the person said yes. A second question meanwhile is answered no: one dialog, one answer."""
        if self._dialog.value:
            return False
        for place, words in ((self._title, title), (self._what, what), (self._yes, yes)):
            place.set_text(words)
        self._yes.classes(add="pg-danger" if danger else "pg-primary", remove="pg-primary" if danger else "pg-danger")
        self._room.clear()
        self._fields = fields
        if fields is not None:
            with self._room:
                fields.draw()
        return await self._dialog is True

    def _say_yes(self) -> None:
        if self._fields is None or self._fields.check():
            self._dialog.submit(True)
