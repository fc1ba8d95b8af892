"""The protected layout: header, navigation, who is signed in, the way out; the room for the page is in between.

@ui.page("/guests")
async def guests() -> None:
    with frame("Guests"):
        ...
"""

from collections.abc import Generator
from contextlib import contextmanager
from html import escape

from nicegui import ui

from services.feed import Feed
from services.proxmox.userid import split_userid
from services.sessions import Session
from ui import pickers, text
from ui.bell import Bell
from ui.clocks import Clocks
from ui.head import head
from ui.links import STORAGE, TASKS
from ui.palette import Palette, palette_button
from ui.sight import sight, watch
from ui.tab_title import TabTitle
from ui.theme import Tag, icon, logo
from ui.visit import current_session, visit_of

_told: dict[str, bool] = {}
_clocks: list[Clocks] = []
_feeds: list[Feed] = []


def set_clocks(clocks: Clocks) -> None:
    """What tells every protected page that its session runs out."""
    _clocks[:] = [clocks]


def set_feed(feed: Feed) -> None:
    """What tells every protected page how the cluster is, and what there is to be found."""
    _feeds[:] = [feed]


def set_banners(*, demo: bool, unverified: bool) -> None:
    """What every page says at its top: a simulated Proxmox, certificates that are not checked."""
    _told.update(demo=demo, unverified=unverified)


@contextmanager
def frame(title: str, *scripts: str) -> Generator[None]:
    """Draw the shell around the page, which may have scripts of its own."""
    session = current_session()
    tab_title = TabTitle(title)
    head("page.js", "palette.js", "bell.js", "times.js", *scripts)
    drawer = _navigation()
    with ui.header(elevated=False).classes("pg-header"):
        menu = Tag("button", "", {"type": "button", "aria-label": text.MENU}, classes="pg-icon-button pg-menu")
        with menu:
            icon("menu", size=24)
        menu.on("click", js_handler=f"() => getElement({drawer.id}).toggle()")
        with Tag("a", "", {"href": "/", "aria-label": text.PRODUCT}, classes="pg-brand"):
            logo(28)
            Tag("span", text.PRODUCT, classes="pg-brand-name")
        palette_button()
        bell = Bell(session.principal)
        _account(session)
    with ui.context.client.layout:
        Tag("a", text.SKIP_TO_CONTENT, {"href": "#content"}, classes="pg-skip").move(target_index=0)
    _cover()
    sight()  # here, where no room of a page's own hides it
    banners()
    _proxy_banner()
    with Tag("div", "", {"id": "content", "tabindex": "-1"}, classes="pg-page"):
        Tag("h1", title, classes="pg-title")
        yield
    palette = Palette((label, address) for label, address, _ in _navigated())
    for feed in _feeds:
        watch(feed, tab_title.show)
        watch(feed, palette.show)
        watch(feed, bell.show)
    for clocks in _clocks:
        clocks.draw()


def banners() -> None:
    """Draw what `set_banners` was told."""
    if _told.get("demo"):
        Tag("div", text.DEMO_BANNER, {"role": "note"}, classes="pg-banner")
    if _told.get("unverified"):
        Tag("div", text.INSECURE_BANNER, {"role": "note"}, classes="pg-banner pg-banner-bad")


def _navigated() -> tuple[tuple[str, str, str], ...]:
    """What people find in the navigation: label, address, icon."""
    return (
        (text.OVERVIEW, "/", "overview"),
        (text.GUESTS, "/guests", "guests"),
        (text.STORAGES, STORAGE, "storage"),
        (text.TASKS_TITLE, TASKS, "tasks"),
        (text.MY_SESSIONS, "/sessions", "sessions"),
    )


def _cover() -> None:
    """Over the page while the store is silent: `assets/page.js` shows it."""
    words = "".join(f"<p>{escape(words)}</p>" for words in (text.STORE_DOWN_TITLE, text.STORE_SILENT))
    ui.add_body_html(f'<div id="pg-cover" role="alert" hidden>{words}</div>')


def _proxy_banner() -> None:
    """Only for those whose own request came that way."""
    visit = visit_of(ui.context.client.request.scope)
    if visit.undeclared_proxy:
        words = text.UNDECLARED_PROXY.format(address=visit.address)
        Tag("div", words, {"role": "note"}, classes="pg-banner")


def _navigation() -> ui.element:
    """The sidebar, a drawer below 900 px: all in the browser, with no word to the server."""
    client = ui.context.client
    here = client.request.url.path
    client.layout.props["view"] = "hHh Lpr fff"
    with client.layout:
        drawer = ui.element("q-drawer").props("show-if-above bordered breakpoint=900 width=220").classes("pg-drawer")
    drawer.move(client.layout, 0)  # before the page, for those who go by keyboard
    with drawer, Tag("nav", "", {"aria-label": text.NAVIGATION}):
        for label, address, picture in _navigated():
            link = Tag("a", "", {"href": address}, classes="pg-nav-link")
            if address == here:
                link.props["aria-current"] = "page"
            with link:
                icon(picture)
                Tag("span", label)
    return drawer


def _account(session: Session) -> None:
    """Who is signed in, the way out, and what else is theirs: a popover, so the browser opens and closes it."""
    userid, _, _ = session.principal.partition("!")  # a token signs in for its owner's realm
    _, realm = split_userid(userid)
    with ui.element("div").classes("pg-account"):
        label = f"{session.principal}, {text.ACCOUNT}"
        attributes = {"type": "button", "popovertarget": "account", "aria-label": label}
        with Tag("button", "", attributes, classes="pg-button pg-who"):
            icon("user")
            Tag("span", session.principal, classes="pg-userid")
            icon("down", size=16)
        with Tag("div", "", {"id": "account", "popover": "auto"}, classes="pg-popover"):
            who = text.SIGNED_IN_AS.format(userid=session.principal, realm=realm)
            Tag("p", "", {"data-words": who}, classes="pg-popover-who")  # drawn by the style: said once in the page
            pickers.themes()
            pickers.languages()
            with Tag("a", "", {"href": "/sessions"}, classes="pg-nav-link"):
                icon("sessions")
                Tag("span", text.MY_SESSIONS)
        with (
            Tag("form", "", {"method": "post", "action": "/logout"}),
            Tag("button", "", {"type": "submit"}, classes="pg-button pg-quiet pg-out"),
        ):
            icon("sign-out")
            Tag("span", text.SIGN_OUT)
