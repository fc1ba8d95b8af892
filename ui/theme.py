"""Design tokens and the small pieces that every page is made of. Colours and spacing live in `assets/proxgate.css`."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from ui.words import STATES

PRIMARY = "#c2410c"
GOOD, WARNING, BAD = "#15803d", "#b45309", "#b91c1c"

_ICONS = {
    "sun": "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
    "moon": "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
    "down": "M6 9l6 6 6-6",
    "overview": "M4 5h7v6H4zM13 5h7v4h-7zM13 11h7v8h-7zM4 13h7v6H4z",
    "guests": "M4 5h16v6H4zM4 13h16v6H4zM7.5 8v.1M7.5 16v.1",
    "columns": "M4 5h16v14H4zM9.5 5v14M14.5 5v14",
    "menu": "M4 7h16M4 12h16M4 17h16",
    "sign-out": "M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M10 8l-4 4 4 4M6 12h10",
    "eye": "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
    "search": "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5",
    "sessions": "M16 14H3V5h15v2M7 18h5M16 10h5v9h-5z",
    "desktop": "M3 5h18v11H3zM9 20h6M12 16v4",
    "phone": "M7 3h10v18H7zM11 18h2",
    "terminal": "M3 5h18v14H3zM7 9l3 3-3 3M12 15h5",
    "question": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.7a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8M12 16.6v.1",
    "check": "M5 12.5l4.5 4.5L19 7.5",
    "warning": "M12 4l9 16H3zM12 10v4.5M12 17.2v.1",
    "cross": "M7 7l10 10M17 7L7 17",
    "out": "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
    "storage": "M4 6v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6c0-1.7-3.6-3-8-3S4 4.3 4 6s3.6 3 8 3 8-1.3 8-3"
    "M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
    "bell": "M6 16v-5a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5a2.2 2.2 0 0 0 4 0M12 5V3.5",
    "tasks": "M9 6h11M9 12h11M9 18h11M4 6l1 1 2-2M4 12l1 1 2-2M4 18l1 1 2-2",
    "user": "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 20c1-4 4-6 8-6s7 2 8 6",
}


class Tag(TextElement):
    """An HTML element with a text and attributes: `Tag("label", "Name", {"for": "name"})`."""

    def __init__(
        self, tag: str, text: str = "", attributes: dict[str, Any] | None = None, *, classes: str = ""
    ) -> None:
        super().__init__(tag=tag, text=text)
        # Nobody has it yet: nobody is to be told of each of these.
        dict.update(self._props, attributes or {})
        list.extend(self._classes, dict.fromkeys(classes.split()))

    def lead(self, address: str) -> None:
        """Let a link lead there; nothing is sent where it does so already."""
        if self.props.get("href") != address:
            self.props["href"] = address
            self.update()


def dot(state: str) -> str:
    """The classes of the dot before a state, which is Proxmox's word: one that we do not know has no colour."""
    return f"pg-dot pg-{state if state in STATES else 'unknown'}"


def icon(name: str, *, size: int = 20) -> ui.html:
    """One of our line icons; it says nothing to screen readers."""
    return ui.html(
        f'<svg class="pg-icon" width="{size}" height="{size}" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        f'<path d="{_ICONS[name]}"/></svg>',
        sanitize=False,
    ).classes("pg-icon-box")


def logo(size: int = 40) -> ui.html:
    """The gate."""
    return ui.html(
        f'<svg width="{size}" height="{size}" viewBox="0 0 48 48" aria-hidden="true" focusable="false">{LOGO}</svg>',
        sanitize=False,
    ).classes("pg-icon-box")


LOGO = (
    '<rect width="48" height="48" rx="11" fill="#c2410c"/>'
    '<path d="M12 38V22a12 12 0 0 1 24 0v16" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round"/>'
    '<path d="M20 38V23M28 38V23" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/>'
    '<path d="M9 38h30" stroke="#fff" stroke-width="4" stroke-linecap="round"/>'
)


@cache
def asset(name: str) -> str:
    """The address of a file of ours, with a digest of its contents so that it can be cached for ever."""
    digest = hashlib.sha256((files("assets") / name).read_bytes()).hexdigest()[:12]
    return f"/assets/{name}?v={digest}"
