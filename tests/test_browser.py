"""The whole way in a real browser: from the login card to the guests and out again."""

import contextlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, Route, expect

from services.simulator import Fault
from tests import browser, harness, outside
from tests.conftest import forget_failures

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}
CANARY = "canary-password-7f3a"


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
        REDIS_URL=valkey_url, SESSION_SECRET=harness.SECRET, STORE_PREFIX="browser:", **settings
    ) as up:
        yield up


@pytest.fixture(autouse=True)
def calm(pve, valkey_url):
    forget_failures(valkey_url)
    yield
    pve.fault = Fault()


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
    # An answer that is no success is noted by the browser itself; everything else is a mistake of ours.
    assert [words for words in watched.complaints if not words.startswith(NOTED)] == []


NOTED = ("Failed to load resource: ", "WebSocket connection to ", "Framing ", "Refused to frame ")


def card(tab, path="/"):
    """Open an address, and wait for the login card with its realms."""
    tab.page.goto(path)
    expect(tab.page.get_by_label("Realm").locator("option")).not_to_have_count(0)
    return tab.page


def test_a_person_signs_in_and_sees_their_guests(tab, pve):
    """The main job: account and password in, the account's own nodes and guests on the screen."""
    page = card(tab)
    assert page.url.endswith("/login?next=/")
    browser.sign_in(page)
    expect(page.get_by_role("article")).to_have_count(3)
    expect(page.get_by_role("link", name="Running")).to_be_visible()
    expect(page.locator(".pg-busiest tbody tr")).to_have_count(10)
    expect(page.get_by_text("root@pam")).to_be_visible()
    assert page.title().endswith("Proxgate")
    browser.see_guest(page, "homeassistant")
    assert tab.complaints == []


def test_the_card_offers_the_realms_of_proxmox_by_their_comments(tab):
    """The dropdown holds what Proxmox lists, labelled by comment, with Proxmox's own default chosen."""
    page = card(tab)
    options = page.get_by_label("Realm").locator("option")
    assert sorted(options.all_inner_texts()) == [
        "Home directory",
        "Linux PAM standard authentication",
        "Proxmox VE authentication server",
    ]
    expect(page.get_by_label("Realm")).to_have_value("pve")


