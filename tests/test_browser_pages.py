"""The pages of a node, a guest, the storages and the tasks in a real browser: all well, on a phone, and when not."""

import contextlib
import re

import pytest
from playwright.sync_api import expect

from services.simulator import Simulator
from services.simulator.catalogue import vmid_of
from services.simulator.simulator import Fault
from tests import browser, harness
from ui import text, words
from ui.language import speaking

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = (
    "</script><script>window.pwned=1</script>{{constructor.constructor('window.pwned=2')()}}",
    "\"quoted\" & 'single'",
    "\u202egnol\u202c \u05d0\u05d1\u05d2",
    "x" * 255,
)
ODD = {100 + index: name for index, name in enumerate(NAMES)}
PHONE = {"width": 360, "height": 740}
GRAY = re.compile("pg-stale")


@pytest.fixture(scope="module")
def chromium():
    with browser.launched("--host-resolver-rules=MAP gate.test 127.0.0.1") as launched:
        yield launched


@pytest.fixture(scope="module")
def world():
    """A Proxmox of this module's own in its thread, the first of whose guests have odd names."""
    with (thread := harness.InThread(Simulator(speed=30.0, names=NAMES))) as pve:
        thread.pve = pve
        yield thread


@pytest.fixture
def pve(world):
    """It, with nothing wrong, before and after."""
    yield world.pve
    world.pve.fault = Fault()
    for node in ("pve1", "pve2", "pve3"):
        world.call(world.pve.bring_back(node))


