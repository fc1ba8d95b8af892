"""Every other way in, in a real browser: second factors, API tokens, a wait, a certificate to trust, several nodes."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from services.anchors import Anchors
from services.auth.limiter import PER_ACCOUNT
from services.keys import KeyRing
from services.proxmox import Anchor
from services.simulator import Account, Fault, Simulator
from services.simulator.household import ACCOUNTS
from services.store.connection import Store
from tests import browser, harness
from tests.conftest import forget_failures

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PREFIX = "accounts:"
WORD = "demo"
APP = "PROXGATETESTPROXGATETESTPROXGATE"
KEYS = ("1f0a-22c3-9d4e-07b1", "5b6c-83d2-f1a0-4e97", "c0de-7a51-3e88-b2f4", "90ab-4d1c-65f7-e332")
TOKEN, TOKEN_SECRET = "alice@pve!dashboard", "5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c"
NARROW, NARROW_SECRET = "alice@pve!narrow", "b7e61d20-3c98-4f5e-8a17-6d5c4b3a2f1e"

# A code is good once, so who uses one up is a person of one test.
WITH_APP = ("anton", "berta", "clara", "doris")
HOUSE = (
    *ACCOUNTS,
    *(Account(userid=f"{name}@pve", password=WORD, totp_secret=APP) for name in WITH_APP),
    Account(userid="four@pve", password=WORD, totp_secret=APP, recovery=KEYS),
    Account(userid="three@pve", password=WORD, recovery=KEYS[:3]),
    Account(userid="last@pve", password=WORD, recovery=KEYS[:1]),
    Account(userid="both@pve", password=WORD, totp_secret=APP, recovery=KEYS),
)
SETTINGS = {"SESSION_SECRET": harness.SECRET}


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def pve():
    with harness.simulator(seed=7, speed=10.0, accounts=HOUSE) as running:
        yield running


@pytest.fixture(scope="module")
def site(valkey_url, pve):
    settings = {**SETTINGS, "STORE_PREFIX": PREFIX, **harness.for_proxmox(pve)}
    with harness.proxgate(REDIS_URL=valkey_url, **settings) as up:
        yield up


@pytest.fixture(autouse=True)
def calm(valkey_url):
    forget_failures(valkey_url)


@pytest.fixture
def context(chromium, site):
    opened = chromium.new_context(base_url=site.url)
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def tab(context):
    watched = browser.Watched(context)
    yield watched
    assert watched.mistakes() == []


def password(page, username, path="/"):
    """Through the first card to the second step's."""
    browser.card(page, path)
    browser.fill_card(page, username, "pve", WORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="One more step").wait_for()
    return page


def wrong(pve, userid):
    """A code that the authenticator app does not show."""
    return f"{(int(pve.totp(userid)) + 1) % 1_000_000:06d}"


def asked(pve, path="/access/ticket"):
    """How often Proxmox was asked there."""
    return sum(one.path == path for one in tuple(pve.requests))


def cookies(context):
    return {cookie["name"]: cookie["value"] for cookie in context.cookies()}


# ------------------------------------------------------------------------------------------------------ several nodes


@pytest.fixture(scope="module")
def outage(chromium, valkey_url):
    """An overview whose first node went away and came back; what it showed. The tests in between are its patience."""
    house = harness.InThread(Simulator(speed=10.0, doors=2))
    with house as pve:
        first, second = pve.addresses
        settings = {
            **SETTINGS,
            "REDIS_URL": valkey_url,
            "STORE_PREFIX": "several:",
            "PROXMOX_HOST": f"{first},{second}",
            "PROXMOX_FINGERPRINT": ",".join(pve.fingerprints.values()),
        }
        with harness.proxgate(**settings) as up:
            context = chromium.new_context(base_url=up.url)
            page = browser.card(browser.Watched(context).page)
            browser.sign_in(page)
            page.get_by_role("article").first.wait_for()
            seen = {"page": page, "address": str(first), "before": page.get_by_text("Not reachable").is_visible()}
            house.call(pve.close_door(first))
            page.get_by_text(str(first)).wait_for(timeout=15_000)
            cells, asked_then = page.locator(".pg-busiest tbody"), time.monotonic()
            shown = cells.inner_text()
            harness.until(lambda: page.wait_for_timeout(200) or cells.inner_text() != shown, 15)
            seen["moved"] = time.monotonic() - asked_then
            seen["notice"] = page.locator(".pg-unreached").inner_text()
            seen["trouble"] = page.get_by_text("This is the last picture").is_visible()
            house.call(pve.open_door(first))
            seen["opened"] = time.monotonic()
            yield seen
            context.close()


