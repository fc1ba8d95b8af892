"""OpenID realms in a real browser: there, back, and every way that a trip can end otherwise."""

import contextlib
import re
import socket
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from services.auth.realms import FRESH_SECONDS
from services.simulator import Account, OpenIdRealm
from services.simulator.household import ACCOUNTS
from tests import browser, harness
from tests.conftest import forget_failures

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXPIRED = "This sign-in took too long, or began in another browser. Please sign in again."
SSO = "Simulated single sign-on"
BACK = re.compile(r"/login/openid\?")
GONE = "Proxmox does not offer this realm any more. Please choose another."


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def mock():
    """A provider by other hands, as a process of its own; its issuer."""
    port = harness.free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    issuer = f"http://127.0.0.1:{port}"
    try:
        harness.until(lambda: _answers(issuer), 15, 0.05)
        yield issuer
    finally:
        process.terminate()
        process.wait(5)


def _answers(issuer):
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{issuer}/jwks", trust_env=False)
    return None


@pytest.fixture(scope="module")
def gone():
    """A provider that is down: a port that is taken and not listened on; its issuer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="module")
def pve(mock, gone):
    realms = {
        "mock": OpenIdRealm(issuer=mock, client_id="proxgate", client_secret="a:secret+"),
        "gone": OpenIdRealm(issuer=gone, client_id="proxgate"),
        "retired": OpenIdRealm(issuer=gone, client_id="proxgate"),
    }
    accounts = (*ACCOUNTS, Account(userid="anna@mock", password=""))
    with harness.simulator(seed=7, speed=10.0, accounts=accounts, provider=True, openid=realms) as running:
        yield running


@pytest.fixture(scope="module")
def site(valkey_url, pve):
    settings = {"SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "openid:", **harness.for_proxmox(pve)}
    with harness.proxgate(REDIS_URL=valkey_url, **settings) as up:
        yield up


@pytest.fixture(autouse=True)
def calm(valkey_url):
    forget_failures(valkey_url)


def opened(chromium, site):
    context = chromium.new_context(base_url=site.url)
    context.set_default_timeout(10_000)
    context.route(re.compile("jsdelivr"), lambda route: route.abort())  # the other provider's style
    return context


@pytest.fixture
def context(chromium, site):
    made = opened(chromium, site)
    yield made
    made.close()


@pytest.fixture
def tab(context):
    watched = browser.Watched(context)
    yield watched
    assert watched.mistakes() == []


@pytest.fixture(scope="module", autouse=True)
def left_open(chromium, site, pve):
    """A card with two realms that Proxmox has no more, and since when. The tests in between are its patience."""
    made = opened(chromium, site)
    page = browser.card(made.new_page(), "/login")
    for realm in ("retired", "home"):
        del pve._directory.realms[realm]  # as an administrator may at any time
    yield page, time.monotonic()
    made.close()


def leave(page, path="/login", realm="sso"):
    """To the provider's page."""
    browser.card(page, path)
    page.get_by_label("Realm").select_option(realm)
    page.get_by_role("button", name="Continue with").click()
    return page


def leave_for_ours(page, path="/login"):
    leave(page, path)
    page.get_by_role("heading", name="Simulated provider").wait_for()
    return page


def returned(tab):
    """The address by which the provider sent the browser back, the latest."""
    return [address for address in tab.addresses if BACK.search(address)][-1]


def withheld(page, person="anna"):
    """What a person's button does, but the way back is kept from the browser; its address."""
    form = page.locator("form").evaluate("(form) => Object.fromEntries(new FormData(form))")
    url = str(httpx.URL(page.url).join("/authorize"))
    return httpx.post(url, data={**form, "answer": f"as {person}"}, trust_env=False).headers["location"]


def is_signed_in(context):
    return any(cookie["name"] == "proxgate" for cookie in context.cookies())


