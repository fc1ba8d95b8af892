"""The table of all guests in a real browser: by mouse, by keyboard, on a phone, and when all is not well."""

import json
import re

import pytest
from playwright.sync_api import expect

from services.simulator.simulator import Fault
from tests import browser, harness
from ui import text

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GUESTS = 220
NAMES = (
    "</script><script>window.pwned=1</script>{{constructor.constructor('window.pwned=2')()}}",
    "<img src=x onerror=window.pwned=3>`${window.pwned=4}`",
    "\"quoted\" & 'single'",
    "\u202egnol\u202c \u05d0\u05d1\u05d2",
    "x" * 255,
    "",
)
PHONE = {"width": 360, "height": 720}
IDLE = 6


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own, the first of whose guests have odd names."""
    with harness.simulator(guests=GUESTS, names=NAMES) as running:
        yield running


@pytest.fixture(scope="module")
def site(valkey_url, pve):
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "browser-guests:", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
        yield up


@pytest.fixture(scope="module")
def cookies(site):
    """The session cookie of root, who has signed in once for all these tests."""
    with site.client() as client:
        assert harness.sign_in(client).status_code == 200
        return [{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()]


@pytest.fixture
def visit(chromium, site, cookies):
    """Opens the page in a new browser; nothing there may go wrong unnoticed."""
    contexts, tabs = [], []

    def visit(path="/guests", **options):
        context = chromium.new_context(base_url=site.url, **{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(15_000)
        context.add_cookies(cookies)
        contexts.append(context)
        tabs.append(browser.Watched(context))
        tabs[-1].page.goto(path)
        return tabs[-1]

    yield visit
    mistakes = [words for tab in tabs for words in tab.mistakes()]
    for context in contexts:
        context.close()
    assert mistakes == []


def cell(page, row, column):
    return page.locator(f".ag-row[row-index='{row}'] [col-id={column}]")


def box(page):
    return page.get_by_role("searchbox", name=text.SEARCH_GUESTS)


def find(page, words):
    """Type a search and wait for its answer."""
    box(page).fill(words)
    expect(page).to_have_url(re.compile("q=" if words else "guests$"))


def expect_names(page, *names):
    """The first rows, from top to bottom."""
    for row, name in enumerate(names):
        expect(cell(page, row, "name").locator("bdi")).to_have_text(name)


def test_names_are_text_and_nothing_else(visit):
    """Scripts, templates, quotes, right-to-left marks and 255 letters stand in a row as they are, and run nothing."""
    page = visit().page
    for row, name in enumerate(NAMES):
        expect(cell(page, row, "name").locator("bdi")).to_have_text(name or "105")
    page.reload()  # now the picture is known, and the rows stand in the page itself
    for row, name in enumerate(NAMES):
        expect(cell(page, row, "name").locator("bdi")).to_have_text(name or "105")
    assert page.evaluate("window.pwned") is None
    assert cell(page, 3, "name").locator("bdi").evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"
    assert cell(page, 4, "name").bounding_box()["width"] < 500
    find(page, "name:</script>")
    expect(page.get_by_text(f"1 of {GUESTS} guests").first).to_be_visible()


def test_a_row_leads_to_its_guest(visit):
    """A click anywhere in a row, or on its link, opens the guest."""
    page = visit("/guests?q=vmid:120").page
    expect(cell(page, 0, "name").get_by_role("link")).to_have_attribute("href", "/guests/120")
    cell(page, 0, "state").click()
    page.wait_for_url("**/guests/120")


def test_several_at_once(visit, pve):
    """Guests are ticked, or picked by Space; Escape takes the question back, and yes tells what came of each."""
    page = visit("/guests?q=vmid:108").page
    row = page.locator(".ag-row[row-index='0']")
    expect(cell(page, 0, "state")).to_have_text("paused")  # one that does not start and stop by itself
    cell(page, 0, "name").focus()
    page.keyboard.press("Space")
    bar = page.get_by_role("group", name=text.SELECTED_GUESTS)
    expect(bar).to_contain_text("1 selected")
    expect(row.get_by_role("checkbox")).to_be_checked()
    row.get_by_role("checkbox").uncheck()
    expect(bar).to_be_hidden()
    row.get_by_role("checkbox").check()
    bar.get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("alertdialog", name="Stop these at once? (1)")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert ordered(pve) == 0
    bar.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".pg-result")).to_contain_text(text.RESULT_DONE)
    assert browser.serious(page) == []
    assert ordered(pve) == 1


def test_all_that_are_found_are_selected(visit):
    """Once one is ticked, the others that are found go with it, in view or not, but no more than one may act on."""
    page = visit("/guests?q=vmid:109-320").page
    expect(cell(page, 0, "vmid")).to_have_text("109")
    row = page.locator(".ag-row[row-index='0']")
    row.get_by_role("checkbox").check()
    bar = page.get_by_role("group", name=text.SELECTED_GUESTS)
    bar.get_by_role("button", name=text.SELECT_FIRST.format(count=200)).click()
    expect(bar).to_contain_text("200 selected")
    expect(bar.get_by_role("button", name=text.CLEAR_SELECTION)).to_be_focused()
    bar.get_by_role("button", name=text.CLEAR_SELECTION).click()
    find(page, "vmid:115-119")
    expect(cell(page, 0, "vmid")).to_have_text("115")
    row.get_by_role("checkbox").check()
    bar.get_by_role("button", name=text.SELECT_ALL.format(count=5)).click()
    expect(bar).to_contain_text("5 selected")
    expect(page.get_by_role("checkbox", name=text.SELECT, checked=True)).to_have_count(5)
    assert browser.serious(page) == []


def ordered(pve):
    """How many orders have come."""
    return sum(count for (_, path), count in pve.changes.items() if "/status/" in path)


def test_search_and_order_are_kept_in_the_address(visit):
    """What is typed and how it is sorted stands in the address, and a new load of that address shows the same."""
    page = visit().page
    expect_names(page, NAMES[0])
    page.get_by_role("columnheader", name="CPU").click()
    expect(page).to_have_url(re.compile(r"/guests\?sort=-cpu$"))
    find(page, "node:pve1 running")
    expect(page).to_have_url(re.compile(r"/guests\?sort=-cpu&q=node%3Apve1\+running$"))
    expect(page.locator(".pg-count")).to_have_text(re.compile(rf"^\d+ of {GUESTS} guests$"))
    harness.until(lambda: shares(page) and len(shares(page)) > 5)
    assert shares(page) == sorted(shares(page), reverse=True)
    assert set(page.locator(".ag-row [col-id=node]").all_inner_texts()) == {"pve1"}
    page.reload()
    expect(box(page)).to_have_value("node:pve1 running")
    expect(page.get_by_role("columnheader", name="CPU")).to_have_attribute("aria-sort", "descending")
    harness.until(lambda: len(shares(page)) > 5)
    assert shares(page) == sorted(shares(page), reverse=True)


def shares(page):
    """The CPU shares in view, from top to bottom, by where they stand."""
    rows = page.locator(".ag-row").evaluate_all(
        "rows => rows.map(row => [+row.ariaRowIndex, row.querySelector('[col-id=cpu]')?.innerText])"
    )
    return [int(share.split()[0]) for _, share in sorted(rows) if share and share[0].isdigit()]


def test_what_is_not_understood_is_said(visit):
    """A term that makes no sense is named under the search, and leaves nothing out."""
    page = visit("/guests?q=colour:red+vmid:100-102").page
    expect(page.locator("#guests-hint")).to_contain_text("colour:red")
    expect(page.locator(".pg-count")).to_have_text(f"3 of {GUESTS} guests")
    find(page, "vmid:100-102")
    expect(page.locator("#guests-hint")).to_be_hidden()


def test_a_search_without_a_match_can_be_cleared(visit):
    """With no match the page says so without alarm, and a button brings all guests back."""
    page = visit("/guests?q=nothing-like-it").page
    expect(page.get_by_role("heading", name=text.NO_MATCH)).to_be_visible()
    expect(page.get_by_role("grid")).to_be_hidden()
    page.get_by_role("button", name=text.CLEAR_SEARCH).click()
    expect_names(page, NAMES[0], NAMES[1])
    expect(page).to_have_url(re.compile("/guests$"))
    expect(box(page)).to_be_focused()


def test_scrolling_brings_the_rest_in_blocks(visit):
    """The end of the list comes when somebody scrolls there, and was not sent before."""
    tab = visit()
    page, last = tab.page, f"lab-{GUESTS - 1:04}"
    expect_names(page, NAMES[0])
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(GUESTS + 1))
    assert not any(last in frame for frame in tab.frames)
    cell(page, 3, "state").hover()
    page.mouse.wheel(0, 100_000)
    expect(cell(page, GUESTS - 1, "name")).to_contain_text(last)
    assert not any("lab-0120" in frame for frame in tab.frames)


def test_who_comes_back_from_a_guest_is_where_they_were(visit):
    """The browser's way back leads to the rows that were in view, of the same search."""
    page = visit("/guests?q=-template").page
    expect_names(page, NAMES[0])
    cell(page, 3, "state").hover()
    page.mouse.wheel(0, 4600)
    page.wait_for_function("history.state?.first >= 80")
    row = page.locator(".ag-row[row-index='103']")
    opened = row.locator("[col-id=vmid]").inner_text()
    row.click()
    page.wait_for_url(f"**/guests/{opened}")
    page.go_back()
    expect(row.locator("[col-id=vmid]")).to_have_text(opened)
    expect(row).to_be_in_viewport()
    expect(box(page)).to_have_value("-template")


