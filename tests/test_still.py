"""A stranger's card is plain HTML: NiceGUI's page sleeps in it until there is something to be told later."""

import re

import pytest
from playwright.sync_api import expect

from tests import browser, harness

AWAKE = "/login?next=/guests%3Fkept%3Dx"
"""Of somebody whose page was kept: it looks whether it still is."""


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture
def watched(chromium, server):
    """A tab of a browser that has nothing of ours."""
    with chromium.new_context(base_url=server.url) as context:
        yield browser.Watched(context)


def drawn(html: str) -> str:
    """What a page shows without a script."""
    return html.partition("<template")[0]


def test_the_card_stands_in_the_page(client):
    """Fields, realms and buttons of the card are in the page's own HTML, and its form can be sent as it is."""
    html = drawn(client.get("/login?next=/guests", headers=harness.PAGE).text)
    assert re.search(r'<form method="post" action="/login" id="login"', html)
    assert '<input type="hidden" name="next" value="/guests">' in html
    assert '<option value="pve" selected>Proxmox VE authentication server</option>' in html
    assert '<span class="pg-submit-text">Sign in</span></button>' in html


def test_nothing_of_an_address_becomes_markup(client):
    """What somebody writes into the card's address stands there as text."""
    html = client.get("/login", params={"next": '/"><script>x</script>'}, headers=harness.PAGE).text
    assert "<script>x" not in html
    assert '"><script' not in drawn(html)


def test_a_card_sleeps_unless_it_is_told_something(client):
    """While all is well NiceGUI's page is asleep; where it is told of a page that was kept it is not."""
    asleep = '<template id="pg-page">'
    assert asleep in client.get("/login", headers=harness.PAGE).text
    assert asleep not in client.get(AWAKE, headers=harness.PAGE).text
    assert asleep in client.get("/trust", headers=harness.PAGE).text


@pytest.mark.browser
def test_a_sleeping_card_asks_for_little(watched):
    """It asks for its own styles and scripts and opens no socket; what comes after it is fetched while one types."""
    page = browser.card(watched.page, "/login")
    page.wait_for_timeout(1000)
    assert not [address for address in watched.addresses if "_nicegui" in address]
    page.get_by_label("Username").press_sequentially("r")
    expect(page.locator("link[rel=prefetch][href*='/static/nicegui.js']")).to_be_attached()
    browser.sign_in(page)
    assert watched.mistakes() == []


FETCHED = "files => localStorage.getItem('proxgate.fetched')?.split(' ').length === files"


@pytest.mark.browser
def test_what_a_browser_has_is_not_fetched_ahead_again(watched):
    """A browser that comes back to the card fetches nothing ahead: it would read files from disk, not from memory."""
    page = browser.card(watched.page, "/login")
    ahead = page.locator("link[rel=prefetch]")
    page.get_by_label("Username").press_sequentially("r")
    expect(ahead.first).to_be_attached()
    page.wait_for_function(FETCHED, arg=ahead.count())
    browser.card(page, "/login").get_by_label("Username").press_sequentially("r")
    assert ahead.count() == 0
    page.evaluate("localStorage.setItem('proxgate.fetched', '')")
    browser.card(page, "/login").get_by_label("Username").press_sequentially("r")
    expect(ahead.first).to_be_attached()


@pytest.mark.browser
def test_what_was_typed_goes_over_when_the_card_wakes(watched):
    """Vue draws the card once more under the hands of who types; words, realm, focus and caret stay."""
    page, held = browser.card(watched.page, "/login"), []  # the realms are known
    page.route("**/static/quasar.umd.prod.js", lambda route: held.append(route))  # noqa: PLW0108 - it marks what it is given
    page.goto(AWAKE, wait_until="commit")
    page.get_by_label("Realm").select_option("pam")
    page.get_by_label("Username").fill("roo")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#pg-still").count() == 1
    held[0].continue_()
    page.locator("#pg-still").wait_for(state="detached")
    page.keyboard.type("x")
    expect(page.get_by_label("Username")).to_have_value("roxo")
    expect(page.get_by_label("Realm")).to_have_value("pam")
    assert page.evaluate("!!window.socket")
    assert watched.mistakes() == []