def test_a_providers_realm_asks_for_neither_name_nor_password(tab):
    """Choosing it hides both fields and names where the button leads; another realm brings them back."""
    page = browser.card(tab.page, "/login")
    page.get_by_label("Realm").select_option("sso")
    expect(page.get_by_label("Username")).to_be_hidden()
    expect(page.get_by_label("Password", exact=True)).to_be_hidden()
    expect(page.get_by_role("button", name=f"Continue with {SSO}")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_have_count(0)
    assert browser.serious(page) == []
    page.get_by_label("Realm").select_option("pve")
    expect(page.get_by_label("Username")).to_be_visible()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_the_trip_signs_in_and_keeps_the_deep_link(tab, site, pve):
    """There and back again: who the provider named is signed in, where they wanted to go, by keyboard alone."""
    page = browser.card(tab.page, "/nowhere?x=1")
    page.get_by_label("Realm").focus()
    page.keyboard.type(SSO[:6])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Simulated provider").wait_for()
    page.get_by_role("button", name="anna", exact=True).press("Enter")
    page.get_by_role("heading", name="Page not found").wait_for()
    assert page.url == f"{site.url}/nowhere?x=1"
    expect(page.get_by_text("anna@sso")).to_be_visible()
    trips = [one for one in pve.requests if one.path.startswith("/access/openid/")]
    assert {one.parameters["redirect-url"] for one in trips} == {f"{site.url}/login/openid"}


def test_the_trip_to_a_provider_by_other_hands(tab, site):
    """With a provider that is not ours the trip signs in as well, deep link and all."""
    page = leave(tab.page, "/nowhere", "mock")
    page.get_by_role("heading", name="Authorize Client").wait_for()
    page.get_by_placeholder("sub").fill("anna")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_role("heading", name="Page not found").wait_for()
    assert page.url == f"{site.url}/nowhere"
    expect(page.get_by_text("anna@mock")).to_be_visible()


def test_a_provider_by_other_hands_denies(tab, context):
    """The other provider's denial, which forgets the state, leads back to the card with a word, and signs nobody in."""
    page = leave(tab.page, realm="mock")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_label("Realm")).to_be_visible()
    expect(page.get_by_role("alert")).not_to_have_text("")
    assert not is_signed_in(context)


def test_a_name_with_an_at_sign_of_its_own(tab):
    """A userid with two @ signs in, and is shown whole."""
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="anna@example.org").click()
    page.get_by_role("heading", name="Overview").wait_for()
    expect(page.get_by_text("anna@example.org@sso")).to_be_visible()
    expect(page.locator(".pg-busiest tbody tr")).to_have_count(10)


def test_who_refuses_at_the_provider_is_back_at_the_card(tab, context):
    """ "Refuse" leads back to the card, which says so; nobody is signed in, and the next trip works."""
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("alert")).to_have_text("The provider did not let you sign in")
    assert not is_signed_in(context)
    leave_for_ours(page)
    page.get_by_role("button", name="anna", exact=True).click()
    page.get_by_role("heading", name="Overview").wait_for()


def test_a_provider_that_is_down_is_told_in_place(tab):
    """When Proxmox does not reach the provider the card stays and says so, and can be used on."""
    page = leave(tab.page, realm="gone")
    expect(page.get_by_role("alert")).to_have_text("Proxmox could not start the sign-in at this realm's provider")
    assert urlsplit(page.url).path == "/login"
    expect(page.get_by_role("button", name="Continue with gone")).to_be_visible()
    expect(page.get_by_label("Username")).to_be_hidden()
    page.get_by_label("Realm").select_option("pve")
    browser.sign_in(page, username="alice", realm="pve")


def test_whom_proxmox_does_not_know_is_told(tab, context, pve):
    """A person whom the provider names and Proxmox refuses reads that it was not the provider."""
    pve.disable("anna@sso")
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="anna", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    expect(page.get_by_text("Proxmox did not accept what the provider sent; it does not say why.")).to_be_visible()
    assert not is_signed_in(context)
    pve.enable("anna@sso")


def test_a_return_is_good_once(tab, context):
    """After signing out, the address of the return is worth nothing and says so."""
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="anna", exact=True).click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/login"))
    page.goto(returned(tab))
    expect(page.get_by_role("alert")).to_have_text(EXPIRED)
    assert not is_signed_in(context)


def test_a_return_belongs_to_its_browser(tab, context, chromium, site):
    """Another browser cannot end the trip, and the one that began it still can."""
    address = withheld(leave_for_ours(tab.page))
    other = opened(chromium, site)
    page = other.new_page()
    for _ in range(2):  # without a browser's id, and with that of a visitor
        page.goto(address)
        expect(page.get_by_role("alert")).to_have_text(EXPIRED)
        assert not is_signed_in(other)
    other.close()
    tab.page.goto(address)
    tab.page.get_by_role("heading", name="Overview").wait_for()