def test_what_can_be_searched_for_is_told(visit):
    """A button in the search box opens examples, and Escape closes them."""
    page = visit().page
    example = page.get_by_text("tag:web,db")
    expect(example).to_be_hidden()
    page.locator(".pg-search-help summary").click()
    expect(example).to_be_visible()
    page.keyboard.press("Escape")
    expect(example).to_be_hidden()


def test_chosen_columns_are_remembered_and_nothing_else(visit):
    """Columns are chosen in a menu; the browser keeps their names alone, and shows them again."""
    page = visit().page
    expect(page.get_by_role("columnheader", name="Pool")).to_have_count(0)
    page.locator("#guests-columns summary").click()
    page.get_by_label("Pool").check()
    page.get_by_label("Uptime").uncheck()
    expect(page.get_by_role("columnheader", name="Pool")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Pool")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("columnheader", name="Pool")).to_have_count(1)
    expect(page.get_by_role("columnheader", name="Uptime")).to_have_count(0)
    kept = page.evaluate("Object.entries(localStorage).filter(([name]) => name.includes('guests'))")
    assert [name for name, _ in kept] == ["proxgate.guests.columns"]
    assert set(json.loads(kept[0][1])) == {"vmid", "node", "state", "cpu", "memory", "pool"}
    page.evaluate("localStorage.setItem('proxgate.guests.columns', '{\"no\": [1, 2')")
    page.reload()
    expect(page.get_by_role("columnheader", name="Uptime")).to_have_count(1)


def test_addresses_of_guests_in_view_are_asked_for_where_they_are_shown(visit, pve):
    """Where there is room for their column, the running guests in view are asked, and no others."""
    page = visit("/guests?q=type:lxc+running&sort=vmid").page
    expect(cell(page, 0, "state")).to_have_text("running")  # of whichever guest: they start and stop by themselves
    pve.requests.clear()
    page.wait_for_timeout(500)
    asked = [request.path for request in tuple(pve.requests) if request.path.endswith("/interfaces")]
    assert asked == []
    page.set_viewport_size({"width": 1600, "height": 500})
    expect(cell(page, 0, "addresses")).to_have_text(re.compile(r"^[0-9a-f.:, ]+$"))
    asked = {request.path for request in tuple(pve.requests) if request.path.endswith("/interfaces")}
    assert 0 < len(asked) < 30


def test_the_keyboard_goes_all_through(visit):
    """From the search an arrow leads into the rows, arrows through them, and Enter opens one."""
    page = visit("/guests?q=vmid:120-140").page
    expect(cell(page, 0, "vmid")).to_have_text("120")
    box(page).focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(cell(page, 2, "name")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/guests/122")


def test_the_keyboard_stays_on_its_guest(visit, pve):
    """When a guest above goes, the focus moves up with the guest that it was on."""
    page = visit("/guests?q=vmid:200-210").page
    expect(cell(page, 3, "vmid")).to_have_text("203")
    box(page).focus()
    for key in ["ArrowDown"] * 4 + ["ArrowRight"]:
        page.keyboard.press(key)
    expect(cell(page, 3, "vmid")).to_be_focused()
    pve.remove_guest(201)
    expect(cell(page, 2, "vmid")).to_have_text("203", timeout=15_000)
    expect(cell(page, 2, "vmid")).to_be_focused()
    expect(page.locator(".pg-count")).to_contain_text("10 of")


def test_an_answer_to_an_old_question_is_dropped(visit):
    """What comes late, for a search that is no longer the one in the box, changes nothing."""
    page = visit("/guests?q=vmid:120-140").page
    expect(cell(page, 0, "vmid")).to_have_text("120")
    page.evaluate("guests.take({ number: 1, count: 1, blocks: [[0, []]], rows: [[0, [999, 'VM', 'late']]] })")
    page.wait_for_timeout(200)
    expect(cell(page, 0, "vmid")).to_have_text("120")
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "22")


def test_a_page_that_nobody_touches_asks_for_nothing(visit, pve):
    """However its list grows, shrinks and moves, it stays fresh without a question that keeps a session awake."""
    tab = visit("/guests?q=running&sort=-cpu")
    page, count = tab.page, tab.page.locator(".pg-count")
    expect(page.locator(".ag-row[row-index='0'] .pg-guest-name")).to_be_visible()
    page.locator(".ag-row[row-index='3']").hover()
    page.mouse.wheel(0, 100_000)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    before, whole = len(tab.frames), count.inner_text()
    pve.flap(0.6)
    try:
        expect(count).not_to_have_text(whole, timeout=40_000)  # it flaps out of step with our looks
        flapping = count.inner_text()
    finally:
        pve.flap(0)
    expect(count).not_to_have_text(flapping, timeout=15_000)
    page.wait_for_timeout(1000)
    assert [frame for frame in tab.frames[before:] if frame.startswith('42["event"')] == []


def test_an_old_picture_is_grey_and_says_its_age(visit, pve):
    """While Proxmox does not answer, the rows stay, greyed, with their age; they come back by themselves."""
    page = visit().page
    expect_names(page, NAMES[0])
    pve.fault = Fault(path="/cluster", status=595)
    try:
        expect(page.get_by_text("Unable to reach the Proxmox server")).to_be_visible(timeout=15_000)
        expect(page.locator(".pg-grid-room")).to_have_class(re.compile("pg-stale"))
        expect(page.get_by_text("ago", exact=False)).to_be_visible()
        expect_names(page, NAMES[0])
        find(page, "vmid:130")
        expect(cell(page, 0, "vmid")).to_have_text("130")
    finally:
        pve.fault = Fault()
    expect(page.locator(".pg-grid-room")).not_to_have_class(re.compile("pg-stale"), timeout=15_000)


def test_without_a_first_picture_the_page_says_why(chromium, site, pve):
    """With Proxmox away from the start there is its sentence and no table; the rows come by themselves with it."""
    context = chromium.new_context(base_url=site.url, viewport={"width": 1280, "height": 800})
    page = browser.card(context.new_page(), "/guests")
    browser.fill_card(page, "maria", "home")
    pve.fault = Fault(path="/cluster", status=595)
    try:
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Unable to reach the Proxmox server")).to_be_visible(timeout=15_000)
        expect(page.get_by_role("grid")).to_be_hidden()
        expect(box(page)).to_be_hidden()
    finally:
        pve.fault = Fault()
    expect(cell(page, 0, "name").locator("bdi")).to_have_text(NAMES[0], timeout=15_000)
    context.close()


def test_who_may_see_nothing_is_told_so(chromium, site):
    """An account without guests gets a page that says so and what to ask for, with neither search nor table."""
    context = chromium.new_context(base_url=site.url)
    page = browser.card(context.new_page(), "/guests")
    browser.fill_card(page, "nobody", "pve")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text(text.NO_GUESTS)).to_be_visible()
    expect(page.get_by_label(text.GRANT)).to_have_value("pveum acl modify /vms --users nobody@pve --roles PVEAuditor")
    expect(page.get_by_role("grid")).to_be_hidden()
    expect(box(page)).to_be_hidden()
    context.close()