def test_an_overview_outlives_a_node(outage):
    """With one of two addresses gone the figures go on, and a notice names the one that cannot be reached, and why."""
    assert not outage["before"]
    assert outage["address"] in outage["notice"]
    assert "refused the connection" in outage["notice"]
    assert not outage["trouble"]
    assert outage["moved"] < 15


# ------------------------------------------------------------------------------------------------------ second factor


def test_a_code_by_enter_leads_to_the_deep_link(tab, pve):
    """Typing six digits sends nothing; Enter sends them, and leads to where the person wanted to go."""
    page = password(tab.page, "anton", "/nowhere?x=1")
    field = page.get_by_label("Authenticator code")
    expect(field).to_be_focused()
    expect(page.get_by_role("button", name="Verify")).to_be_visible()
    before, sent = asked(pve), len(tab.addresses)
    page.keyboard.type(pve.totp("anton@pve"))
    page.wait_for_timeout(500)
    told = [one for one in tab.addresses[sent:] if "/_nicegui/" not in one]  # what the next page needs comes meanwhile
    assert (asked(pve), told) == (before, [])
    field.fill(pve.totp("anton@pve"))  # half a second is five of Proxmox's here
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Page not found").wait_for()
    assert page.url.endswith("/nowhere?x=1")
    expect(page.get_by_text("anton@pve")).to_be_visible()


FILLED = """(field, code) => {
    field.value = code;
    field.dispatchEvent(new InputEvent("input", {bubbles: true, inputType: "insertReplacementText", data: code}));
}"""


def test_a_code_that_was_filled_in_sends_itself(tab, pve):
    """What the keyboard suggests or a password manager fills in needs no further touch."""
    page = password(tab.page, "berta")
    page.get_by_label("Authenticator code").evaluate(FILLED, pve.totp("berta@pve"))
    page.get_by_role("heading", name="Overview").wait_for()


