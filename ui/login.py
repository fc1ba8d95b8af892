"""The login card: a real form, posted to `/login`. No key stroke of it crosses the websocket."""

import asyncio
import json
from collections import Counter

from fastapi import Request
from nicegui import ui

from services.auth.realms import RealmDirectory, Realms
from services.errors import EndReason
from services.proxmox import Realm
from ui import text
from ui.addresses import safe_next
from ui.layout import banners
from ui.theme import Tag, head, icon, logo

PATIENCE = 1.5
"""Seconds the card waits for the realms before it is shown with those that every Proxmox has."""

HEAL_SECONDS = 5


def create(directory: RealmDirectory) -> None:
    """Register the page."""

    @ui.page("/login", title=f"{text.SIGN_IN} · {text.PRODUCT}", reconnect_timeout=10)
    async def login(request: Request) -> None:
        head("login.js")
        ui.context.client.content.classes("pg-login")
        ui.add_body_html(f"<noscript><p class=pg-noscript>{text.NEEDS_SCRIPTS}</p></noscript>")
        banners()
        with ui.element("section").classes("pg-card"):
            _brand()
            Tag("div", _reason(request), {"role": "alert", "id": "login-error"}, classes="pg-alert")
            room = _form(safe_next(request.query_params.get("next")))
        with room:
            await _realms(directory)


def _brand() -> None:
    with ui.element("div").classes("pg-card-head"):
        logo(52)
        Tag("h1", text.PRODUCT)
        Tag("p", text.TAGLINE)


def _reason(request: Request) -> str:
    """Why somebody is (back) on this card: words of ours only, chosen by words of ours."""
    ended = request.query_params.get("ended", "")
    if ended in set(EndReason):
        return text.ended(EndReason(ended))
    return text.by_code(request.query_params.get("error", ""), request.query_params.get("wait", ""))


def _form(wanted: str) -> ui.element:
    """The card's form; returns the room for the realms, which come from Proxmox."""
    with Tag("form", "", {"method": "post", "action": "/login", "id": "login", "data-words": json.dumps(_WORDS)}):
        Tag("input", "", {"type": "hidden", "name": "next", "value": wanted})
        with ui.element("div").classes("pg-field"):
            Tag("label", text.USERNAME, {"for": "username"})
            Tag("input", "", {"id": "username", "name": "username", "required": True, **_PLAIN_USERNAME})
        room = ui.element("div").classes("pg-field")
        with ui.element("div").classes("pg-field"):
            Tag("label", text.PASSWORD, {"for": "password"})
            with ui.element("div").classes("pg-password"):
                _password()
        with Tag("button", "", {"type": "submit", "id": "submit"}, classes="pg-button pg-primary"):
            Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
            Tag("span", text.SIGN_IN, classes="pg-submit-text")
    return room


def _password() -> None:
    kind = {"type": "password", "autocomplete": "current-password"}
    Tag(
        "input", "", {"id": "password", "name": "password", "required": True, "aria-describedby": "login-error", **kind}
    )
    toggle = {"type": "button", "id": "show-password", "aria-label": text.SHOW_PASSWORD, "aria-pressed": "false"}
    with Tag("button", "", toggle, classes="pg-icon-button"):
        icon("eye")


async def _realms(directory: RealmDirectory) -> None:
    """The dropdown, filled as soon as the realms are there, and again when Proxmox has come back."""
    Tag("label", text.REALM, {"for": "realm"})
    select = Tag("select", "", {"id": "realm", "name": "realm", "required": True})
    note = Tag("p", "", {"role": "status"}, classes="pg-note")
    shown: tuple[Realm, ...] | None = None

    def show(realms: Realms) -> None:
        nonlocal shown
        if realms.realms != shown:  # only then: a list drawn anew forgets what somebody has chosen
            shown = realms.realms
            _fill(select, realms.realms)
        note.set_text(_note(realms))
        heal.active = realms.error is not None

    async def refresh() -> None:
        show(await directory.get())

    heal = ui.timer(HEAL_SECONDS, refresh, immediate=False, active=False)
    try:
        show(await asyncio.wait_for(directory.get(), PATIENCE))
    except TimeoutError:
        show(Realms())
        client = ui.context.client
        await client.connected(timeout=30)
        if not client.is_deleted:
            await refresh()


def _fill(select: Tag, realms: tuple[Realm, ...]) -> None:
    default = next((realm.realm for realm in realms if realm.default), "pam")
    labels = Counter(realm.comment for realm in realms)
    select.clear()
    with select:
        for realm in realms or _FALLBACK:
            label = realm.comment or realm.realm
            twice = labels[realm.comment] > 1
            option = Tag(
                "option", f"{label} ({realm.realm})" if twice and realm.comment else label, {"value": realm.realm}
            )
            if realm.type == "openid":
                option.set_text(text.OPENID_LATER.format(label=label))
                option.props["disabled"] = True
            if realm.realm == default:
                option.props["selected"] = True


def _note(realms: Realms) -> str:
    if realms.error is None:
        return ""
    cause = text.sentence(realms.error).rstrip(".") + "."
    return cause if realms.realms else f"{cause} {text.REALMS_UNKNOWN}"


_WORDS = {
    "busy": text.SIGNING_IN,
    "show": text.SHOW_PASSWORD,
    "hide": text.HIDE_PASSWORD,
    "unreachable": text.SCRIPT_UNREACHABLE,
}
_PLAIN_USERNAME = {
    "autocomplete": "username",
    "autocapitalize": "none",
    "autocorrect": "off",
    "spellcheck": "false",
    "maxlength": "64",
}
_FALLBACK = tuple(Realm(realm=realm, type=realm, comment=comment) for realm, comment in text.FALLBACK_REALMS)
