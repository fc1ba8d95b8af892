"""The page "My sessions" in a real browser: what it lists, what it ends, and what it is to those who cannot see it."""

import asyncio
import contextlib
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from services.audit import Audit, Event, Kind
from services.keys import KeyRing
from services.store.connection import Store
from tests import browser, harness
from tests.conftest import forget_failures

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 360, "height": 740}
ANDROID = "Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
HOSTILE = "<img src=x onerror=window.pwned=1> \u202e{{constructor.constructor('window.pwned=2')()}}"


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def store():
    """A store of this module's own, to be broken."""
    with harness.valkey() as url, harness.admin(url) as client:
        client.url = url
        yield client


@pytest.fixture(scope="module")
def site(store):
    with harness.simulator() as pve:
        settings = {"REDIS_URL": store.url, "STORE_PREFIX": "mine:", **harness.for_proxmox(pve)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
            yield up


@pytest.fixture(autouse=True)
def nobody(store):
    """Each test begins with nobody signed in."""
    forget_failures(store.url)
    if keys := store.keys("mine:*"):
        store.delete(*keys)


@pytest.fixture
def opened(chromium, site):
    """Open browsers, each signed in and on the page that it is given."""
    with contextlib.ExitStack() as stack:

        def open_(path="/sessions", who=("root", "pam"), **options):
            context = stack.enter_context(contextlib.closing(chromium.new_context(base_url=site.url, **options)))
            context.set_default_timeout(10_000)
            tab = browser.Watched(context)
            page = browser.card(tab.page)
            browser.sign_in(page, username=who[0], realm=who[1])
            page.goto(path)
            stack.callback(lambda: _no_mistakes(tab))
            return page

        yield open_


def _no_mistakes(tab):
    assert tab.mistakes() == []


def sign_in(site, agent, who=("root", "pam")):
    """A session of a browser that is somewhere else."""
    with site.client(headers={"User-Agent": agent.encode()}) as client:
        assert harness.sign_in(client, *who).status_code == 200
        return client.cookies


def rows(page):
    return page.locator(".pg-row")


def is_in(site, cookies):
    with site.client(cookies=cookies) as client:
        return client.get("/", headers=harness.PAGE).status_code == 200


def test_sessions_are_listed_with_this_one_first(opened, site):
    """Each session has its device, address and times; this one stands first, is marked and has no button."""
    page = opened()
    expect(rows(page)).to_have_count(1)
    sign_in(site, ANDROID)
    expect(rows(page)).to_have_count(2)
    sign_in(site, IPHONE)
    expect(rows(page)).to_have_count(3)
    assert rows(page).get_by_role("heading").all_inner_texts() == [
        "Chrome on Linux", "Safari on iPhone", "Firefox on Android",
    ]  # fmt: skip
    expect(rows(page).first).to_contain_text("This one")
    expect(page.get_by_text("This one", exact=True)).to_have_count(1)
    expect(rows(page).first.get_by_role("button")).to_have_count(0)
    for words in ("127.0.0.1", "Started just now", "Last used just now"):
        expect(rows(page).nth(1)).to_contain_text(words)
    page.reload()
    expect(rows(page).get_by_role("heading").nth(1)).to_have_text("Safari on iPhone")


def test_the_page_is_in_the_navigation(opened):
    """People find the page from the overview."""
    page = opened("/")
    page.get_by_role("link", name="My sessions").click()
    expect(page.get_by_role("heading", name="My sessions")).to_be_visible()
    expect(page.get_by_role("link", name="My sessions")).to_have_attribute("aria-current", "page")


def test_a_single_session_is_told_calmly(opened):
    """Whoever is signed in here alone is told so, and has nothing to press."""
    page = opened()
    expect(page.get_by_text("root@pam is signed in nowhere else.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^End"))).to_have_count(0)