def test_a_wrong_code_is_told_in_place_and_may_be_tried_again(tab, pve):
    """The refusal stands on the card, the field has the focus, and the next code is taken."""
    page = password(tab.page, "clara")
    field = page.get_by_label("Authenticator code")
    field.fill(wrong(pve, "clara@pve"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    expect(field).to_be_focused()
    page.keyboard.type(pve.totp("clara@pve"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()


def test_half_a_sign_in_opens_nothing(tab, context, pve):
    """Between password and code there is no session: the step's cookie, under either name, opens nothing."""
    page = password(tab.page, "doris")
    held = cookies(context)
    assert "proxgate" not in held
    context.add_cookies([{"name": "proxgate", "value": held["proxgate-step"], "url": page.url}])
    page.goto("/")
    expect(page.get_by_label("Username")).to_be_visible()
    context.clear_cookies(name="proxgate")
    page.goto("/login/verify")
    page.get_by_label("Authenticator code").fill(pve.totp("doris@pve"))
    page.get_by_role("button", name="Verify").click()
    page.get_by_role("heading", name="Overview").wait_for()
    assert "proxgate" in cookies(context)
    assert "proxgate-step" not in cookies(context)


def test_the_kind_last_used_is_open_first(tab):
    """A recovery code is taken in odd spacing and upper case; this device then opens with recovery codes."""
    page = password(tab.page, "both")
    expect(page.get_by_label("Recovery code")).to_be_hidden()
    page.get_by_role("button", name="Use a recovery code").click()
    expect(page.get_by_label("Authenticator code")).to_be_hidden()
    field = page.get_by_label("Recovery code")
    expect(field).to_be_focused()
    field.fill(" 1F0A22C3 9d4e-07B1  ")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/login"))
    password(page, "both")
    expect(page.get_by_label("Recovery code")).to_be_focused()
    expect(page.get_by_label("Authenticator code")).to_be_hidden()
    expect(page.get_by_text("Only 3 recovery codes are left")).to_be_visible()
    field.fill(KEYS[0])
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")


@pytest.mark.parametrize(
    ("username", "words"),
    [("three", "Only 3 recovery codes are left"), ("last", "This is the last recovery code"), ("four", "")],
)
def test_few_recovery_codes_are_said(tab, username, words):
    """With three recovery codes left, or one, the card says so; with four it does not."""
    page = password(tab.page, username)
    if username == "four":
        page.get_by_role("button", name="Use a recovery code").click()
    expect(page.get_by_label("Recovery code")).to_be_focused()
    if words:
        expect(page.locator("#verify-recovery").get_by_text(words)).to_be_visible()
    else:
        expect(page.get_by_text("recovery codes are left")).to_have_count(0)


def test_a_yubico_code_signs_in(tab, pve):
    """A Yubico key types its code and Enter by itself."""
    page = password(tab.page, "yuri")
    expect(page.get_by_label("YubiKey code")).to_be_focused()
    page.keyboard.type(pve.yubico("yuri@pve"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()


def test_an_account_with_u2f_only_gets_its_sentence(tab):
    """What no browser can answer is said, with no form that could not help, and a way back."""
    page = password(tab.page, "olaf")
    expect(page.get_by_role("alert")).to_contain_text("second factor is U2F, which browsers no longer support")
    expect(page.get_by_role("button", name="Verify")).to_have_count(0)
    page.get_by_role("link", name="Back to sign-in").click()
    expect(page.get_by_label("Username")).to_be_visible()


EXPIRED = "This sign-in took too long, or began in another browser. Please sign in again."


def forget_steps(valkey_url):
    """As after five minutes."""
    with harness.admin(valkey_url) as store:
        store.delete(*store.keys(f"{PREFIX}challenge:*"))


def test_a_step_that_took_too_long_leads_back(tab, valkey_url):
    """A code for a step that is over is told so in place; its card, opened again, leads back with the same sentence."""
    page = password(tab.page, "four")
    forget_steps(valkey_url)
    page.get_by_label("Authenticator code").fill("123456")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(EXPIRED)
    page.goto("/login/verify?next=/nowhere")
    expect(page.get_by_role("alert")).to_have_text(EXPIRED)
    assert "next=/nowhere" in page.url
    expect(page.get_by_label("Username")).to_be_visible()


@pytest.mark.parametrize("value", ["", "garbage", "proxgate-browser"])
def test_a_step_that_never_was_leads_back(tab, context, value):
    """Without a step's cookie, or with one that is none, the second card is the first with its sentence."""
    page = browser.card(tab.page, "/login")
    if value:
        held = cookies(context).get(value, value)
        context.add_cookies([{"name": "proxgate-step", "value": held, "url": page.url}])
    page.goto("/login/verify")
    expect(page.get_by_role("alert")).to_have_text(EXPIRED)


def test_the_keyboard_is_enough_for_two_steps(tab, pve):
    """Name, realm, password, another way and a code, with no touch of the mouse."""
    page = browser.card(tab.page, "/login")
    page.keyboard.type("bob")
    page.keyboard.press("Tab")
    page.keyboard.type("Proxmox VE")
    page.keyboard.press("Tab")
    page.keyboard.type(WORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Authenticator code")).to_be_focused()
    seen = []
    for _ in range(4):
        seen.append(page.evaluate("document.activeElement.textContent || document.activeElement.id"))
        page.keyboard.press("Tab")
    assert seen == ["code-totp", "Verify", "Use a recovery code", "Back to sign-in"]
    page.get_by_label("Authenticator code").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Recovery code")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.get_by_role("button", name="Use the authenticator app").press("Enter")
    expect(page.get_by_label("Authenticator code")).to_be_focused()
    page.keyboard.type(pve.totp("bob@pve"))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()


@pytest.mark.parametrize("username", ["four", "three", "yuri", "olaf"])
def test_the_second_card_is_accessible(tab, username):
    """axe finds nothing serious on the second step, whatever it asks for, by light and in the dark."""
    page = password(tab.page, username)
    assert browser.serious(page) == []


# ---------------------------------------------------------------------------------------------------------- API token


def token(page, tokenid=TOKEN, secret=TOKEN_SECRET):
    """Type into the token's card."""
    page.get_by_label("Token ID").fill(tokenid)
    page.get_by_label("Token secret").fill(secret)
    page.keyboard.press("Enter")


def test_an_api_token_signs_in(tab):
    """The card has a way for those who have only a token; the token is shown as who is signed in, deep link kept."""
    page = browser.card(tab.page, "/nowhere")
    page.get_by_role("link", name="Use an API token instead").click()
    expect(page.get_by_label("Token ID")).to_be_focused()
    assert browser.serious(page) == []
    token(page)
    page.get_by_role("heading", name="Page not found").wait_for()
    assert page.url.endswith("/nowhere")
    expect(page.get_by_text(TOKEN)).to_be_visible()


def test_a_wrong_secret_is_told_in_place(tab, context):
    """A refused token is told like a refused password, and the token's id is kept."""
    page = tab.page
    page.goto("/login?with=token")
    token(page, secret="0" * 36)
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    expect(page.get_by_label("Token ID")).to_have_value(TOKEN)
    expect(page.get_by_label("Token secret")).to_be_focused()
    assert "proxgate" not in cookies(context)
    page.get_by_role("link", name="Use an account instead").click()
    expect(page.get_by_label("Username")).to_be_visible()


def test_a_token_is_not_its_owner(tab, chromium, site):
    """A narrow token sees its one guest while its owner, signed in at the same time, sees them all."""
    tab.page.goto("/login?with=token")
    token(tab.page, NARROW, NARROW_SECRET)
    other = chromium.new_context(base_url=site.url)
    owner = browser.card(browser.Watched(other).page)
    browser.sign_in(owner, username="alice", realm="pve")
    expect(owner.locator(".pg-busiest tbody tr")).to_have_count(10)
    expect(tab.page.get_by_role("cell", name="homeassistant")).to_be_visible()
    expect(tab.page.locator(".pg-busiest tbody tr")).to_have_count(1)
    expect(tab.page.get_by_text(NARROW)).to_be_visible()
    expect(owner.get_by_text(NARROW)).to_have_count(0)
    other.close()


def test_a_token_is_no_password(tab, pve):
    """A token's name and secret in the form for accounts are refused, and Proxmox never hears of them."""
    page = browser.card(tab.page, "/login")
    before = asked(pve), asked(pve, "/version")
    browser.fill_card(page, "alice!dashboard", "pve", TOKEN_SECRET)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    assert (asked(pve), asked(pve, "/version")) == before


def test_the_tokens_card_tells_of_an_outage_by_itself(chromium, valkey_url):
    """Who has only a token reads that Proxmox is down, and why, before anything is sent."""
    with harness.simulator(speed=10.0) as down:
        down.fault = Fault(status=595)
        settings = {**SETTINGS, "STORE_PREFIX": "token-down:", **harness.for_proxmox(down)}
        with harness.proxgate(REDIS_URL=valkey_url, **settings) as up:
            context = chromium.new_context(base_url=up.url)
            page = context.new_page()
            page.goto("/login?with=token")
            notice = page.get_by_role("status").filter(has_text="Unable to reach the Proxmox server")
            expect(notice).to_contain_text("Its API service is down.")
            assert asked(down, "/version") == 0
            context.close()


# ------------------------------------------------------------------------------------------------- what Proxmox says


@pytest.mark.parametrize("status", [595, 596])
def test_an_outage_at_the_sign_in_says_more(tab, pve, status):
    """With Proxmox's daemon down behind its proxy the card says that, keeps what was typed, and works again after."""
    page = browser.card(tab.page, "/login")
    pve.fault = Fault(path="/access/ticket", status=status)
    browser.fill_card(page, "alice", "pve")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Unable to reach the Proxmox server")
    expect(page.get_by_role("status").filter(has_text="Its API service is down.")).to_be_visible()
    pve.fault = Fault()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def test_clocks_that_differ_are_hinted_at(tab, pve):
    """A refusal while the clocks differ by more than five minutes says so beside it, and stops when they agree."""
    page = browser.card(tab.page, "/login")
    hint = page.get_by_text("The clocks of Proxgate and Proxmox differ by more than five minutes.")
    for skew in (400, 0):
        pve.skew = skew
        browser.fill_card(page, "alice", "pve", "wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
        expect(hint).to_be_visible(visible=bool(skew))


# ---------------------------------------------------------------------------------------------------------- countdown


def seconds(page):
    """Those that the alert tells."""
    words = page.get_by_role("alert").inner_text()
    return int(re.fullmatch(r"Too many attempts\. Try again in (\d+) seconds", words)[1])


def test_the_card_counts_down(tab, site, pve, valkey_url):
    """After too many failures the seconds go down and nothing is sent; at their end the form works again."""
    page = tab.page
    page.clock.install()
    browser.card(page, "/login")
    with site.client() as stranger, ThreadPoolExecutor(5) as pool:
        answers = pool.map(lambda _: harness.sign_in(stranger, "kid", "pve", "wrong"), range(PER_ACCOUNT))
        assert {answer.status_code for answer in answers} == {401}
    browser.fill_card(page, "kid", "pve")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")
    told = seconds(page)
    assert 20 < told <= 30
    button = page.get_by_role("button", name="Sign in")
    expect(button).to_have_attribute("aria-disabled", "true")
    harness.until(lambda: page.wait_for_timeout(100) or seconds(page) <= told - 2, 5)
    sent, before = len(tab.addresses), asked(pve)
    button.click(force=True)
    page.get_by_label("Password", exact=True).press("Enter")
    page.wait_for_timeout(200)
    assert (tab.addresses[sent:], asked(pve)) == ([], before)
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")
    page.clock.fast_forward(told * 1000)
    expect(page.get_by_role("alert")).to_have_text("")
    expect(button).to_have_attribute("aria-disabled", "false")
    forget_failures(valkey_url)
    button.click()
    page.get_by_role("heading", name="Overview").wait_for()


def test_another_kind_does_not_hide_the_wait(tab, site):
    """Who turns to another second factor while waiting still reads why nothing is sent, and for how long."""
    page = password(tab.page, "four")
    with site.client() as stranger, ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: harness.sign_in(stranger, "four", "pve", "wrong"), range(PER_ACCOUNT)))
    page.get_by_label("Authenticator code").fill("123456")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")
    page.get_by_role("button", name="Use a recovery code").click()
    expect(page.get_by_label("Recovery code")).to_be_focused()
    expect(page.get_by_role("button", name="Verify")).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")


# -------------------------------------------------------------------------------------------------------------- trust

CODE = re.compile(r"^ {2}((?:[0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4})$", re.MULTILINE)


@pytest.fixture
def new_house(valkey_url):
    """A program that was told of its Proxmox's address and nothing else, and that Proxmox."""
    with harness.simulator(speed=10.0) as pve:
        settings = {**SETTINGS, "STORE_PREFIX": "first-use:", "PROXMOX_HOST": str(pve.address)}
        with harness.proxgate(REDIS_URL=valkey_url, **settings) as up:
            yield up, pve


def test_a_certificate_is_trusted_by_the_code_that_was_printed(chromium, new_house):
    """The card names the fingerprint; the printed code makes the realms appear with no restart, and is good once."""
    up, pve = new_house
    code = harness.until(lambda: CODE.search(up.output()), 10)[1]
    assert pve.fingerprint in up.output()
    context, other = chromium.new_context(base_url=up.url), chromium.new_context(base_url=up.url)
    tab = browser.Watched(context)
    page, waiting = browser.card(tab.page, "/login"), browser.card(browser.Watched(other).page, "/login")
    expect(page.get_by_role("status").filter(has_text="is not trusted")).to_contain_text(pve.fingerprint)
    page.get_by_role("link", name="Enter the code that it printed").click()
    expect(page.get_by_label("Code")).to_be_focused()
    assert browser.serious(page) == []
    page.keyboard.type(code.lower().replace("-", " "))
    page.keyboard.press("Enter")
    for card in (page, waiting):
        expect(card.get_by_label("Realm").locator("option")).to_have_count(3, timeout=12_000)
        expect(card.get_by_text("is not trusted")).to_have_count(0)
        expect(card.get_by_role("link", name="Enter the code that it printed")).to_be_hidden()
    waiting.goto("/trust")
    waiting.get_by_label("Code").fill(code)
    waiting.get_by_role("button", name="Trust this certificate").click()
    expect(waiting.get_by_role("alert")).to_have_text("That code is not valid. Each works once, for a day.")
    browser.sign_in(page)
    assert tab.mistakes() == []
    context.close()
    other.close()


def test_a_certificate_that_changes_under_an_overview(chromium, valkey_url):
    """The overview names both fingerprints and keeps its picture; once the new one is trusted it lives on by itself."""
    house = harness.InThread(Simulator(speed=10.0))
    with house as pve:
        keep = _trusting(house, valkey_url, "changed:", str(pve.address))
        keep(before := pve.fingerprint)
        settings = {**SETTINGS, "STORE_PREFIX": "changed:", "PROXMOX_HOST": str(pve.address)}
        with harness.proxgate(REDIS_URL=valkey_url, **settings) as up:
            context = chromium.new_context(base_url=up.url)
            page = browser.card(context.new_page())
            browser.sign_in(page)
            page.get_by_role("article").first.wait_for()
            pve.replace_certificate()
            house.call(pve.close_door(pve.address))
            house.call(pve.open_door(pve.address))
            trouble = page.locator(".pg-trouble").get_by_role("status")
            expect(trouble).to_contain_text("has changed and is not trusted", timeout=15_000)
            expect(trouble).to_contain_text(f"Its fingerprint is {pve.fingerprint}.")
            expect(trouble).to_contain_text(f"Expected was {before}.")
            expect(trouble).to_contain_text("runs proxgate trust")
            expect(page.get_by_role("article")).to_have_count(3)
            keep(pve.fingerprint)
            expect(trouble).to_be_hidden(timeout=15_000)
            expect(page.locator(".pg-stale")).to_have_count(0)
            context.close()


def _trusting(house, valkey_url, prefix, address):
    """Trusts a certificate at this address from now on, as `proxgate trust` does beside a running server."""

    async def keep(fingerprint):
        store = Store.open(SecretStr(valkey_url), prefix)
        await Anchors(store, KeyRing(SecretStr(harness.SECRET))).keep(address, Anchor(fingerprint=fingerprint))
        await store.aclose()

    return lambda fingerprint: house.call(keep(fingerprint))


# ------------------------------------------------------------------------------------------------ several nodes, again


def test_the_notice_goes_when_the_node_is_back(outage):
    """An address that answers again is found by itself, and the notice goes."""
    left = outage["opened"] + 40 - time.monotonic()
    expect(outage["page"].locator(".pg-unreached")).to_be_hidden(timeout=max(left, 1) * 1000)
    expect(outage["page"].get_by_role("article")).to_have_count(3)