def test_a_state_of_somebody_else_is_refused(tab, context, chromium, site):
    """A code under another trip's state, or under none that we know, signs nobody in: no login can be foisted."""
    address = withheld(leave_for_ours(tab.page))
    code = parse_qs(urlsplit(address).query)["code"][0]
    other = opened(chromium, site)
    theirs = withheld(leave_for_ours(other.new_page()))
    state = parse_qs(urlsplit(theirs).query)["state"][0]
    other.close()
    for foreign in (state, "nobody's", ""):
        tab.page.goto(f"/login/openid?{httpx.QueryParams(state=foreign, code=code)}")
        expect(tab.page.get_by_role("alert")).to_have_text(EXPIRED)
        assert not is_signed_in(context)


def test_coming_back_once_more_does_no_harm(tab, site, pve):
    """Back, and through the provider again: who is signed in already is on the overview, signed in as before."""
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="anna", exact=True).click()
    page.get_by_role("heading", name="Overview").wait_for()
    before = sum(one.path == "/access/openid/login" for one in pve.requests)
    page.goto(returned(tab))
    page.get_by_role("heading", name="Overview").wait_for()
    page.go_back()
    page.go_back()
    page.get_by_role("heading", name="Simulated provider").wait_for()
    page.get_by_role("button", name="anna@example.org").click()
    page.get_by_role("heading", name="Overview").wait_for()
    assert page.url == f"{site.url}/"
    expect(page.get_by_text("anna@sso")).to_be_visible()
    assert sum(one.path == "/access/openid/login" for one in pve.requests) == before


def test_the_realm_is_remembered(tab):
    """The next visit has the provider's realm chosen, and its button waits for Enter."""
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="Refuse").click()
    page.get_by_role("alert").get_by_text("did not let you").wait_for()
    expect(page.get_by_label("Realm")).to_have_value("sso")
    expect(page.get_by_role("button", name=f"Continue with {SSO}")).to_be_visible()
    expect(page.get_by_label("Username")).to_be_hidden()


def fail_often(site):
    """As many failures as an address may have."""
    started = time.monotonic()
    with site.client() as stranger:
        for number in range(30):
            answer = stranger.post("/trust", data={"code": str(number)}, headers={"Accept": "application/json"})
            assert answer.status_code == 401
    assert time.monotonic() - started < 15


def test_the_next_visit_is_one_key_away(tab):
    """With a provider's realm remembered its button has the focus, and Enter leads to the provider."""
    page = leave_for_ours(tab.page)
    page.get_by_role("button", name="Refuse").click()
    page.get_by_role("alert").get_by_text("did not let you").wait_for()
    page.goto("/login")
    expect(page.get_by_role("button", name=f"Continue with {SSO}")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Simulated provider").wait_for()


def test_the_return_is_limited(tab, context, site):
    """A return beyond the address's failures is told to wait, and Proxmox is not asked."""
    address = withheld(leave_for_ours(tab.page))
    fail_often(site)
    tab.page.goto(address)
    expect(tab.page.get_by_role("alert")).to_contain_text("Too many attempts. Try again in")
    assert not is_signed_in(context)


def test_a_return_that_has_to_wait_counts_down(tab, site):
    """The card that a refused return leads to counts the seconds down, and is a card as any other at their end."""
    page = tab.page
    address = withheld(leave_for_ours(page))
    fail_often(site)
    page.clock.install()
    page.goto(address)
    alert, button = page.get_by_role("alert"), page.get_by_role("button", name=f"Continue with {SSO}")
    expect(button).to_have_attribute("aria-disabled", "true")
    told = int(alert.get_attribute("data-wait"))
    assert 20 < told <= 30
    page.clock.fast_forward(10_000)
    expect(alert).to_have_text(re.compile(rf"Try again in ({'|'.join(str(told - n) for n in range(10, 15))}) seconds"))
    page.clock.fast_forward(20_000)
    expect(alert).to_have_text("")
    expect(button).to_have_attribute("aria-disabled", "false")


def test_a_realm_that_went_while_the_card_was_open(left_open):
    """Who chooses a realm that Proxmox offers no more, on a card from before, reads that, whatever kind it was."""
    page, since = left_open
    time.sleep(max(0.0, since + FRESH_SECONDS + 1 - time.monotonic()))
    page.get_by_label("Realm").select_option("retired")
    page.get_by_role("button", name="Continue with retired").click()
    expect(page.get_by_role("alert")).to_have_text(GONE)
    page.get_by_label("Realm").select_option("home")
    browser.fill_card(page, "maria", "home")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    expect(page.get_by_role("status").filter(has_text=GONE)).to_be_visible()