def test_a_wrong_password_is_told_in_place(tab):
    """The refusal stands on the card; username and realm are kept and the focus is back on the password."""
    page = card(tab, "/login")
    browser.fill_card(page, password="wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    expect(page.get_by_label("Username")).to_have_value("root")
    expect(page.get_by_label("Realm")).to_have_value("pam")
    assert page.url.endswith("/login")


def test_the_button_turns_and_nothing_is_sent_twice(tab, pve):
    """From submit to answer a spinner shows, and however often one clicks Proxmox is asked once."""
    page = card(tab, "/login")
    pve.fault = Fault(path="/access/ticket", delay=1.0)
    browser.fill_card(page)
    before = len([one for one in pve.requests if one.path == "/access/ticket"])
    button = page.locator("#submit")
    button.evaluate("(button) => { for (let i = 0; i < 5; i++) button.click(); }")
    page.get_by_label("Password", exact=True).press("Enter")
    expect(button).to_have_attribute("aria-busy", "true")
    expect(page.locator(".pg-spinner")).to_be_visible()
    page.get_by_role("heading", name="Overview").wait_for()
    assert len([one for one in pve.requests if one.path == "/access/ticket"]) == before + 1


def test_people_come_to_where_they_wanted_to_go(tab):
    """A deep link survives the sign-in."""
    page = card(tab, "/nowhere?x=1")
    browser.fill_card(page)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Page not found").wait_for()
    assert page.url.endswith("/nowhere?x=1")
    page.get_by_role("link", name="Go to the overview").click()
    page.get_by_role("heading", name="Overview").wait_for()


def test_a_reload_and_a_second_tab_stay_signed_in(tab, context):
    """The session outlives the page, and serves every tab of the browser."""
    page = card(tab)
    browser.sign_in(page)
    page.reload()
    page.get_by_role("heading", name="Overview").wait_for()
    second = browser.Watched(context)
    browser.see_guest(second.page, "homeassistant")
    second.page.goto("/login")
    second.page.get_by_role("heading", name="Overview").wait_for()


def test_signing_out_empties_every_tab_and_the_back_button(tab, context):
    """After "Sign out" all tabs are on the card within two seconds, and Back shows nothing of before."""
    page = card(tab)
    browser.sign_in(page)
    second = browser.Watched(context)
    browser.see_guest(second.page, "homeassistant")
    page.get_by_role("button", name="Sign out").click()
    started = time.monotonic()
    second.page.get_by_label("Username").wait_for()
    assert time.monotonic() - started < 2
    page.get_by_label("Username").wait_for()
    page.go_back()
    page.wait_for_url(re.compile("/login"))
    expect(page.get_by_text("homeassistant")).to_have_count(0)


def test_back_without_a_network_shows_nothing(tab, context):
    """After "Sign out" Back finds no page of before in the browser, where nobody can ask us whether it may be seen."""
    page = card(tab)
    browser.sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Username").wait_for()
    context.set_offline(True)
    with contextlib.suppress(Error):  # the browser's own word that there is no network
        page.go_back()
    harness.until(lambda: page.wait_for_timeout(50) or "/login" not in page.url, 15)
    assert "root@pam" not in page.content()


def test_a_session_ended_elsewhere_says_so(tab, site, valkey_url):
    """A tab whose session the administrator ends is on the card within two seconds, with the reason."""

    page = card(tab)
    browser.sign_in(page)
    page.get_by_role("article").first.wait_for()
    with harness.admin(valkey_url) as store:
        for key in store.keys("browser:session:*"):
            store.set(key.replace(b"session", b"ended"), "ended")
            store.delete(key)
    page.wait_for_url(re.compile("ended=ended"), timeout=2500)
    expect(page.get_by_role("alert")).to_contain_text("ended from another device")


def test_a_card_that_is_long_on_its_way_still_says_why(tab, site, valkey_url):
    """The page that the card follows neither loads anew meanwhile nor connects again, however young it is."""
    page = card(tab)
    browser.sign_in(page)
    page.get_by_role("article").first.wait_for()
    page.reload()
    page.wait_for_function("window.socket?.connected")
    asked: list[str] = []

    def slowly(route: Route) -> None:
        if route.request.is_navigation_request():
            asked.append(route.request.url)
            time.sleep(4)  # more than it takes until a page has noticed, or connects again
        route.continue_()

    page.route("**/*", slowly)
    with harness.admin(valkey_url) as store:
        for key in store.keys("browser:session:*"):
            store.set(key.replace(b"session", b"ended"), "ended")
            store.delete(key)
    expect(page.get_by_role("alert")).to_contain_text("ended from another device", timeout=15_000)
    assert len(asked) == 1, asked


def test_user_and_realm_are_remembered_on_this_device_and_the_password_nowhere(tab, context):
    """The next visit finds user and realm filled in; storage and frames hold nothing else."""
    page = card(tab)
    browser.sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/login"))
    page = card(tab, "/login")
    expect(page.get_by_label("Username")).to_have_value("root")
    expect(page.get_by_label("Realm")).to_have_value("pam")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "demo" not in kept
    assert page.evaluate("document.cookie") == ""


def test_no_password_crosses_the_websocket(tab):
    """What is typed into a card is in no frame of its socket, sent or received, where it has one."""
    page = card(tab, "/login?next=/guests%3Fkept%3Dx")
    page.get_by_label("Username").press_sequentially("root")
    page.get_by_label("Password", exact=True).press_sequentially(CANARY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid credentials")
    assert tab.frames, "the card has a socket"
    assert not any(CANARY in frame or '"root"' in frame for frame in tab.frames)
    assert CANARY not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")


def test_nothing_is_asked_of_any_other_host(tab, site):
    """Page, fonts, scripts and socket come from Proxgate alone."""
    page = card(tab)
    browser.sign_in(page)
    page.get_by_role("article").first.wait_for()
    own = (site.url, site.url.replace("http", "ws", 1), "data:", "blob:")
    assert [address for address in tab.addresses if not address.startswith(own)] == []


def test_the_password_can_be_shown(tab):
    """The eye shows and hides the password, and says which it will do."""
    page = card(tab, "/login")
    password = page.get_by_label("Password", exact=True)
    password.fill("x")
    page.get_by_role("button", name="Show password").click()
    expect(password).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide password").click()
    expect(password).to_have_attribute("type", "password")


def test_the_keyboard_goes_through_the_card_in_order(tab):
    """Username, realm, password, the eye, the button; the first has the focus at the start."""
    page = card(tab, "/login")
    expect(page.get_by_label("Username")).to_be_focused()
    seen = []
    for _ in range(5):
        seen.append(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    assert seen == ["username", "realm", "password", "show-password", "submit"]


def test_a_phone_needs_no_sideways_scrolling(chromium, site):
    """At 360 px both pages fit, and everything to tap is at least 44 px high and wide."""
    context = chromium.new_context(base_url=site.url, viewport=PHONE, has_touch=True)
    tab = browser.Watched(context)
    page = card(tab, "/login")
    assert _overflow(page) <= 0
    assert _small_targets(page) == []
    browser.sign_in(page)
    page.get_by_role("article").first.wait_for()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert _overflow(page) <= 0
    assert _small_targets(page) == []
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="Overview")).to_be_in_viewport()
    context.close()


def _overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def _small_targets(page):
    return page.evaluate(
        """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select")]
            .map((one) => [one.id || one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && box.right > 0 && (box.width < 44 || box.height < 44))
            .map(([name, box]) => `${name} ${box.width}x${box.height}`)"""
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 1000), ("dark", 700)])
def test_both_pages_are_accessible(chromium, site, scheme, width):
    """axe finds nothing serious on the card, on the card with an error, and on the overview, however wide."""
    context = chromium.new_context(base_url=site.url, color_scheme=scheme, viewport={"width": width, "height": 720})
    tab = browser.Watched(context)
    page = card(tab, "/login?error=credentials")
    assert _serious(page) == []
    browser.sign_in(page)
    page.get_by_role("article").first.wait_for()
    page.locator(".pg-busiest tbody tr").first.wait_for()
    expect(page.locator(".pg-waiting")).to_have_count(0)
    assert _serious(page) == []
    context.close()


