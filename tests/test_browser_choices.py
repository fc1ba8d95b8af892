"""Language, theme and the account menu in a real browser, on the cards of strangers and inside."""

import re

import pytest
from playwright.sync_api import expect

from tests import browser
from tests.socket_client import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 360, "height": 740}
DARK_GROUND, LIGHT_GROUND = "rgb(22, 20, 18)", "rgb(244, 244, 242)"

FIRST_PAINT = """
new PerformanceObserver((list) => list.getEntries().forEach(() => {
  window.firstGround ??= getComputedStyle(document.body).backgroundColor;
})).observe({type: "paint", buffered: true});
"""


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture
def visit(chromium, server):
    """Opens a page in a browser of its own: a stranger's, or one that is signed in."""
    opened = []

    def open(path="/", *, inside=False, **options):
        context = chromium.new_context(**{"base_url": server.url, "locale": "en-US", **options})
        context.set_default_timeout(10_000)
        opened.append(context)
        if inside:
            with signed_in(server) as client:
                cookies = [{"name": name, "value": value, "url": server.url} for name, value in client.cookies.items()]
            context.add_cookies(cookies)
        watched = browser.Watched(context)
        watched.page.goto(path)
        return watched.page

    yield open
    for context in opened:
        context.close()


def menu(page):
    """Open the account menu."""
    page.get_by_role("button", name=re.compile("root@pam")).click()
    return page.locator("#account")


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_a_stranger_chooses_a_language(visit):
    """On the card one press makes everything German, and it stays so with the next visit."""
    page = visit("/login?next=/sessions")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    assert page.url.endswith("/login?next=/sessions")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.goto("/login")
    expect(page.get_by_role("button", name="Deutsch")).to_have_attribute("aria-pressed", "true")


def test_what_scripts_say_is_german_too(visit):
    """Words that the card's scripts say by themselves are in the person's language."""
    page = visit("/login", locale="de-DE")
    toggle = page.get_by_role("button", name="Passwort anzeigen")
    toggle.click()
    expect(page.get_by_role("button", name="Passwort verbergen")).to_be_visible()


def test_moments_are_told_in_the_language_and_the_zone_of_the_browser(visit):
    """The list of sessions tells when each began as a German clock at the person's place shows it."""
    page = visit("/sessions", inside=True, locale="de-DE", timezone_id="Asia/Tokyo")
    moment = page.locator("time").first
    expect(moment).to_have_attribute("title", re.compile(r"\d\d\.\d\d\.\d{4}, \d\d:\d\d"))
    told = page.evaluate(
        """() => new Intl.DateTimeFormat("de-DE", {dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Tokyo"})
        .format(new Date(document.querySelector("time").dateTime))"""
    )
    expect(moment).to_have_attribute("title", told)


@pytest.mark.parametrize(
    ("system", "choice", "expected"), [("light", "Dark", DARK_GROUND), ("dark", "Light", LIGHT_GROUND)]
)
def test_a_chosen_theme_is_there_at_the_first_paint(visit, system, choice, expected):
    """Whatever the system prefers, the chosen theme is shown, and no other one before it."""
    page = visit("/", inside=True, color_scheme=system)
    menu(page).get_by_role("button", name=choice).click()
    page.get_by_role("heading", name="Overview").wait_for()
    assert ground(page) == expected
    page.add_init_script(FIRST_PAINT)
    page.reload()
    page.wait_for_function("window.firstGround")
    assert page.evaluate("window.firstGround") == expected
    expect(page.locator("body")).to_have_class(re.compile(f"body--{choice.lower()}"))


def test_the_systems_theme_can_be_had_back(visit):
    """With "System" chosen the page follows the system again."""
    page = visit("/", inside=True, color_scheme="light")
    menu(page).get_by_role("button", name="Dark").click()
    page.get_by_role("heading", name="Overview").wait_for()
    menu(page).get_by_role("button", name="System").click()
    page.get_by_role("heading", name="Overview").wait_for()
    assert ground(page) == LIGHT_GROUND
    page.emulate_media(color_scheme="dark")
    assert ground(page) == DARK_GROUND


def test_the_account_menu_goes_by_keyboard(visit):
    """Enter opens the menu, Tab goes into it, Escape closes it and gives the focus back."""
    page = visit("/", inside=True)
    page.get_by_role("heading", name="Overview").wait_for()
    button = page.get_by_role("button", name=re.compile("root@pam"))
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#account")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#account").get_by_role("button", name="Light")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#account")).to_be_hidden()
    expect(button).to_be_focused()


def test_the_account_menu_fits_a_phone(visit):
    """At 360 px who is signed in, the way out and all of the menu are on the screen, big enough for a thumb."""
    page = visit("/", inside=True, viewport=PHONE, has_touch=True, locale="de-DE")
    expect(page.get_by_text("root@pam", exact=True)).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Abmelden")).to_be_in_viewport(ratio=1)
    targets = [*menu(page).get_by_role("button").all(), *menu_links(page), page.get_by_role("button", name="Abmelden")]
    for one in targets:
        expect(one).to_be_in_viewport(ratio=1)
        assert min(one.bounding_box()["width"], one.bounding_box()["height"]) >= 44
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def menu_links(page):
    return page.locator("#account").get_by_role("link").all()


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
@pytest.mark.parametrize("inside", [False, True])
def test_axe_finds_nothing_serious(visit, inside, locale):
    """Card, page and open menu keep to the rules of accessibility in both languages and both themes."""
    page = visit("/sessions", inside=inside, locale=locale)
    page.locator(".pg-rows li" if inside else ".pg-card-foot").first.wait_for()
    if inside:
        menu(page)
    assert browser.serious(page) == []


def test_the_card_fits_a_phone_in_german(visit):
    """German words do not make the card wider than a phone."""
    page = visit("/login", viewport=PHONE, locale="de-DE")
    page.locator(".pg-card-foot").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
