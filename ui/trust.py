"""Trust at first use, in the browser: for whoever has a code that was printed, and for nobody else."""

from fastapi import Request
from nicegui import ui
from starlette.responses import HTMLResponse

from ui import text
from ui.addresses import LOGIN, TRUST
from ui.cards import card, field, form, submit
from ui.still import still
from ui.theme import Tag


def create() -> None:
    """Register the page."""

    @ui.page(TRUST, reconnect_timeout=10)
    def trust(request: Request) -> HTMLResponse | None:
        with card(text.TRUST_TITLE, text.TRUST_WHAT, request):
            with form("trust", TRUST):
                attributes = {"autocomplete": "off", "spellcheck": "false", "maxlength": "40", "data-first": True}
                field("code", text.TRUST_CODE, attributes)
                submit(text.TRUST_IT)
            Tag("a", text.BACK_TO_SIGN_IN, {"href": LOGIN}, classes="pg-link-button")
        return still(ui.context.client)
