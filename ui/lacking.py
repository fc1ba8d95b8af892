"""What an account may not do: which privilege it lacks, on which path, and the line that gives it."""

from itertools import count

from nicegui import ui

from services.actions import Need, grant_command
from ui import text
from ui.theme import Tag, icon

_numbers = count(1)
_MARKS = ("aria-disabled", "popovertarget")
_COPY = """(event) => {
  const button = event.currentTarget;
  button.previousElementSibling.select();
  if (document.execCommand("copy")) button.lastElementChild.textContent = button.dataset.done;
}"""
"""The newer way is not to be had over plain http."""


def draw_grant(principal: str, path: str, privilege: str) -> None:
    """The line that an administrator types, to be copied; nothing where no role of Proxmox's is known to be enough."""
    command = grant_command(principal, path, privilege) if path and privilege else ""
    if not command:
        return
    Tag("p", text.GRANT, classes="pg-hint")
    with ui.element("div").classes("pg-command"):
        Tag("input", "", {"readonly": "", "value": command, "aria-label": text.GRANT, "spellcheck": "false"})
        attributes = {"type": "button", "data-done": text.COPIED}
        with Tag("button", "", attributes, classes="pg-button pg-quiet pg-inline") as button:
            Tag("span", text.COPY)
        button.on("click", js_handler=_COPY)


class Lacking:
    """A popover that explains why something is grey; the browser opens and closes it."""

    def __init__(self) -> None:
        self._name = f"lacking-{next(_numbers)}"
        self._told = ("", "")
        self._place = Tag("div", "", {"id": self._name, "popover": "auto"}, classes="pg-popover pg-lacking")

    def mark(self, button: Tag, need: Need | None, principal: str, *, waits: bool = False) -> None:
        """Grey is what one may not do; it can be reached and pressed all the same, and then says why.

        What only `waits` for something to end is grey, too, and says nothing.
        """
        if need is not None:
            self._explain(need, principal)
        marks = {"aria-disabled": "true"} if need or waits else {}
        marks |= {"popovertarget": self._name} if need else {}
        if {name: button.props[name] for name in _MARKS if name in button.props} != marks:
            for name in _MARKS:
                button.props.pop(name, None)
            button.props.update(marks)
            button.update()

    def _explain(self, need: Need, principal: str) -> None:
        if self._told == (need.path, need.privileges[0]):
            return
        self._told = need.path, need.privileges[0]
        self._place.clear()
        with self._place:
            with ui.element("p").classes("pg-lacking-title"):
                icon("warning", size=18)
                Tag("b", text.MAY_NOT)
            Tag("p", text.LACKS_NAMED_PRIVILEGE.format(privilege=need.privileges[0], path=need.path))
            draw_grant(principal, need.path, need.privileges[0])
