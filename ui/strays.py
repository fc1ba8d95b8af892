"""Pages that are none: an unknown address, and a page that could not be built. Both inside the layout."""

from importlib import import_module

from nicegui import app, ui

from ui import text
from ui.head import head
from ui.layout import frame
from ui.theme import Tag
from ui.visit import visit_of


def create() -> None:
    """Register them. Last of all pages: whatever is not known by then is unknown."""

    @ui.page("/{path:path}")
    def not_found() -> None:
        stray(text.NOT_FOUND_TITLE, text.NOT_FOUND)

    app.on_page_exception(_page_failed)
    # NiceGUI's own words for a page that took too long are for whoever writes pages.
    vars(import_module("nicegui.page"))["error_content"] = _page_failed


def _page_failed(*_: object) -> None:
    """The reason is for the log alone: it may name what no visitor should read."""
    _stray(text.PAGE_FAILED_TITLE, text.PAGE_FAILED)


def stray(title: str, sentence: str) -> None:
    """Answer 404: what the address names is not there, or not this account's to see."""
    ui.context.client.status_code = 404
    _stray(title, sentence)


def _stray(title: str, sentence: str) -> None:
    if visit_of(ui.context.client.request.scope).session is None:  # the login card, of all pages
        head()
        Tag("h1", title, classes="pg-title")
        Tag("p", sentence)
        return
    with frame(title):
        Tag("p", sentence, classes="pg-sentence")
        Tag("a", text.TO_OVERVIEW, {"href": "/"}, classes="pg-button pg-primary pg-inline")
