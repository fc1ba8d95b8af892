"""The login card: an account and its password, a provider's realm, or an API token."""

import asyncio
from collections import Counter
from collections.abc import Callable

from fastapi import Request
from nicegui import ui
from starlette.responses import HTMLResponse

from services.auth.realms import RealmDirectory, Realms
from services.errors import Distrust, NotTrusted, ProxmoxError
from services.proxmox import Realm
from ui import text
from ui.addresses import LOGIN, TOKEN, TRUST, login_address, safe_next
from ui.cards import card, field, form, submit
from ui.kept import KeptTabs, name_in
from ui.still import still
from ui.theme import Tag, icon
from ui.visit import visit_of

PATIENCE = 1.5
"""Seconds the card waits for the realms before it is shown with those that every Proxmox has."""

HEAL_SECONDS = 5
KEPT_LOOK_SECONDS = 5


def create(directory: RealmDirectory, kept: KeptTabs, *, first_use: bool) -> None:
    """Register the page. `first_use` when a certificate can be trusted by the code that was printed."""

    @ui.page(LOGIN, reconnect_timeout=10)
    async def login(request: Request) -> HTMLResponse | None:
        wanted = safe_next(request.query_params.get("next"))
        with card(text.PRODUCT, text.TAGLINE, request, "login.js", heading=text.SIGN_IN):
            notice, room = Notice(first_use=first_use), None
            _tell_kept(kept, wanted)
            if request.query_params.get("with") == "token":
                _token(wanted)
            else:
                room = _account(wanted)
                _other_way(text.USE_TOKEN, login_address(wanted, **{"with": "token"}))
        if room is None:
            await _watch(directory, notice.show)
        else:
            with room:
                await _realms(directory, notice)
        return still(ui.context.client)


def _account(wanted: str) -> ui.element:
    """The form for an account; returns the room for the realms, which come from Proxmox."""
    with form("login", LOGIN, next=wanted):
        field("username", text.USERNAME, {"autocomplete": "username", "maxlength": "64", **_AS_TYPED})
        room = ui.element("div").classes("pg-field")
        with Tag("div", "", classes="pg-field"):
            Tag("label", text.PASSWORD, {"for": "password"})
            with ui.element("div").classes("pg-password"):
                _password()
        submit(text.SIGN_IN)
    return room


def _password() -> None:
    kind = {"type": "password", "autocomplete": "current-password"}
    Tag("input", "", {"id": "password", "name": "password", "required": True, "aria-describedby": "card-error", **kind})
    toggle = {"type": "button", "id": "show-password", "aria-label": text.SHOW_PASSWORD, "aria-pressed": "false"}
    with Tag("button", "", toggle, classes="pg-icon-button"):
        icon("eye")


def _token(wanted: str) -> None:
    """The form for people who have an API token and nothing else."""
    with form("token", TOKEN, next=wanted):
        example = {"placeholder": text.TOKEN_ID_EXAMPLE, "data-first": True}
        field("tokenid", text.TOKEN_ID, {"maxlength": "192", "autocomplete": "off", **example, **_AS_TYPED})
        field("secret", text.TOKEN_SECRET, {"type": "password", "autocomplete": "off", "maxlength": "128"})
        submit(text.SIGN_IN)
    _other_way(text.USE_ACCOUNT, login_address(wanted))


def _other_way(label: str, address: str) -> None:
    Tag("a", label, {"href": address}, classes="pg-link-button")


def _tell_kept(kept: KeptTabs, wanted: str) -> None:
    """Whether the page that an expired session had open waits for its person, and still does."""
    if not name_in(wanted):
        return
    visit = visit_of(ui.context.client.request.scope)
    words = Tag("p", "", {"role": "status"}, classes="pg-notice")
    ui.timer(KEPT_LOOK_SECONDS, lambda: words.set_text(text.KEPT if kept.awaits(wanted, visit) else text.NOT_KEPT))


class Notice:
    """What is the matter with Proxmox before anybody has tried to sign in; nothing is drawn while all is well."""

    def __init__(self, *, first_use: bool) -> None:
        self._first_use = first_use
        with Tag("div", "", {"role": "status"}, classes="pg-notice") as self._room:
            self._words = Tag("p")
            self._link = Tag("a", text.TRUST_LINK, {"href": TRUST})
        self._room.set_visibility(False)

    def show(self, realms: Realms) -> None:
        """Say it, or nothing."""
        error = realms.error
        words = (text.sentence(error), text.detail(error)) if error else ()
        self._words.set_text(" ".join(f"{part.rstrip('.')}." for part in words if part))
        self._link.set_visibility(self._first_use and _is_new(error))
        self._room.set_visibility(error is not None)


async def _realms(directory: RealmDirectory, notice: Notice) -> None:
    """The dropdown, filled as soon as the realms are there, and again when Proxmox has come back."""
    Tag("label", text.REALM, {"for": "realm"})
    select = Tag("select", "", {"id": "realm", "name": "realm", "required": True})
    note = Tag("p", "", classes="pg-note")
    shown: tuple[Realm, ...] | None = None

    def show(realms: Realms) -> None:
        nonlocal shown
        if realms.realms != shown:  # only then: a list drawn anew forgets what somebody has chosen
            shown = realms.realms
            _fill(select, realms.realms)
        note.set_text(text.REALMS_UNKNOWN if realms.error and not realms.realms else "")
        notice.show(realms)

    await _watch(directory, show)


async def _watch(directory: RealmDirectory, show: Callable[[Realms], None]) -> None:
    """Show what Proxmox says of its realms: soon, and again and again while it is in trouble."""

    async def refresh() -> None:
        realms = await directory.get()
        heal.active = realms.error is not None
        show(realms)

    heal = ui.timer(HEAL_SECONDS, refresh, immediate=False, active=False)
    try:
        await asyncio.wait_for(refresh(), PATIENCE)
    except TimeoutError:
        show(Realms())
        client = ui.context.client
        await client.connected(timeout=30)
        if not client.is_deleted:
            await refresh()


def _fill(select: Tag, realms: tuple[Realm, ...]) -> None:
    default = next((realm.realm for realm in realms if realm.default), "pam")
    comments = Counter(realm.comment for realm in realms)
    select.clear()
    with select:
        for realm in realms or _FALLBACK:
            twice = realm.comment and comments[realm.comment] > 1
            label = f"{realm.comment} ({realm.realm})" if twice else realm.comment or realm.realm
            option = Tag("option", label, {"value": realm.realm})
            if realm.type == "openid":
                option.props["data-openid"] = True
            if realm.realm == default:
                option.props["selected"] = True


def _is_new(error: ProxmoxError | None) -> bool:
    """Whether the server's certificate is one that nobody has judged yet."""
    return isinstance(error, NotTrusted) and error.reason is Distrust.UNKNOWN


_AS_TYPED = {"autocapitalize": "none", "autocorrect": "off", "spellcheck": "false"}
_FALLBACK = (
    Realm(realm="pam", type="pam", comment="Linux PAM standard authentication"),
    Realm(realm="pve", type="pve", comment="Proxmox VE authentication server"),
)
"""Those that every Proxmox has, in its own words."""
