"""The command palette and the tab's title in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from services.simulator import Fault
from services.simulator.world import World
from tests import browser, harness
from tests.socket_client import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 360, "height": 740}
HOSTILE = "<img src=x onerror=window.pwned=1>{{constructor.constructor('window.pwned=2')()}}</script>\u202etxt"


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def pve():
    with harness.simulator(seed=7) as running:
        yield running


@pytest.fixture(scope="module")
def site(valkey_url, pve):
    settings = harness.for_proxmox(pve)
    with harness.proxgate(
        REDIS_URL=valkey_url, SESSION_SECRET=harness.SECRET, STORE_PREFIX="palette:", **settings
    ) as up:
        yield up


@pytest.fixture
def inside(chromium, site, pve):
    """Opens a page in a browser that is signed in; afterwards it must have complained of nothing."""
    watched = []

    def open(path="/sessions", **options):
        context = chromium.new_context(**{"base_url": site.url, "locale": "en-US", **options})
        context.set_default_timeout(10_000)
        with signed_in(site) as client:
            cookies = [{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()]
        context.add_cookies(cookies)
        watched.append(browser.Watched(context))
        watched[-1].page.goto(path)
        watched[-1].page.get_by_role("heading", level=1).wait_for()
        watched[-1].page.wait_for_function("window.socket?.connected && !document.querySelector('#app').inert")
        return watched[-1].page

    yield open
    pve.fault = Fault()
    for one in watched:
        assert one.mistakes() == []
        one.page.context.close()


def opened(page):
    """The palette, opened by its keys."""
    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("option").first).to_be_visible()
    return dialog


def test_a_guest_is_reached_by_keys_alone(inside):
    """Ctrl-K, a few letters, Enter: the guest's page."""
    page = inside()
    dialog = opened(page)
    expect(dialog.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("homeass")
    expect(dialog.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/guests/100")


def test_arrows_choose_and_say_so(inside):
    """Arrows go round the hits; the field names the chosen one to screen readers."""
    page = inside()
    dialog = opened(page)
    page.keyboard.type("pve")
    options = dialog.get_by_role("option")
    expect(options.first).to_contain_text("pve1")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(dialog.get_by_role("option", selected=True)).to_have_count(1)
    chosen = options.nth(1).get_attribute("id")
    expect(dialog.get_by_role("combobox")).to_have_attribute("aria-activedescendant", chosen)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    expect(dialog.get_by_role("combobox")).to_be_focused()


def test_escape_closes_and_gives_the_focus_back(inside):
    """Escape leaves everything as it was, the focus where it was; opened again, nothing is left of what was typed."""
    page = inside()
    link = page.get_by_role("link", name="Guests")
    link.focus()
    dialog = opened(page)
    page.keyboard.type("web")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()
    opened(page)
    expect(page.get_by_role("combobox")).to_have_value("")


def test_the_button_opens_it_too(inside):
    """Who has no keys opens it by its button, and closes it by another, or beside it."""
    page = inside(viewport=PHONE, has_touch=True)
    page.get_by_role("button", name="Search").tap()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("option").first).to_be_visible()
    assert dialog.bounding_box()["width"] == 360
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert all(one.bounding_box()["height"] >= 44 for one in dialog.get_by_role("option").all())
    dialog.get_by_role("button", name="Close").tap()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Search").tap()
    page.mouse.click(180, 735)
    expect(dialog).to_be_hidden()


def test_a_storage_is_shown_where_it_stands(inside, pve):
    """A storage's hit leads to its own row of the list, which is marked, in sight, and where the keyboard goes on."""
    page = inside(viewport={"width": 900, "height": 420})
    opened(page)
    page.keyboard.type("local pve3")
    expect(page.get_by_role("option").first).to_contain_text("pve3")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/storage#pve3/local"))
    row = page.locator("tr:target")
    expect(row).to_contain_text("local")
    expect(row).to_be_in_viewport()
    expect(row).to_be_focused()
    page.keyboard.press("Tab")
    expect(row.get_by_role("link")).to_be_focused()


def test_a_mangled_address_spoils_nothing(inside):
    """A page at an address whose fragment nobody can read works as any other."""
    page = inside("/storage#%")
    assert page.evaluate("typeof window.proxgate.cover") == "function"


def test_a_dialog_of_the_page_is_not_missed(inside):
    """What the page has to say closes the palette, behind which nobody would see it."""
    page = inside("/sessions")
    inside("/sessions")  # somebody to end
    more = page.get_by_role("button", name="End all other sessions")
    expect(more).to_be_visible()
    dialog = opened(page)
    more.evaluate("button => button.click()")
    expect(page.get_by_text("End all other sessions?")).to_be_visible()
    expect(dialog.get_by_role("combobox")).to_be_hidden()


def test_nothing_found_is_said(inside):
    """A search that finds nothing says so, and Enter then does nothing."""
    page = inside()
    dialog = opened(page)
    page.keyboard.type("no such thing")
    expect(dialog.get_by_role("status")).to_have_text("Nothing has that name.")
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()


def test_a_closed_palette_is_sent_nothing(inside):
    """Hits go to the browser only when they were asked for."""
    page = inside("/sessions")
    frames = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    page.reload()
    page.wait_for_timeout(5000)
    assert frames
    assert not [frame for frame in frames if "data-hits" in frame]
    assert not [frame for frame in frames if "old-fileserver" in frame and "bell-data" not in frame]
    opened(page)
    page.keyboard.type("old-")
    expect(page.get_by_role("option", name=re.compile("old-fileserver"))).to_be_visible()
    assert [frame for frame in frames if "old-fileserver" in frame and "data-hits" in frame]


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_axe_finds_nothing_serious(inside, locale):
    """The open palette, with hits and without, keeps to the rules of accessibility."""
    page = inside(locale=locale)
    opened(page)
    page.keyboard.type("p")
    page.wait_for_timeout(300)
    assert browser.serious(page) == []
    page.keyboard.type("xxxx")
    page.wait_for_timeout(300)
    assert browser.serious(page) == []


def test_names_are_text(inside, monkeypatch, pve):
    """Whatever a guest is called, its name stands in the palette as it is, and runs nothing."""
    guests = World.guests_by_machine
    monkeypatch.setattr(
        World,
        "guests_by_machine",
        lambda self, at: [(machine, {**row, "name": HOSTILE}) for machine, row in guests(self, at)],
    )
    page = inside("/guests")
    expect(page.locator(".pg-guest-name").first).to_have_text(HOSTILE, timeout=20_000)  # with the next picture
    opened(page)
    page.keyboard.type("constructor")
    expect(page.locator(".pg-palette-name").first).to_have_text(HOSTILE)
    assert page.evaluate("window.pwned") is None


def test_the_title_says_what_is_wrong(inside, monkeypatch):
    """A node that goes down is told in the tab's title, before failed tasks and the page's name, and its return too."""
    page = inside("/sessions")
    failed = re.compile(r"^\d failed · My sessions · Proxgate$")
    expect(page).to_have_title(failed)
    nodes = World.nodes
    monkeypatch.setattr(World, "nodes", lambda self, at: [{**row, "status": "offline"} for row in nodes(self, at)])
    expect(page).to_have_title(re.compile(r"^3 down(, \d failed)? · My sessions · Proxgate$"), timeout=20_000)
    home = inside("/")
    expect(home).to_have_title(re.compile(r"^3 down(, \d failed)? · Proxgate$"), timeout=20_000)
    monkeypatch.undo()
    expect(page).to_have_title(failed, timeout=20_000)


def test_the_title_says_that_nobody_answers(inside, pve):
    """While Proxmox gives no answer the title of every tab says that."""
    page = inside("/sessions", locale="de-DE")
    expect(page).to_have_title(re.compile(r"^\d fehlgeschlagen · Meine Sitzungen · Proxgate$"))
    pve.fault = Fault(path="/cluster", status=595)
    expect(page).to_have_title("Keine Antwort · Meine Sitzungen · Proxgate", timeout=20_000)
