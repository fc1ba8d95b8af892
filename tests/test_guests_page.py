"""The page of all guests, frame by frame: what of ten blocks of guests reaches a tab, and what does not."""

import contextlib
import json

import pytest

from services.simulator.simulator import Fault
from tests import harness
from tests.guest_tabs import GuestTab, open_page, taken
from tests.socket_client import signed_in, tab

GUESTS = 260
VMIDS = list(range(100, 100 + GUESTS))


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own, whose figures move quickly."""
    with harness.simulator(guests=GUESTS, speed=60.0) as running:
        yield running


@pytest.fixture(scope="module")
def lab(valkey_url, pve):
    """The program on it."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "guests:", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
        yield up


@contextlib.asynccontextmanager
async def looking(lab, client, path="/guests"):
    """A tab at the page."""
    page = open_page(client, path)
    async with tab(lab, client, page) as up:
        yield GuestTab(page, up)


def vmids(rows):
    return [row[0] for _, row in sorted(rows.items())]


def box(page):
    """The search box's attributes."""
    return next(one["props"] for one in page.elements.values() if one.get("props", {}).get("id") == "guests-search")


def attributes(page):
    """Those of the element that the page's script works with."""
    return next(one["props"] for one in page.elements.values() if one.get("props", {}).get("id") == "guests")


def sorting(page):
    return attributes(page)["data-sort"]


async def test_a_tab_gets_the_block_it_asks_for(lab, root):
    """The first question is answered with the first block of rows and the count, with none of the others."""
    async with looking(lab, root) as guests:
        await guests.ask()
        came = await guests.answered()
        assert guests.count == GUESTS
        assert vmids(guests.rows) == VMIDS[:50]
        assert [[start for start, _ in one["blocks"]] for one in came] == [[0]]


async def test_only_rows_in_view_are_sent(lab, root):
    """With each new picture a tab gets rows that it has in view, and nothing else of the list."""
    async with looking(lab, root) as guests:
        await guests.ask(first=3, last=9)
        await guests.answered()
        since = guests.read
        await guests.tab.until(lambda: len(taken(guests.tab)) > since + 1, 30)
        sent = taken(guests.tab)[since:]
        places = {place for one in sent for place, _ in one["rows"]}
        assert places
        assert places <= set(range(3, 10))
        assert [one["blocks"] for one in sent] == [[]] * len(sent)
        names = {f"lab-0{vmid}" for vmid in VMIDS[60:]}
        assert not any(name in json.dumps(taken(guests.tab)) for name in names)  # the bell may tell of some


async def test_a_page_built_while_somebody_looks_has_its_first_rows(lab, root):
    """With the picture known, the first block of the search stands in the page, and is not sent again."""
    async with looking(lab, root) as guests:
        await guests.ask()
        await guests.answered()
        async with looking(lab, root, "/guests?q=vmid:100-199&sort=-vmid") as second:
            opening = json.loads(attributes(second.page)["data-opening"])
            assert (opening["count"], [start for start, _ in opening["blocks"]]) == (100, [0])
            assert [row[0] for row in opening["blocks"][0][1]] == VMIDS[99:49:-1]
            await second.ask(search="vmid:100-199", sort="-vmid", blocks=[], opened=True, last=3)
            await second.tab.until(lambda: taken(second.tab), 20)
            assert taken(second.tab)[0]["blocks"] == []


async def test_search_and_order_are_done_here(lab, root):
    """A question with a search and an order is answered with those guests in that order, and how many there are."""
    async with looking(lab, root) as guests:
        await guests.ask(search="vmid:110-130 -template", sort="-vmid")
        await guests.answered()
        assert vmids(guests.rows)[:2] == [130, 129]
        assert guests.count == len(guests.rows) <= 21
        await guests.ask(search="nothing-like-it")
        await guests.answered()
        assert (guests.count, guests.rows) == (0, {})