@pytest.fixture(scope="module")
def site(valkey_url, world):
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "browser-pages:", **harness.for_proxmox(world.pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
        yield up


@pytest.fixture(scope="module")
def cookies(site):
    """The session cookies of two who have signed in once for all these tests."""
    found = {}
    for who in ("root@pam", "kid@pve"):
        with site.client() as client:
            assert harness.sign_in(client, *who.split("@")).status_code == 200
            found[who] = [{"name": name, "value": value, "url": site.url} for name, value in client.cookies.items()]
    return found


@pytest.fixture
def visit(chromium, site, cookies, pve):
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
        pwned = [tab.page.evaluate("window.pwned") for tab in tabs]
    assert mistakes == []
    assert set(pwned) <= {None}


def part(page, title):
    """The part of a page under this heading."""
    return page.locator(".pg-part", has=page.get_by_role("heading", name=title, exact=True))


def fact(page, label):
    return page.locator(".pg-fact-row", has=page.get_by_text(label, exact=True)).locator("dd")


def chart(page, title):
    return page.get_by_role("figure", name=title)


def drawn(page, title):
    """What ECharts has of a chart, once it is there."""
    found = chart(page, title)
    expect(found.locator("canvas")).to_be_visible()
    return found.locator(".nicegui-echart").evaluate(
        """(place) => { const option = getElement(Number(place.id.slice(1))).chart.getOption();
        return { colours: option.series.map((one) => one.itemStyle.color), points: option.series[0].data.length,
        labels: option.xAxis[0].axisLabel.formatter(option.series[0].data[0][0]), first: option.series[0].data[0][0],
        gaps: option.series[0].connectNulls }; }"""
    )


def rows(page):
    return page.locator("tbody tr")


# --- a node


def test_a_node_is_told_from_top_to_bottom(visit, pve):
    """State, meters, versions, services, updates, guests and charts of a node stand on its page."""
    page = visit("/nodes/pve2")
    expect(page.get_by_role("heading", level=1)).to_have_text("pve2")
    expect(page.locator(".pg-head-state")).to_contain_text("online")
    for meter in (text.CHART_CPU, text.CHART_MEMORY, text.SWAP, text.ROOT_DISK):
        expect(page.get_by_role("meter", name=meter)).to_have_attribute("aria-valuenow", re.compile("[1-9]"))
    expect(fact(page, text.VERSION)).to_have_text("9.2.11")
    expect(fact(page, text.KERNEL)).to_contain_text("-pve")
    expect(fact(page, text.LOAD)).to_have_text(re.compile(r"^\d+\.\d\d · \d+\.\d\d · \d+\.\d\d$"))
    expect(part(page, text.SERVICES)).to_contain_text("postfix")
    expect(part(page, text.UPDATES).locator("details")).not_to_have_attribute("open", "")
    page.get_by_text(text.UPDATES_SHOWN).click()
    expect(part(page, text.UPDATES).get_by_role("listitem").first).to_be_visible()
    guests = part(page, text.GUESTS).get_by_role("link", name=text.SHOW_GUESTS)
    expect(guests).to_have_attribute("href", "/guests?q=node%3Apve2")
    link = page.get_by_role("link", name=text.OPEN_IN_PROXMOX)
    expect(link).to_have_attribute("href", f"https://{pve.address}/#v1:0:=node%2Fpve2:4")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


def test_what_an_account_may_not_know_is_left_out(visit):
    """Without rights on the node there are no figures, charts, versions or tasks, and no word about them."""
    page = visit("/nodes/pve1", "kid@pve")
    expect(page.locator(".pg-head-state")).to_contain_text("online")
    page.wait_for_timeout(1_000)
    assert [title for title in page.locator("h2:visible").all_inner_texts() if title] == []
    expect(page.locator("figure:visible, [role=meter]:visible, .pg-part-trouble:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("path", "who", "words"),
    [
        ("/nodes/pve9", "root@pam", "There is no node pve9"),
        ("/guests/999", "root@pam", "There is no guest 999"),
        (f"/guests/{vmid_of('pihole')}", "kid@pve", "There is no guest"),
        ("/guests/0100", "root@pam", "Page not found"),
        ("/guests/9999999999", "root@pam", "Page not found"),
    ],
)
def test_what_is_not_there_is_a_404(site, cookies, path, who, words):
    """What never was, and what is not this account's to see, is a 404 page inside the layout."""
    jar = {one["name"]: one["value"] for one in cookies[who]}
    with site.client(cookies=jar) as client:
        answer = client.get(path, headers=harness.PAGE)
    assert answer.status_code == 404
    assert words in answer.text
    assert "Sign out" in answer.text


def test_a_node_that_goes_and_comes_back(visit, world, pve):
    """A node that goes offline while its page is open says so in a sentence, and shows all again once it is back."""
    page = visit("/nodes/pve3")
    expect(fact(page, text.VERSION)).to_have_text("9.2.11")
    world.call(pve.take_offline("pve3"))
    expect(page.get_by_role("status").filter(has_text="pve3 is offline")).to_be_visible()
    expect(page.get_by_role("heading", name=text.SYSTEM)).to_be_hidden()
    expect(chart(page, text.CHART_CPU)).to_be_visible()
    world.call(pve.bring_back("pve3"))
    expect(fact(page, text.VERSION)).to_have_text("9.2.11")
    expect(page.get_by_text("pve3 is offline")).to_be_hidden()


def test_a_privilege_that_is_missing_takes_one_part(visit, pve):
    """A 403 in the middle is a sentence in the place of what it is about; the rest of the page stays."""
    page = visit("/nodes/pve1")
    drawn(page, text.CHART_CPU)
    pve.fault = Fault(path="/nodes/pve1/rrddata", status=403)
    page.get_by_role("button", name="Week").click()
    expect(page.locator(".pg-part-trouble:visible")).to_contain_text(text.LACKS_PRIVILEGE)
    expect(page.locator("figure:visible")).to_have_count(0)
    expect(fact(page, text.VERSION)).to_be_visible()


def test_what_is_on_its_way_is_not_called_well(visit, pve):
    """A part that waits for its answer claims nothing: neither that all services run nor that no update waits."""
    pve.fault = Fault(path="/nodes/pve3/", delay=6)
    page = visit("/nodes/pve3")
    expect(page.get_by_role("heading", name=text.SERVICES)).to_be_visible()
    for said in (text.SERVICES_WELL, text.NO_UPDATES, text.NO_FAILED_TASKS, text.UPDATES_SHOWN):
        expect(page.get_by_text(said, exact=True)).to_be_hidden()
    expect(page.get_by_text(text.SERVICES_WELL)).to_be_visible()


def test_proxmox_that_is_down_leaves_the_last_picture(visit, pve):
    """With Proxmox away its sentence stands above what was seen last, which loses its colours and stays readable by
    light and in the dark; no part complains of its own."""
    page, overview = visit("/nodes/pve1"), visit("/")
    for one in (page, overview):
        drawn(one, text.CHART_CPU)
    expect(fact(page, text.VERSION)).to_be_visible()
    lively = colours(page) + colours(overview)
    pve.fault = Fault(status=596)
    for one in (page, overview):
        expect(one.locator(".pg-board")).to_have_class(GRAY)
        expect(one.locator(".pg-trouble")).to_contain_text(text.UNREACHABLE)
        assert browser.serious(one) == []
    assert not set(lively) & set(colours(page) + colours(overview))
    expect(page.locator(".pg-part-trouble:visible")).to_have_count(0)
    expect(fact(page, text.VERSION)).to_be_visible()
    pve.fault = Fault()
    expect(page.locator(".pg-board")).not_to_have_class(GRAY, timeout=20_000)


def colours(page):
    """What the dots and bars of a page are drawn in."""
    shown = page.locator(".pg-dot:visible, .pg-bar-fill:visible")
    return shown.evaluate_all("(all) => all.map((one) => getComputedStyle(one).backgroundColor)")


# --- charts


def test_a_chart_is_told_in_words(visit):
    """Each curve's latest, mean and highest value stand below the chart, which itself is nothing to screen readers."""
    page = visit("/nodes/pve1")
    expect(chart(page, text.CHART_NETWORK).get_by_role("listitem")).to_have_count(2)
    for line in chart(page, text.CHART_NETWORK).get_by_role("listitem").all():
        figure = r"[\d.]+ [KM]iB/s"
        expect(line).to_have_text(re.compile(rf"(Incoming|Outgoing){figure}mean {figure}, highest {figure}"))
    expect(chart(page, text.CHART_CPU).locator("[aria-hidden=true] canvas")).to_have_count(1)


def test_the_span_of_charts_stands_in_the_address(visit):
    """The switch changes what is drawn and the address, and the address alone gives the same page again."""
    page = visit("/nodes/pve1")
    hour = drawn(page, text.CHART_CPU)
    page.get_by_role("button", name="Day").click()
    expect(page).to_have_url(re.compile(r"\?span=day$"))
    harness.until(lambda: drawn(page, text.CHART_CPU)["first"] < hour["first"] - 3600_000)
    page.reload()
    expect(page.get_by_role("button", name="Day")).to_have_attribute("aria-pressed", "true")
    assert drawn(page, text.CHART_CPU)["first"] < hour["first"] - 3600_000
    page.get_by_role("button", name="Hour").click()
    expect(page).to_have_url(re.compile(r"/nodes/pve1$"))


def test_charts_follow_theme_and_time_zone(visit):
    """A chart has its colours from the page's, changes them with the theme, and tells the browser's own time."""
    tokyo = visit("/nodes/pve1", timezone_id="Asia/Tokyo", locale="en-GB")
    kolkata = visit("/nodes/pve1", timezone_id="Asia/Kolkata", locale="en-GB")
    light = drawn(tokyo, text.CHART_NETWORK)
    hours = [int(page["labels"].split(":")[0]) * 60 + int(page["labels"].split(":")[1])
             for page in (light, drawn(kolkata, text.CHART_NETWORK))]  # fmt: skip
    assert (hours[0] - hours[1]) % 1440 in range(205, 216)  # three and a half hours, to the refresh
    assert light["gaps"] is False
    tokyo.emulate_media(color_scheme="dark")
    wanted = tokyo.evaluate(
        "['--pg-curve-0', '--pg-curve-1'].map((n) => getComputedStyle(document.documentElement).getPropertyValue(n))"
    )
    harness.until(lambda: drawn(tokyo, text.CHART_NETWORK)["colours"] == [one.strip() for one in wanted])
    assert drawn(tokyo, text.CHART_NETWORK)["colours"] != light["colours"]


def test_charts_come_only_where_they_are_shown(visit):
    """A page without a chart loads nothing of ECharts."""
    page = visit("/storage")
    expect(rows(page).first).to_be_visible()
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter((one) => /echart/.test(one.name)).length") == 0
    )


# --- a guest


def test_a_guest_is_told_from_top_to_bottom(visit, pve):
    """State, place, meters, what it is, its addresses, charts and tasks stand on a guest's page."""
    vmid = vmid_of("vaultwarden")
    page = visit(f"/guests/{vmid}")
    expect(page.get_by_role("heading", level=1)).to_have_text("vaultwarden")
    expect(page.locator(".pg-head-state")).to_contain_text(f"Container {vmid} on")
    expect(page.get_by_role("meter", name=text.CHART_DISK)).to_be_visible()
    expect(fact(page, text.COLUMN_VMID)).to_have_text(str(vmid))
    expect(part(page, text.ADDRESSES)).to_contain_text(re.compile(r"eth0.*10\.20\.\d+\.\d+/16"))
    assert drawn(page, text.CHART_DISK)["points"] > 30
    expect(part(page, text.RECENT_TASKS).locator("tbody tr").first).to_be_visible()
    expect(page.get_by_role("link", name=text.SHOW_ALL_TASKS)).to_have_attribute("href", f"/tasks?guest={vmid}")
    link = page.get_by_role("link", name=text.OPEN_IN_PROXMOX)
    expect(link).to_have_attribute("href", f"https://{pve.address}/#v1:0:=lxc%2F{vmid}:4")


def test_a_guest_that_moves_is_followed_until_it_goes(visit, pve):
    """A guest is followed to another node, with a sentence; one that is there no longer leaves its last picture."""
    vmid = vmid_of("traefik")
    page = visit(f"/guests/{vmid}")
    node = page.locator(".pg-head-state a")
    expect(node).to_have_text(re.compile("pve."))
    before = node.inner_text()
    now = "pve1" if before != "pve1" else "pve2"
    pve.move_guest(vmid, now)
    expect(page.get_by_text(f"It has moved from {before} to {now}.")).to_be_visible()
    expect(node).to_have_attribute("href", f"/nodes/{now}")
    expect(page.locator(".pg-part-trouble:visible")).to_have_count(0)
    pve.remove_guest(vmid)
    expect(page.get_by_text(text.GUEST_GONE)).to_be_visible()
    expect(page.locator(".pg-board")).to_have_class(GRAY)
    expect(fact(page, text.COLUMN_VMID)).to_have_text(str(vmid))


def test_names_are_text_on_a_phone(visit):
    """Whatever a name holds, it stands in heading, title and lists as it is, runs nothing and makes nothing wider."""
    page = visit("/tasks", viewport=PHONE)
    for vmid, name in ODD.items():
        page.goto(f"/guests/{vmid}")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(fact(page, text.COLUMN_VMID)).to_have_text(str(vmid))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.goto(f"/tasks?guest={vmid}")
        chosen = page.get_by_label(text.GUEST, exact=True).locator("option:checked")
        expect(chosen).to_have_text(f"{name} ({vmid})")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto("/nodes/%3C%2Fscript%3E%7B%7B1%2B1%7D%7D%2F..%22")
    expect(page.get_by_text('There is no node </script>{{1+1}}/..", or')).to_be_visible()


# --- storages


def test_storages_stand_once_with_what_they_hold(visit, pve):
    """A shared storage is one row with its nodes; rows tell counts, use, pace and what is nearly full, that first."""
    page = visit("/storage")
    expect(rows(page).first).to_contain_text("media")
    expect(rows(page).first).to_contain_text("shared by pve1, pve2, pve3")
    expect(rows(page).first).to_contain_text(text.STORAGE_TIGHT)
    expect(rows(page).filter(has_text="local-lvm")).to_have_count(3)
    nas = rows(page).filter(has_text="nas")
    expect(nas).to_have_count(1)
    expect(nas).to_contain_text(re.compile(r"Backups [1-9]"))
    expect(nas).to_contain_text(re.compile(r"Full in about \d+ (days|weeks|months) at the pace of the last week"))
    expect(nas.get_by_role("meter", name="nas")).to_have_attribute("aria-valuenow", re.compile(r"^\d\d$"))
    expect(nas.get_by_role("link", name="Open nas in Proxmox")).to_have_attribute(
        "href", f"https://{pve.address}/#v1:0:=storage%2Fpve1%2Fnas:4"
    )


def test_a_storage_of_a_node_that_is_away(visit, world, pve):
    """Local storages of a node that is offline are said not to be available; the shared ones are, by the others."""
    world.call(pve.take_offline("pve3"))
    page = visit("/storage")
    expect(rows(page).filter(has_text=text.STORAGE_AWAY)).to_have_count(2)
    expect(rows(page).filter(has_text="nas").get_by_role("meter")).to_be_visible()


def test_without_storages_there_is_a_sentence(visit):
    """An account that may see none reads so, and what to ask for."""
    page = visit("/storage", "kid@pve")
    expect(page.get_by_role("heading", name=text.NO_STORAGE_TITLE)).to_be_visible()
    line = "pveum acl modify /storage --users kid@pve --roles PVEAuditor"
    expect(page.get_by_label(text.GRANT)).to_have_value(line)
    assert browser.serious(page) == []
    expect(rows(page)).to_have_count(0)


# --- tasks


def test_tasks_are_told_in_words(visit, pve):
    """Newest first, each says what it does, about which guest, by whom, how it went and when, and leads to Proxmox."""
    page = visit("/tasks", timezone_id="Asia/Tokyo", locale="en-GB")
    expect(rows(page).first).to_be_visible()
    told = page.locator("td.pg-task-what").all_inner_texts()
    assert set(told) & {words.BACKUP_JOB, *words.TASKS.values()} == set(told)
    moments = page.locator("td.pg-task-at time").evaluate_all("(all) => all.map((one) => one.dateTime)")
    assert moments == sorted(moments, reverse=True)
    # Both at once: the list goes on, and its first is soon another one.
    at = page.locator("td.pg-task-at time").first
    harness.until(lambda: _is_in_tokyo(*at.evaluate("(one) => [one.dateTime, one.textContent]")), 20)
    about = page.locator("td.pg-task-about a").first
    assert re.fullmatch(r"/guests/\d+", about.get_attribute("href"))
    way = rows(page).filter(has=page.locator("td.pg-task-about a")).first.get_by_role("link", name="in Proxmox")
    assert re.fullmatch(rf"https://{pve.address}/#v1:0:=(node|qemu|lxc)%2F\w+:4:+4", way.get_attribute("href"))
    assert way.get_attribute("rel") == "noopener noreferrer"


def _is_in_tokyo(moment, told):
    hour = (int(moment[11:13]) + 9) % 24
    return told.strip().endswith(f", {hour:02}:{moment[14:16]}")


def test_which_tasks_stands_in_the_address(visit):
    """Failed tasks alone, and those of a node, are chosen by switches that the address keeps."""
    page = visit("/tasks?failed=1&node=pve2")
    states, nodes = page.get_by_label(text.TASK_STATE), page.get_by_label(text.COLUMN_NODE)
    expect(states).to_have_value("failed")
    expect(nodes).to_have_value("pve2")
    expect(page.locator("tr.pg-task-failed").first).to_contain_text("job errors")
    expect(rows(page).filter(has=page.locator(":scope:not(.pg-task-failed)"))).to_have_count(0)
    nodes.select_option("")
    expect(page).to_have_url(re.compile(r"/tasks\?outcome=failed$"))
    expect(rows(page).filter(has_text="pve1").first).to_contain_text("start failed: QEMU exited with code 1")
    states.select_option("")
    expect(page.locator("td.pg-task-state", has_text="OK").first).to_be_visible()
    nodes.select_option("pve3")
    expect(page).to_have_url(re.compile(r"/tasks\?node=pve3$"))
    expect(rows(page).filter(has_text="pve1")).to_have_count(0)
    page.reload()
    expect(nodes).to_have_value("pve3")


def test_nobody_loses_their_place_in_a_table(visit):
    """The keyboard stays on its link while new tasks come in above it."""
    page = visit("/tasks")
    expect(rows(page).nth(5)).to_be_visible()
    first = rows(page).first.get_attribute("data-key")
    focused = rows(page).nth(5).get_attribute("data-key")
    page.locator(f'tr[data-key="{focused}"] a').last.focus()
    harness.until(lambda: rows(page).first.get_attribute("data-key") != first, 20)
    assert page.evaluate("document.activeElement.closest('tr').dataset.key") == focused


def test_the_tasks_of_a_guest(visit):
    """A guest's tasks are shown alone, from whichever node, until that is taken back."""
    vmid = vmid_of("vaultwarden")
    page = visit(f"/tasks?guest={vmid}")
    expect(rows(page).first).to_contain_text("vaultwarden")
    assert set(page.locator("td.pg-task-about").all_inner_texts()) == {"vaultwarden"}
    page.get_by_label(text.GUEST, exact=True).select_option("")
    expect(page).to_have_url(re.compile(r"/tasks$"))
    expect(rows(page).filter(has_not_text="vaultwarden").first).to_be_visible()


def test_a_node_that_is_away_has_no_tasks_to_tell(visit, world, pve):
    """The tasks of a node that does not answer are a sentence, and those of all nodes go on."""
    world.call(pve.take_offline("pve2"))
    page = visit("/tasks?node=pve1")
    expect(rows(page).first).to_be_visible()
    page.get_by_label(text.COLUMN_NODE).select_option("pve2")
    expect(page.locator(".pg-part-trouble")).to_contain_text("pve2 does not answer.")
    expect(rows(page).first).to_be_hidden()
    page.get_by_label(text.COLUMN_NODE).select_option("")
    expect(rows(page).first).to_be_visible()
    expect(page.locator(".pg-part-trouble")).to_be_hidden()


def test_without_tasks_there_is_a_sentence(visit):
    """An account that has begun none, and may see no others, reads so; of failed ones, that none has failed."""
    page = visit("/tasks", "kid@pve")
    expect(page.get_by_role("heading", name=text.TASKS_NONE)).to_be_visible()
    page.get_by_label(text.TASK_STATE).select_option("failed")
    expect(page.get_by_role("heading", name=text.TASKS_NONE_FAILED)).to_be_visible()


# --- all of them

PAGES = {
    "/nodes/pve2": ".pg-fact-row",
    f"/guests/{vmid_of('vaultwarden')}": ".pg-fact-row",
    "/storage": "tbody tr",
    "/tasks?failed=1": "tbody tr",
}


@pytest.mark.parametrize("path", PAGES)
def test_nobody_is_left_out(visit, path):
    """axe finds nothing serious, by light and in the dark, and all of it fits a phone with targets for a finger."""
    page = visit(path, viewport=PHONE)
    expect(page.locator(PAGES[path]).first).to_be_visible()
    for place in page.locator(".pg-chart-place:visible").all():
        expect(place.locator("canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.locator("#content :is(a, button, select, summary):visible")
    heights = small.evaluate_all(
        "(all) => all.map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect().height])"
    )
    assert [one for one in heights if one[1] < 43.5] == []
    assert browser.serious(page) == []


def test_the_navigation_leads_there(visit):
    """Storage and tasks are found in the navigation, which says where one is."""
    page = visit("/storage")
    page.get_by_role("navigation").get_by_role("link", name=text.TASKS_TITLE).click()
    expect(page).to_have_url(re.compile("/tasks$"))
    expect(page.locator("nav [aria-current=page]")).to_have_text(text.TASKS_TITLE)


def test_the_pages_speak_german(visit):
    """Everything that the pages say of themselves is said in German to who reads that."""
    with speaking("de"):
        services, hour, job = text.SERVICES, text.span("hour"), text.BACKUP_JOB
    page = visit("/nodes/pve2", locale="de-DE")
    expect(page.get_by_role("heading", name=services)).to_be_visible()
    expect(page.get_by_role("button", name=hour)).to_be_visible()
    page.goto("/tasks?failed=1")
    expect(rows(page).filter(has_text=job).first).to_be_visible()


def test_a_proxmox_beside_us_is_found_by_our_own_name(chromium, valkey_url, world):
    """Where Proxmox is at a loopback address, its links lead to the machine that the browser has found us on."""
    port = harness.free_port()
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "beside:", **harness.for_proxmox(world.pve)}
    settings |= {"PUBLIC_URL": f"http://gate.test:{port}", "SESSION_SECRET": harness.SECRET}
    with harness.proxgate(port=port, **settings):
        page = chromium.new_context(base_url=settings["PUBLIC_URL"]).new_page()
        browser.card(page)
        browser.sign_in(page)
        page.goto("/guests/104")
        link = page.get_by_role("link", name="Open in Proxmox")
        assert link.get_attribute("href").startswith("https://127.0.0.1:")
        link.focus()
        assert link.get_attribute("href") == f"https://gate.test:{world.pve.address.port}/#v1:0:=qemu%2F104:4"