def test_a_phone_shows_two_lines_a_guest(visit):
    """At 360 px nothing goes sideways, a row has its labelled figures, and all that can be touched is 44 px or more."""
    page = visit(viewport=PHONE, has_touch=True).page
    row = page.locator(".ag-row[row-index='1']")
    for words in (NAMES[1], "pve", "101", "CPU", "RAM"):
        expect(row).to_contain_text(words)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    inner = ".ag-center-cols-viewport"
    assert page.locator(inner).evaluate("e => e.scrollWidth <= e.clientWidth")
    targets = page.locator("a:visible, button:visible, input:visible, select:visible, summary:visible, .ag-row:visible")
    sizes = targets.evaluate_all("all => all.map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect().height])")
    assert [one for one in sizes if one[1] < 44] == []
    page.get_by_label(text.SORT_BY).select_option("-cpu")
    expect(page).to_have_url(re.compile(r"sort=-cpu$"))
    page.locator(".ag-row[row-index='0']").tap()
    page.wait_for_url(re.compile(r"/guests/\d+$"))


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_axe_finds_nothing_serious(visit, size):
    """With its rows, and with none that match, the page has no serious fault, in both themes."""
    page = visit(viewport=size).page
    expect(page.locator(".ag-row[row-index='1']")).to_contain_text(NAMES[1])
    assert browser.serious(page) == []
    find(page, "nothing-like-it colour:red")
    expect(page.get_by_role("heading", name=text.NO_MATCH)).to_be_visible()
    assert browser.serious(page) == []


