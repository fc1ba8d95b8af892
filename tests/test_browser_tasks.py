"""One task, its log and the bell in a real browser: by keyboard, on a phone, by light and in the dark."""

import contextlib
import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from services.simulator import Simulator
from services.simulator.catalogue import vmid_of
from tests import browser, harness
from ui import text
from ui.language import speaking

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium():
    with browser.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own, whose tasks end when they are told to."""
    with harness.InThread(Simulator(speed=30.0)) as running:
        running.hold()
        yield running


@pytest.fixture(scope="module")
def site(valkey_url, pve):
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "browser-tasks:", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
        yield up


@pytest.fixture(scope="module")
def cookies(site):
    """Session cookies, to sign in once for all these tests."""
    found = {}
    for who in ("root@pam", "alice@pve"):
        with site.client() as client:
            assert harness.sign_in(client, *who.split("@")).status_code == 200
            found[who] = [{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()]
    return found


@pytest.fixture
def visit(chromium, site, cookies):
    """Opens a page in a new browser; nothing there may go wrong unnoticed."""
    with contextlib.ExitStack() as stack:
        tabs = []

        def visit(path, who="root@pam", **options):
            context = chromium.new_context(base_url=site.url, **{"viewport": {"width": 1280, "height": 800}, **options})
            stack.enter_context(contextlib.closing(context))
            context.set_default_timeout(15_000)
            context.add_cookies(cookies[who])
            tabs.append(browser.Watched(context))
            tabs[-1].page.goto(path)
            return tabs[-1].page

        yield visit
        mistakes = [said for tab in tabs for said in tab.mistakes()]
    assert mistakes == []


@pytest.fixture
def backup(pve):
    """A backup by the administrator that runs until the test's end, or until it is released."""
    with httpx.Client(base_url=f"https://{pve.address}/api2/json", verify=False, trust_env=False) as client:
        form = {"username": "root@pam", "password": "demo"}
        data = client.post("/access/ticket", data=form).json()["data"]
        client.cookies.set("PVEAuthCookie", data["ticket"])
        rows = client.get("/cluster/resources?type=vm").json()["data"]
        vmid = vmid_of("homeassistant")
        node = next(row["node"] for row in rows if row["vmid"] == vmid)
        headers = {"CSRFPreventionToken": data["CSRFPreventionToken"]}
        asked = {"vmid": vmid, "storage": "local", "mode": "snapshot"}
        yield client.post(f"/nodes/{node}/vzdump", headers=headers, data=asked).json()["data"]
    pve.release()
    pve.hold()


def row(page, upid):
    return page.locator(f'tr[data-key="{upid}"]')


def opened(page):
    return page.get_by_role("dialog")


def bell(page):
    return page.locator("#bell-button")