def _serious(page):
    found = Axe().run(page).response["violations"]
    return [
        (one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.slow
def test_the_realm_somebody_chose_is_not_taken_back(chromium, valkey_url):
    """Neither realms that come late nor a Proxmox that stays away change what was chosen on the card."""
    with harness.simulator() as pve:
        pve.fault = Fault(path="/access/domains", delay=4.0)
        settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "chosen:", **harness.for_proxmox(pve)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as site:
            context = chromium.new_context(base_url=site.url)
            page = card(browser.Watched(context), "/login")
            realm = page.get_by_label("Realm")
            expect(realm.locator("option")).to_have_count(2)
            realm.select_option("pam")
            expect(realm.locator("option")).to_have_count(3, timeout=12_000)
            expect(realm).to_have_value("pam")
            context.close()
        pve.fault = Fault(status=595)
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as site:
            context = chromium.new_context(base_url=site.url)
            page = card(browser.Watched(context), "/login")
            realm = page.get_by_label("Realm")
            realm.select_option("pve")
            page.wait_for_timeout(6_000)  # longer than the card waits before it asks again
            expect(realm).to_have_value("pve")
            context.close()


def test_an_account_can_be_typed_as_proxmox_prints_it(tab):
    """`root@pam` in the first field becomes the user and, while none was chosen, the realm, for all to see."""
    page = card(tab, "/login")
    page.get_by_label("Username").fill("root@pam")
    page.get_by_label("Password", exact=True).fill("demo")
    expect(page.get_by_label("Username")).to_have_value("root")
    expect(page.get_by_label("Realm")).to_have_value("pam")
    page.get_by_label("Username").fill("alice@pve")
    page.get_by_label("Password", exact=True).focus()
    expect(page.get_by_label("Username")).to_have_value("alice")
    expect(page.get_by_label("Realm")).to_have_value("pve")
    page.get_by_label("Realm").select_option("pam")
    page.get_by_label("Realm").select_option("pve")
    page.get_by_label("Username").fill("root@pam")
    page.get_by_label("Password", exact=True).focus()
    expect(page.get_by_label("Username")).to_have_value("root@pam")
    expect(page.get_by_label("Realm")).to_have_value("pve")


def test_password_managers_know_the_fields(tab):
    """The card tells which field is the user's name and which the password; the first Tab skips to the content."""
    page = card(tab, "/login")
    expect(page.get_by_label("Username")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("autocomplete", "current-password")
    browser.sign_in(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()


def test_the_card_stands_without_proxmox_and_heals(chromium, valkey_url):
    """With Proxmox down the card says so and offers pam and pve; when it is back the realms come by themselves."""
    with harness.simulator() as pve:
        pve.fault = Fault(status=595)
        settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "heal:", **harness.for_proxmox(pve)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as site:
            context = chromium.new_context(base_url=site.url)
            page = card(browser.Watched(context), "/login")
            expect(page.get_by_role("status")).to_contain_text("Unable to reach the Proxmox server")
            values = page.get_by_label("Realm").locator("option").evaluate_all("all => all.map(one => one.value)")
            assert values == ["pam", "pve"]
            pve.fault = Fault()
            expect(page.get_by_label("Realm").locator("option")).to_have_count(3, timeout=12_000)
            expect(page.get_by_role("status")).to_have_count(0)
            context.close()


def test_an_untrusted_certificate_is_named_on_the_card(chromium, valkey_url, pve):
    """With a certificate nobody vouched for the card shows its fingerprint and the settings that mend it."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "trust:", "PROXMOX_HOST": str(pve.address)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as site:
        context = chromium.new_context(base_url=site.url)
        page = card(browser.Watched(context), "/login")
        for words in (pve.fingerprint, "PROXMOX_FINGERPRINT", "PROXMOX_CA_FILE"):
            expect(page.get_by_role("status")).to_contain_text(words)
        context.close()


def test_an_account_without_rights_gets_a_calm_page(tab):
    """Whoever may see nothing is told so, with no empty tables and no error."""
    page = card(tab)
    browser.sign_in(page, username="nobody", realm="pve")
    expect(page.get_by_role("heading", name="Nothing to show")).to_be_visible()
    expect(page.get_by_role("table")).to_have_count(0)


def test_an_account_sees_its_own_guests_only(tab):
    """The list is Proxmox's word on this account, not on the cluster."""
    page = card(tab)
    browser.sign_in(page, username="kid", realm="pve")
    expect(page.locator(".pg-busiest tbody tr")).to_have_count(2)


def test_the_overview_moves_by_itself(tab):
    """While the page is open its figures change, without a reload."""
    page = card(tab)
    browser.sign_in(page)
    cells = page.locator(".pg-busiest tbody")
    cells.locator("tr").first.wait_for()
    before = cells.inner_text()
    harness.until(lambda: page.wait_for_timeout(200) or cells.inner_text() != before, 12)


def test_proxmox_going_away_keeps_the_last_picture(tab, pve):
    """The last picture stays, greyed, with a sentence, in new tabs too; it moves again by itself."""
    page = card(tab)
    browser.sign_in(page)
    page.get_by_role("article").first.wait_for()
    pve.fault = Fault(path="/cluster", status=595)
    lost = page.get_by_role("status").filter(has_text="Unable to reach the Proxmox server")
    expect(lost).to_be_visible(timeout=12_000)
    expect(page.get_by_role("article")).to_have_count(3)
    beside = page.context.new_page()
    beside.goto("/")
    expect(beside.get_by_role("article")).to_have_count(3)
    expect(beside.locator(".pg-busiest tbody tr")).to_have_count(10)
    expect(beside.get_by_text("may not see any").filter(visible=True)).to_have_count(0)
    beside.close()
    pve.fault = Fault()
    expect(lost).to_have_count(0, timeout=15_000)


HOSTILE = (
    "<img src=x onerror=window.pwned=1>{{constructor.constructor('window.pwned=2')()}}</script>`${window.pwned=3}`"
)


def test_names_from_proxmox_are_words_and_no_script(chromium, valkey_url, monkeypatch):
    """What Proxmox calls a guest, a node or a realm stands on the page as it is, and runs nothing."""
    from services.proxmox import Realm
    from services.simulator.world import World

    nodes = World.nodes
    monkeypatch.setattr(World, "nodes", lambda self, at: [{**nodes(self, at)[0], "node": HOSTILE}])
    realms = [Realm(realm="pam", type="pam", comment=HOSTILE), Realm(realm="pve", type="pve")]
    with harness.simulator(realms=realms, names=[HOSTILE] * 36) as pve:
        settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "hostile:", **harness.for_proxmox(pve)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as site:
            context = chromium.new_context(base_url=site.url)
            tab = browser.Watched(context)
            page = card(tab)
            expect(page.get_by_label("Realm").locator("option").filter(has_text=HOSTILE)).to_have_count(1)
            browser.sign_in(page)
            expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
            expect(page.locator(".pg-busiest tbody a").first).to_have_text(HOSTILE)
            assert page.evaluate("window.pwned") is None
            context.close()


@pytest.mark.slow
def test_a_tab_that_slept_through_the_end_of_its_session_shows_nothing(tab, context, valkey_url):
    """A page without socket, session and pre-login cookie finds to the card by itself when the network is back."""

    page = card(tab)
    browser.sign_in(page)
    page.locator(".pg-chart canvas").first.wait_for()
    context.set_offline(True)
    page.locator("#popup[aria-hidden=false]").wait_for(timeout=20_000)
    with harness.admin(valkey_url) as store:
        store.delete(*store.keys("browser:session:*"))
    context.clear_cookies(name="proxgate-browser")
    context.set_offline(False)
    page.wait_for_url(re.compile("/login"), timeout=15_000)


def test_the_main_job_with_a_proxmox_that_others_wrote(chromium, valkey_url, tmp_path):
    """With PROXMOX_HOST and a pinned fingerprint a person sees the guests of a server that is not ours."""
    with outside.fakepve(tmp_path, "--user", "owner@fake") as (address, fingerprint):
        settings = {"PROXMOX_HOST": str(address), "PROXMOX_FINGERPRINT": fingerprint, "REDIS_URL": valkey_url}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, STORE_PREFIX="outside:", **settings) as site:
            context = chromium.new_context(base_url=site.url)
            page = card(browser.Watched(context))
            browser.sign_in(page, username="owner", realm="fake", password=outside.PASSWORD)
            expect(page.get_by_role("cell", name="web")).to_be_visible()
            expect(page.get_by_role("cell", name="dns")).to_be_visible()
            expect(page.get_by_text("owner@fake")).to_be_visible()
            context.close()


@pytest.fixture
def elsewhere(site):
    """The port of a web site on this machine whose page frames the card and the overview."""
    inside = "".join(f"<iframe src='{site.url}{path}'></iframe>" for path in ("/login", "/")).encode()

    class Framing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(inside)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Framing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_browser_cannot_frame_us(tab, elsewhere, host):
    """A page elsewhere, be it on our own host, that frames the card or the pages of who is signed in shows neither."""
    browser.sign_in(card(tab))
    tab.page.goto(f"http://{host}:{elsewhere}/")
    shown = harness.until(lambda: tab.page.wait_for_timeout(50) or _shown(tab.page.frames[1:]), 15)
    assert shown == ["chrome-error", "chrome-error"]


def _shown(frames):
    """With what each of two frames was filled, once both are."""
    kinds = [frame.url.partition(":")[0] for frame in frames]
    return kinds if len(kinds) == 2 and not {"", "about"} & {*kinds} else None


@pytest.mark.parametrize("path", ["/login", "/"])
def test_without_scripts_one_reads_why(chromium, site, path):
    """Where scripts are switched off the card, and a page of who is signed in, say so where one can read it."""
    context = chromium.new_context(base_url=site.url, java_script_enabled=False)
    with site.client() as jar:
        harness.sign_in(jar)
        if path == "/":
            context.add_cookies([{"name": "proxgate", "value": jar.cookies["proxgate"], "url": site.url}])
    page = context.new_page()
    page.goto(path)
    words = page.locator(".pg-noscript")
    assert "Proxgate needs JavaScript" in words.inner_text()
    words.click(trial=True)  # nothing lies above it
    context.close()
