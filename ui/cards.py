"""What the strangers' cards are made of: the shell, the alert, fields and buttons. Real forms, posted by a script.

No key stroke of theirs crosses the websocket.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from nicegui import ui

from services.errors import EndReason, TooManyAttempts
from ui import pickers, text
from ui.head import head
from ui.layout import banners
from ui.theme import Tag, logo


@contextmanager
def card(
    title: str, tagline: str, request: Request, *scripts: str, trouble: str = "", heading: str = ""
) -> Generator[None]:
    """Draw the shell of a card around its forms, with why somebody is (back) here, or the trouble with it.

    `heading` is what the page is called where its title is not what stands on the card.
    """
    ui.page_title(f"{heading or title} · {text.PRODUCT}")
    head("form.js", *scripts)
    ui.context.client.content.classes("pg-login")
    banners()
    with Tag("section", "", {"data-words": json.dumps(_words())}, classes="pg-card"):
        with ui.element("div").classes("pg-card-head"):
            logo(52)
            Tag("h1", title)
            Tag("p", tagline)
        _alert(trouble, request)
        yield
    with ui.element("footer").classes("pg-card-foot"):
        pickers.languages()
        pickers.themes()


def form(name: str, action: str, **hidden: str) -> Tag:
    """A form of a card, sent in place by `form.js`; `hidden` are fields that people do not see."""
    made = Tag("form", "", {"method": "post", "action": action, "id": name, "data-in-place": ""})
    with made:
        for field, value in hidden.items():
            Tag("input", "", {"type": "hidden", "name": field, "value": value})
    return made


def field(name: str, label: str, attributes: Mapping[str, Any], *, id: str = "") -> Tag:
    """A labelled field; returns its room, in which more may be put below the field."""
    id = id or name
    room = Tag("div", "", classes="pg-field")
    with room:
        Tag("label", label, {"for": id})
        Tag("input", "", {"id": id, "name": name, "required": True, "aria-describedby": "card-error", **attributes})
    return room


def submit(label: str, *, id: str = "submit") -> None:
    """The form's button, with its spinner."""
    with Tag("button", "", {"type": "submit", "id": id}, classes="pg-button pg-primary pg-submit"):
        Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
        Tag("span", label, classes="pg-submit-text")


def link_button(label: str, attributes: Mapping[str, Any]) -> None:
    """A button that looks like a link: another way, on the same card."""
    Tag("button", label, {"type": "button", **attributes}, classes="pg-link-button")


def _alert(trouble: str, request: Request) -> None:
    """The room for what goes wrong. At first it says why somebody is here: words of ours, chosen by words of ours."""
    error = text.by_code(request.query_params.get("error", ""), request.query_params.get("wait", ""))
    ended = request.query_params.get("ended", "")
    sentence = trouble or (text.ended(EndReason(ended)) if ended in set(EndReason) else "")
    sentence = sentence or (text.sentence(error) if error else "")
    wait = {"data-wait": error.retry_after} if isinstance(error, TooManyAttempts) else {}
    with ui.element("div").classes("pg-alert"):
        Tag("div", sentence, {"role": "alert", "id": "card-error", **wait})
        detail = text.detail(error) if error and not trouble else ""
        Tag("div", detail, {"role": "status", "id": "card-detail"}, classes="pg-alert-detail")
    if request.query_params.get("note") == "trusted":
        Tag("p", text.TRUSTED, {"role": "status"}, classes="pg-notice")


def _words() -> dict[str, str]:
    """Those that the cards' scripts say."""
    return {
        "busy": text.SIGNING_IN,
        "show": text.SHOW_PASSWORD,
        "hide": text.HIDE_PASSWORD,
        "unreachable": text.SCRIPT_UNREACHABLE,
        "continue": text.CONTINUE_WITH,
        "going": text.GOING_THERE,
        "keyGaveUp": text.KEY_GAVE_UP,
    }