def axe_and_fingers(page, within):
    """axe finds nothing serious, by light and in the dark; all fits a phone, and what is pressed is large enough."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.locator(f"{within} :is(a, button, select):visible")
    heights = small.evaluate_all(
        "(all) => all.map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect().height])"
    )
    assert heights
    assert [one for one in heights if one[1] < 43.5] == []
    assert browser.serious(page) == []


def test_a_task_is_opened_watched_and_stopped(visit, backup):
    """By keyboard: Enter opens a task with its log over the list, Escape closes; it stops once that is confirmed."""
    page = visit("/tasks?node=pve1&kind=vzdump")
    expect(row(page, backup)).to_contain_text("Running")
    row(page, backup).get_by_role("link").first.focus()
    page.keyboard.press("Enter")
    expect(opened(page).get_by_role("heading", name="Backup")).to_be_visible()
    expect(opened(page).get_by_role("region", name=text.TASK_LOG)).to_contain_text("INFO: starting new backup job")
    expect(page).to_have_url(re.compile(r"\?node=pve1&kind=vzdump&task=UPID"))
    page.keyboard.press("Escape")
    expect(opened(page)).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?node=pve1&kind=vzdump$"))
    expect(row(page, backup).get_by_role("link").first).to_be_focused()
    page.keyboard.press("Enter")
    opened(page).get_by_role("button", name=text.TASK_STOP).click()
    page.get_by_role("alertdialog").get_by_role("button", name=text.TASK_STOP).click()
    expect(opened(page).locator(".pg-alert")).to_have_text("interrupted by signal")
    expect(opened(page).get_by_role("button", name=text.TASK_STOP)).to_have_count(0)
    expect(row(page, backup)).to_contain_text("interrupted by signal")


def test_the_bell(visit, pve, backup):
    """It counts what runs, lists it first, leads to its log, and marks a failure until it is opened, also by reload."""
    page = visit("/storage")
    expect(bell(page)).to_have_accessible_name(re.compile(f"^{text.BELL}: [1-9] tasks? running$"))
    expect(bell(page)).to_have_text(re.compile("^[1-9]$"))
    failed = re.compile(f"^{text.BELL}: .*{text.BELL_ONE_FAILED}$")  # snapshots may be taken by the hour meanwhile
    with httpx.Client(base_url=f"https://{pve.address}/api2/json", verify=False, trust_env=False) as client:
        data = client.post("/access/ticket", data={"username": "root@pam", "password": "demo"}).json()["data"]
        client.cookies.set("PVEAuthCookie", data["ticket"])
        node = backup.split(":")[1]
        client.delete(f"/nodes/{node}/tasks/{backup}", headers={"CSRFPreventionToken": data["CSRFPreventionToken"]})
    expect(bell(page)).to_have_accessible_name(failed)
    page.reload()
    expect(bell(page)).to_have_accessible_name(failed)
    bell(page).focus()
    page.keyboard.press("Enter")
    first = page.locator("#bell-list a").filter(has_text="interrupted by signal").first
    expect(first).to_be_visible()
    expect(first.locator("time")).to_have_text(re.compile(r"^[A-Z][a-z]{2} \d+, \d{4}, "))  # not as UTC tells it
    expect(bell(page)).not_to_have_accessible_name(failed)
    page.reload()
    expect(first).to_be_attached()
    expect(bell(page)).not_to_have_accessible_name(failed)
    bell(page).click()
    first.click()
    expect(opened(page)).to_contain_text("TASK ERROR: interrupted by signal")


WORDS = json.dumps(dict.fromkeys(("title", "none", "unread", "oneFailed"), "x"))
BELL = f"""
<button id="bell-button"></button><span id="bell-count"></span>
<div id="bell" popover><div id="bell-list"></div></div>
<div id="bell-data" data-account="a" data-words='{WORDS}'></div>
<script>{(Path(__file__).parents[1] / "assets" / "bell.js").read_text()}</script>
"""
TELL = """async (tasks) => {
  document.getElementById("bell-data").dataset.tasks = JSON.stringify(tasks);
  await new Promise((done) => setTimeout(done));
  return document.getElementById("bell-button").classList.contains("pg-bell-marked");
}"""


def test_failures_from_before_anybody_looked_are_old(chromium):
    """They do not mark the bell, though at first nobody could tell of any; what fails later does."""
    old, new = (
        {"key": str(ended), "what": "", "about": "", "href": "/", "state": "failed", "words": "", "ended": ended}
        for ended in (5, 6)
    )
    with contextlib.closing(chromium.new_page()) as page:
        page.route("**/*", lambda route: route.fulfill(body=BELL, content_type="text/html"))
        page.goto("http://bell.test/")
        assert [page.evaluate(TELL, tasks) for tasks in (None, [old], [new, old])] == [False, False, True]


def test_a_log_goes_along_only_with_who_is_at_its_end(visit, pve, backup):
    """New lines come into sight of who is at the end; who reads further up is left there."""
    page = visit(f"/tasks?task={backup}", viewport={"width": 1280, "height": 400})
    log = opened(page).get_by_role("region", name=text.TASK_LOG)
    expect(log).to_contain_text("INFO: starting new backup job")
    at_end = "(log) => log.scrollHeight - log.clientHeight - log.scrollTop < 2"
    harness.until(lambda: log.evaluate(at_end))
    log.evaluate("(log) => { log.style.maxHeight = log.style.minHeight = '60px'; log.style.flex = 'none'; }")
    log.evaluate("(log) => { log.scrollTop = 0; }")
    page.wait_for_timeout(300)
    pve.release()
    pve.hold()
    expect(log).to_contain_text("TASK OK")
    assert log.evaluate("(log) => log.scrollTop") == 0


def test_somebody_elses_task_on_a_phone(visit, backup):
    """Its button is grey and says why; nobody is left out, whatever is open."""
    page = visit(f"/tasks?task={backup}", "alice@pve", viewport=PHONE)
    stop = opened(page).get_by_role("button", name=text.TASK_STOP)
    expect(stop).to_have_attribute("aria-disabled", "true")
    expect(opened(page)).to_contain_text("INFO: starting new backup job")
    axe_and_fingers(page, ".pg-task")
    stop.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".pg-lacking:popover-open")).to_contain_text("Sys.Modify")


def test_filters_and_bell_on_a_phone(visit, backup):
    """Five choices and the bell's list fit 360 pixels, with targets for a finger."""
    page = visit("/tasks", viewport=PHONE)
    expect(row(page, backup)).to_be_visible()
    axe_and_fingers(page, ".pg-task-tools")
    bell(page).click()
    expect(page.locator("#bell-list a").first).to_be_visible()
    axe_and_fingers(page, "#bell")


def test_all_of_it_in_german(visit, backup):
    """The dialog and the bell speak the language of who reads them."""
    with speaking("de"):
        label, stop = re.compile(f"^{text.BELL}: [1-9] Aufgaben? (läuft|laufen)"), text.TASK_STOP
    page = visit(f"/tasks?task={backup}", locale="de-DE")
    expect(opened(page).get_by_role("button", name=stop)).to_be_visible()
    expect(bell(page)).to_have_accessible_name(label)