def test_ending_a_session_takes_its_browser_to_the_card(opened):
    """Two browsers of one account: the other, once ended, is on the card within two seconds and says why."""
    page, other = opened(), opened("/", user_agent=ANDROID)
    other.get_by_role("article").first.wait_for()
    page.get_by_role("button", name="End Firefox on Android").click()
    started = time.monotonic()
    other.wait_for_url(re.compile("ended=ended"))
    assert time.monotonic() - started < 2
    expect(other.get_by_role("alert")).to_contain_text("ended from another device")
    expect(page.get_by_role("status").filter(has_text="1 session ended")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    assert page.url.endswith("/sessions")


def test_ending_all_others_leaves_this_one(opened, site):
    """After "End all other sessions" and a yes only this browser is signed in."""
    page = opened()
    others = [sign_in(site, agent) for agent in (ANDROID, IPHONE, "curl/8.5.0")]
    expect(rows(page)).to_have_count(4)
    page.get_by_role("button", name="End all other sessions").click()
    page.get_by_role("dialog").get_by_role("button", name="End them").click()
    expect(page.get_by_role("status").filter(has_text="3 sessions ended")).to_be_visible()
    expect(rows(page)).to_have_count(1)
    assert not [cookies for cookies in others if is_in(site, cookies)]
    page.reload()
    expect(page.get_by_text("This one", exact=True)).to_be_visible()


def test_ending_all_others_asks_first(opened, site):
    """A no, by button or by the Escape key, ends nothing and gives the focus back."""
    page = opened()
    other = sign_in(site, ANDROID)
    button = page.get_by_role("button", name="End all other sessions")
    for no in (lambda: page.get_by_role("button", name="Cancel").click(), lambda: page.keyboard.press("Escape")):
        button.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        no()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(button).to_be_focused()
    assert is_in(site, other)


def test_other_accounts_are_never_listed(opened, site):
    """The page lists one account's sessions, and ending all others ends nobody else's."""
    page = opened()
    other = sign_in(site, ANDROID, ("kid", "pve"))
    sign_in(site, IPHONE)
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_text("Firefox on Android")).to_have_count(0)
    page.get_by_role("button", name="End all other sessions").click()
    page.get_by_role("button", name="End them").click()
    expect(rows(page)).to_have_count(1)
    assert is_in(site, other)


def test_a_hostile_agent_is_words(opened, site):
    """What a browser calls itself runs nothing and is not drawn: it is an unknown device."""
    page = opened()
    sign_in(site, HOSTILE)
    sign_in(site, HOSTILE.replace("\u202e", "Firefox/143.0"))
    expect(rows(page)).to_have_count(3)
    expect(page.get_by_role("heading", name="Unknown device")).to_be_visible()
    expect(page.locator("img")).to_have_count(0)
    assert "constructor" not in page.locator("#content").inner_text()
    assert page.evaluate("window.pwned") is None


def test_a_session_that_went_by_itself_is_no_error(opened, site, store):
    """Ending what is over already says so, and goes on."""
    page = opened()
    sign_in(site, ANDROID)
    button = page.get_by_role("button", name="End Firefox on Android")
    button.wait_for()
    with _listing_refused(store):
        expect(page.locator(".pg-trouble")).to_be_visible()
        own = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
        _drop_others(store, own)
    button.click()
    expect(page.get_by_role("status").filter(has_text="That session had ended already")).to_be_visible()
    expect(rows(page)).to_have_count(1)


def _drop_others(store, own):
    """Take every record but that of one browser out of the store."""
    from services.sessions.record import hash_id

    kept = f"mine:session:{{{hash_id(own['proxgate'].split('.')[0])}}}".encode()
    others = [key for key in store.keys("mine:session:*") if key != kept]
    assert len(others) == 1
    store.delete(*others)


@contextlib.contextmanager
def _listing_refused(store):
    """A store that tells of single sessions, but not of lists."""
    store.execute_command("ACL", "SETUSER", harness.STORE_USER, "-hgetall")
    try:
        yield
    finally:
        store.execute_command("ACL", "SETUSER", harness.STORE_USER, "+hgetall")


@pytest.mark.chaos
def test_a_list_that_cannot_be_read_is_kept_and_heals(opened, site, store):
    """While the store does not tell, the last list stays, greyed, with a sentence; it comes back by itself."""
    page = opened()
    sign_in(site, ANDROID)
    expect(rows(page)).to_have_count(2)
    with _listing_refused(store):
        expect(page.locator(".pg-trouble")).to_contain_text("Session store unreachable")
        expect(page.locator(".pg-stale .pg-row")).to_have_count(2)
        page.get_by_role("button", name="End Firefox on Android").click()
        expect(page.locator(".pg-said")).to_contain_text("Please try again")
        expect(rows(page)).to_have_count(2)
    expect(page.locator(".pg-trouble")).to_be_hidden()
    expect(page.locator(".pg-stale")).to_have_count(0)


@pytest.mark.chaos
def test_the_focus_stays_while_the_list_moves(opened, site):
    """A session that comes above does not take the focus away, nor does one that goes below."""
    page = opened()
    sign_in(site, ANDROID)
    button = page.get_by_role("button", name="End Firefox on Android")
    button.focus()
    gone = sign_in(site, IPHONE)
    expect(rows(page)).to_have_count(3)
    expect(button).to_be_focused()
    with site.client(cookies=gone, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        client.post("/logout")
    expect(rows(page)).to_have_count(2)
    expect(button).to_be_focused()


def test_everything_can_be_done_by_keyboard(opened, site):
    """By keys alone: end one, ask for all others, say no, say yes; the focus is never lost."""
    page = opened()
    for agent in (ANDROID, IPHONE, "curl/8.5.0"):
        sign_in(site, agent)
    expect(rows(page)).to_have_count(4)
    page.get_by_role("button", name=re.compile("^End ")).first.focus()
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(3)
    expect(page.get_by_role("button", name=re.compile("^End ")).first).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("heading", name="Signed in now")).to_be_focused()


