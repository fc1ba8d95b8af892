"""What is done with a guest from its page, in a real browser: started, stopped, frozen and backed up."""

import pytest
from playwright.sync_api import expect

from services.simulator.catalogue import vmid_of
from tests import browser, harness

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 360, "height": 740}
FIRST_LABEL = """(({ xAxis, series }) => xAxis[0].axisLabel.formatter(series[0].data[0][0]))(
  getElement(Number(document.querySelector('.nicegui-echart').id.slice(1))).chart.getOption())"""


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def site(valkey_url):
    """The program on a Proxmox of this module's own."""
    with harness.simulator() as pve:
        pve.settle()
        settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "browser-actions:", **harness.for_proxmox(pve)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
            yield up


@pytest.fixture(scope="module")
def cookies(site):
    """Of somebody who has signed in once for all these tests."""
    with site.client() as client:
        assert harness.sign_in(client).status_code == 200
        return [{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()]


@pytest.fixture
def watched(chromium, site, cookies):
    """A page that says nothing wrong, and has asked no other site."""
    context = chromium.new_context(base_url=site.url)
    context.add_cookies(cookies)
    context.set_default_timeout(20_000)
    one = browser.Watched(context)
    yield one
    assert one.mistakes() == []
    context.close()


def open_guest(watched, name):
    watched.page.goto(f"/guests/{vmid_of(name)}")
    expect(watched.page.get_by_role("heading", name="Backups")).to_be_visible()
    return watched.page


def test_a_snapshot_is_taken_by_keyboard(watched):
    """The name has the focus, what is wrong with it stands below, and Enter sends it; the list has it then."""
    page = open_guest(watched, "nextcloud")
    page.get_by_role("button", name="Take snapshot").press("Enter")
    dialog = page.get_by_role("alertdialog", name="Take a snapshot of nextcloud")
    name = dialog.get_by_label("Name")
    expect(name).to_be_focused()
    name.press_sequentially("hub_25")
    expect(name).to_have_value("hub_25")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("There is a snapshot of that name already.")
    expect(dialog.get_by_text("Two to forty letters")).to_have_count(0)  # both are pale while they change places
    assert browser.serious(page) == []
    name.press_sequentially("_and_more")
    expect(dialog).not_to_contain_text("There is a snapshot of that name already.")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("heading", name="hub_25_and_more")).to_be_visible()
    assert browser.serious(page) == []


def test_on_a_phone_nothing_goes_past_the_edge(watched):
    """Neither the switch of the charts, nor the list of snapshots, nor a dialog with fields scrolls sideways."""
    watched.page.set_viewport_size(PHONE)
    page = open_guest(watched, "homeassistant")
    expect(page.get_by_role("heading", name="zigbee_moved")).to_be_visible()
    page.get_by_role("button", name="Year").click()
    expect(page.get_by_role("button", name="Year")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(f"/^[A-Z][a-z]+ 20\\d\\d$/.test({FIRST_LABEL})")  # of a year only its months are told
    page.get_by_role("button", name="Take snapshot").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    places = "[...document.querySelectorAll('.pg-spans, .pg-spans button, .pg-dialog, .pg-row-buttons button')]"
    right = page.evaluate(f"Math.max(...{places}.map((one) => one.getBoundingClientRect().right))")
    assert right <= PHONE["width"]


def test_started_stopped_and_backed_up(watched):
    """Each is confirmed, and said to be done."""
    page = open_guest(watched, "windows11")
    for press, yes, done in (
        ("Stop", "Stop", "windows11 has been stopped."),
        ("Start", "Start", "windows11 has been started."),
        ("Back up now", "Back up now", "windows11 has been backed up."),
    ):
        page.get_by_role("button", name=press, exact=True).click()
        page.get_by_role("alertdialog").get_by_role("button", name=yes, exact=True).click()
        expect(page.get_by_text(done)).to_be_visible()
        expect(page.get_by_role("alertdialog")).to_be_hidden()
        expect(page.get_by_text("is going on…").first).to_be_hidden()


def test_a_grey_button_says_why_and_what_to_ask_for(chromium, site):
    """Pressed, it explains itself, and the line for the administrator is copied by a button."""
    with site.client() as client:
        assert harness.sign_in(client, "alice", "pve").status_code == 200
        cookies = [{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()]
    context = chromium.new_context(base_url=site.url)
    context.add_cookies(cookies)
    one = browser.Watched(context)
    page = open_guest(one, "nextcloud")
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_have_attribute("aria-disabled", "true")
    stop.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your account may not do this").first).to_be_visible()
    line = page.locator(".pg-lacking:popover-open input")
    expect(line).to_have_value(f"pveum acl modify /vms/{vmid_of('nextcloud')} --users alice@pve --roles PVEVMUser")
    page.locator(".pg-lacking:popover-open").get_by_role("button").click()
    expect(page.locator(".pg-lacking:popover-open").get_by_role("button")).to_have_text("Copied")
    assert browser.serious(page) == []
    assert one.mistakes() == []
    context.close()