async def test_further_blocks_come_when_asked_for(lab, root):
    """A tab that scrolls gets the block that it comes to, the last one as short as it is."""
    async with looking(lab, root) as guests:
        await guests.ask()
        await guests.answered()
        await guests.ask(new=False, blocks=[250], first=240, last=259)
        await guests.tab.until(lambda: guests.take() or len(guests.rows) > 50, 20)
        assert vmids({at: row for at, row in guests.rows.items() if at >= 250}) == VMIDS[250:]


async def test_questions_that_make_no_sense_are_not_answered(lab, root):
    """What no page of ours would ask is dropped without a trace; the next good question is answered."""
    async with looking(lab, root) as guests:
        for wrong in (None, [], "x", {"number": 5}, {"number": "1", "blocks": [0]}, {"blocks": [-50]}):
            await guests.send(wrong)
        for wrong in ({"blocks": [0] * 500}, {"search": "x" * 501}, {"sort": 5}, {"first": -1}, {"last": 1e12}):
            await guests.ask(**wrong)
        await guests.ask(sort="__class__", search="vmid:100")
        await guests.answered()
        assert vmids(guests.rows) == [100]
        assert {one["number"] for one in taken(guests.tab)} == {guests.number}
    assert "Traceback" not in lab.output()


@pytest.mark.parametrize(
    ("path", "search", "order"),
    [
        ("/guests?q=node:pve1+stopped&sort=-cpu", "node:pve1 stopped", "-cpu"),
        ("/guests?sort=colour&q=", "", "vmid"),
        ("/guests?q=%22%3E%3C/script%3E{{x}}", '"></script>{{x}}', "vmid"),
        (f"/guests?q={'x' * 3000}", "x" * 500, "vmid"),
        ("/guests?q=a&q=b&sort=&other=1", "b", "vmid"),
    ],
)
def test_an_address_says_search_and_order(lab, root, path, search, order):
    """A deep link fills the search box and names the order; what makes no sense is ignored, what is too long cut."""
    page = open_page(root, path)
    assert (box(page).get("^value", ""), sorting(page)) == (search, order)


async def test_tabs_of_one_account_cost_one_list(lab, root, pve):
    """However many tabs look at the guests, Proxmox is asked for the list once a refresh."""
    async with contextlib.AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(looking(lab, root)) for _ in range(5)]
        for one in tabs:
            await one.ask()
            await one.answered()
        pve.requests.clear()
        reads = [one.read for one in tabs]
        for one, read in zip(tabs, reads, strict=True):
            await one.tab.until(lambda one=one, read=read: len(taken(one.tab)) > read + 1, 60)
        asked = [request.path for request in tuple(pve.requests)].count("/cluster/resources")
        assert 1 <= asked <= 4


async def test_while_proxmox_is_silent_the_rows_stay(lab, root, pve):
    """A question that is asked while Proxmox does not answer is answered from the last picture."""
    async with looking(lab, root) as guests:
        await guests.ask()
        await guests.answered()
        pve.fault = Fault(path="/cluster", status=595)
        try:
            await guests.tab.until(lambda: "Unable to reach" in str(guests.tab.frames), 20)
            await guests.ask(search="vmid:150")
            await guests.answered()
            assert vmids(guests.rows) == [150]
        finally:
            pve.fault = Fault()


def test_a_stranger_gets_no_guests(lab):
    """Without a session the page is not there."""
    with lab.client() as client:
        answer = client.get("/guests?q=x", headers=harness.PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/guests%3Fq%3Dx")


async def test_an_account_sees_its_own_guests_only(lab, kid):
    """Rows are of what the account may see: another account's rows are never among them."""
    async with looking(lab, kid) as guests:
        await guests.ask()
        await guests.answered()
        assert guests.count == len(guests.rows) < 10
    with signed_in(lab) as root:
        async with looking(lab, root) as all:
            await all.ask()
            await all.answered()
            assert all.count == GUESTS
