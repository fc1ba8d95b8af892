"""What went wrong with something that a person did: a sentence, and Proxmox's own words behind a fold."""

from nicegui import ui

from services.errors import PrivilegeMissing, ProxgateError, ProxmoxError
from services.proxmox import Task
from ui import text
from ui.lacking import draw_grant
from ui.theme import Tag, icon


class Failure:
    """Draws nothing until something has gone wrong, and nothing any more once its person has read it."""

    def __init__(self) -> None:
        self._place = Tag("div", "", {"role": "alert"}, classes="pg-failure")
        self._place.set_visibility(False)

    def clear(self) -> None:
        """Say nothing any more."""
        self._place.clear()
        self._place.set_visibility(False)

    def show_error(self, what: str, error: ProxgateError, principal: str) -> None:
        """Say what could not be done, why, and where a right is lacking how it is given."""
        own = error.words if isinstance(error, ProxmoxError) else ""
        with self._anew(what, text.refusal_of(error), own):
            if isinstance(error, PrivilegeMissing):
                draw_grant(principal, error.path, error.privilege)

    def show_task(self, what: str, task: Task) -> None:
        """Say that a task has failed, and its own words."""
        self._anew(what, text.why_failed(task.status), task.status)

    def show(self, what: str, why: str) -> None:
        """Say what could not be done, and why."""
        self._anew(what, why)

    def _anew(self, what: str, why: str, own: str = "") -> ui.element:
        self._place.clear()
        self._place.set_visibility(True)
        with self._place:
            icon("warning")
            with ui.element("div").classes("pg-failure-words") as room:
                Tag("b", what)
                Tag("p", why)
                draw_own_words(own)
            close = {"type": "button", "aria-label": text.CLOSE}
            with Tag("button", "", close, classes="pg-icon-button") as button:
                icon("cross", size=18)
            button.on("click", self.clear, args=[])
        self._place.run_method("scrollIntoView", {"block": "nearest"})
        return room


def draw_own_words(own: str) -> None:
    """What Proxmox said, behind a fold; nothing where it said nothing."""
    if own:
        with Tag("details", "", classes="pg-fold"):
            Tag("summary", text.PROXMOX_SAID)
            Tag("pre", own)