def test_the_page_is_accessible(opened, site):
    """axe finds nothing serious by light and in the dark, with the dialog open too."""
    page = opened()
    assert browser.serious(page) == []
    sign_in(site, ANDROID)
    expect(rows(page)).to_have_count(2)
    assert browser.serious(page) == []
    _open_dialog(page)
    assert browser.serious(page) == []


def test_a_phone_needs_no_sideways_scrolling(opened, site):
    """At 360 px the page and its dialog fit, and everything to tap is at least 44 px high and wide."""
    page = opened(viewport=PHONE, has_touch=True)
    sign_in(site, ANDROID)
    expect(rows(page)).to_have_count(2)
    _fits(page)
    _open_dialog(page)
    _fits(page)


def _open_dialog(page):
    """Ask for the end of all others, and wait until the dialog has come to rest."""
    page.get_by_role("button", name="End all other sessions").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")


def _fits(page):
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    boxes = [button.bounding_box() for button in page.get_by_role("button").all() if button.is_visible()]
    assert [box for box in boxes if box["width"] < 44 or box["height"] < 44] == []


@pytest.mark.chaos
def test_times_are_told_in_the_browsers_own_zone(opened):
    """The exact time of a session is told in the browser's time zone."""
    page = opened(timezone_id="Asia/Kathmandu", locale="en-GB")
    started = page.locator(".pg-row time").first
    started.wait_for()
    words = started.evaluate(
        "one => new Date(one.dateTime).toLocaleTimeString('en-GB', {timeStyle: 'short', timeZone: 'Asia/Kathmandu'})"
    )
    expect(started).to_have_attribute("title", re.compile(words))


def note(store, *events):
    """Write events of two hours ago, the oldest first."""

    async def write():
        opened = Store.open(SecretStr(store.url), "mine:")
        audit = Audit(opened, KeyRing(SecretStr(harness.SECRET)))
        for number, (kind, principal, outcome) in enumerate(events):
            place = {"address": f"192.0.2.{len(outcome)}", "time": time.time() - 7200 + number}
            await audit.note(Event(kind=kind, principal=principal, outcome=outcome, **place))
        await opened.aclose()

    with ThreadPoolExecutor() as aside:  # this thread has Playwright's loop
        aside.submit(asyncio.run, write()).result()


def test_the_accounts_own_events_are_told(opened, store):
    """The account's own events stand there in words, newest first; failures are marked with more than a colour."""
    page = opened()
    note(store, (Kind.END, "root@pam", "idle"), (Kind.LIMITED, "kid@pve", "8"),
         (Kind.SIGN_OUT, "root@pam", "signed-out"), (Kind.FAILURE, "root@pam", "InvalidCredentials"))  # fmt: skip
    events = page.locator(".pg-event")
    events.filter(has_text="Sign-in refused").wait_for()
    words = events.locator(".pg-event-words").all_inner_texts()
    assert words == ["Signed in", "Sign-in refused", "Signed out", "Session ended: not used for a while"]
    assert "192.0.2.18" in events.nth(1).inner_text()
    assert re.fullmatch(r"\w+ \d+, \d{4}, [\d:]+\s[AP]M", events.nth(1).locator("time").inner_text())
    first, failed, *others = (events.nth(n).locator("path").get_attribute("d") for n in range(4))
    assert failed not in {first, *others}
    assert browser.serious(page) == []


def test_a_page_that_was_kept_knows_its_new_session(chromium, store):
    """A tab that lay frozen until its person signed in again marks the new session as this one, and offers no end."""
    with harness.simulator() as pve:
        settings = {"REDIS_URL": store.url, "STORE_PREFIX": "mine:", **harness.for_proxmox(pve)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, SESSION_IDLE_SECONDS="8", **settings) as site:
            context = chromium.new_context(base_url=site.url)
            page = browser.card(context.new_page())
            browser.sign_in(page)
            page.goto("/sessions")
            rows(page).first.wait_for()
            tab = page.evaluate("window.clientId")
            page.wait_for_url(re.compile("/login"))
            browser.fill_card(page)
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.wait_for_url(re.compile("/sessions$"))
            page.get_by_text("Session ended: not used for a while").wait_for()  # it has read both lists anew
            assert page.evaluate("window.clientId") == tab
            expect(page.get_by_text("root@pam is signed in nowhere else.")).to_be_visible()
            expect(rows(page)).to_have_count(1)
            expect(rows(page)).to_contain_text("This one")
            expect(page.get_by_role("button", name=re.compile("^End "))).to_have_count(0)
            context.close()