def test_a_page_that_was_kept_comes_back_as_it_was(chromium, valkey_url, pve):
    """After a new sign-in the page has its search, its order and its rows, which go on being fresh."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "kept-guests:", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, SESSION_IDLE_SECONDS=str(IDLE), **settings) as site:
        context = chromium.new_context(base_url=site.url, viewport={"width": 1280, "height": 800})
        tab = browser.Watched(context)
        page = browser.card(tab.page, "/guests?q=node:*")
        browser.fill_card(page)
        page.get_by_role("button", name="Sign in").click()
        expect_names(page, NAMES[0])
        page.get_by_role("columnheader", name="VMID").click()
        page.get_by_role("columnheader", name="VMID").click()
        find(page, "vmid:140-150")
        expect(cell(page, 0, "vmid")).to_have_text("150")
        page.wait_for_url(re.compile("/login"), timeout=3000 * IDLE)
        browser.fill_card(page)
        page.get_by_role("button", name="Sign in").click()
        expect(cell(page, 0, "vmid")).to_have_text("150", timeout=15_000)
        expect(box(page)).to_have_value("vmid:140-150")
        expect(page).to_have_url(re.compile(r"/guests\?(q=vmid%3A140-150&sort=-vmid|sort=-vmid&q=vmid%3A140-150)$"))
        pve.remove_guest(150)
        expect(cell(page, 0, "vmid")).to_have_text("149", timeout=10_000)
        assert tab.mistakes() == []
        context.close()
