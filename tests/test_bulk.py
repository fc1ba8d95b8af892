"""Several guests at once: what the browser names is looked at, confirmed once, sent once each, told one by one."""

import pytest

from services.simulator.catalogue import vmid_of
from tests import harness
from tests.seen import looking
from ui import text
from ui.bulk import MOST

SHUT, ALSO_SHUT, DEAF, HALTED = map(vmid_of, ("nextcloud", "immich", "truenas", "gitea-runner"))
"""For the tests that change something, each its own."""
PAUSED, STOPPED = map(vmid_of, ("windows11", "old-fileserver"))
"""Which stay as they are: no test changes them, and they do not start or stop by themselves."""


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own."""
    with harness.simulator(guests=300) as running:
        running.settle()
        yield running


@pytest.fixture(autouse=True)
def fresh(pve):
    """With nothing changed before each test, and nothing held after it."""
    pve.changes.clear()
    yield
    pve.release()


@pytest.fixture(scope="module")
def lab(valkey_url, pve):
    """The program on it."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "bulk:", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
        yield up


class Table:
    """The page of all guests, for somebody who has selected some of them."""

    def __init__(self, seen):
        self.seen = seen

    async def act(self, action, vmids):
        await self.seen.up.until(lambda: not self.seen.says(text.LOADING), 20)  # before that there is nothing to select
        id, page = self.seen.first(lambda one: one.get("props", {}).get("id") == "guests")
        listener = next(event["listener_id"] for event in page["events"] if event["type"] == "act")
        await self.seen.fire(id, {"events": [{"listener_id": listener}]}, {"action": action, "vmids": vmids})

    async def act_confirmed(self, action, vmids):
        await self.act(action, vmids)
        await self.seen.up.until(lambda: self.seen.says(text.bulk_what(action)), 20)
        await self.seen.answer()

    def results(self):
        """What is said of each guest, in the order of the list."""
        lines = [one for one in self.seen.elements().values() if "pg-result" in one.get("class", ())]
        elements = self.seen.elements()
        parts = [[elements[str(child)] for child in line["children"]] for line in lines]
        return [one["text"] for children in parts for one in children if "pg-count" in one.get("class", ())]


def sent(pve):
    """The guests about which something was told to Proxmox, and what."""
    found = [(path.split("/"), count) for (method, path), count in pve.changes.items() if "/status/" in path]
    return sorted((int(parts[4]), parts[6], count) for parts, count in found)


async def test_a_second_press_sends_nothing(lab, pve):
    """However often the buttons are pressed, each order leaves once; while some are on their way no others begin."""
    pve.hold()
    async with looking(lab, "/guests") as seen:
        table = Table(seen)
        await table.act("stop", [HALTED])
        await seen.up.until(lambda: seen.says(text.bulk_what("stop")), 20)
        for _ in range(3):
            await seen.answer()
        await seen.up.until(lambda: text.RESULT_GOES_ON in table.results(), 20)
        await seen.answer()
        pve.release()
        await seen.up.until(lambda: table.results() == [text.RESULT_DONE], 20)
    assert sent(pve) == [(HALTED, "stop", 1)]


@pytest.mark.parametrize(
    ("action", "vmids"),
    [("start", [PAUSED]), ("shutdown", []), ("shutdown", [99999]), ("shutdown", ["100", None, {}, 1.5])],
)
async def test_what_fits_none(action, vmids, lab, pve):
    """Where it fits none of them that is said, and nothing is asked or sent."""
    async with looking(lab, "/guests") as seen:
        await Table(seen).act(action, vmids)
        await seen.up.until(lambda: seen.says(text.NONE_FITS.format(order=text.order(action))), 20)
    assert sent(pve) == []


@pytest.mark.parametrize("args", [None, 7, "x", [], {}, {"action": "destroy", "vmids": [100]}, {"action": ["stop"]}])
async def test_forged_orders(args, lab, pve):
    """What no button sends does nothing."""
    async with looking(lab, "/guests") as seen:
        id, page = seen.first(lambda one: one.get("props", {}).get("id") == "guests")
        listener = next(event["listener_id"] for event in page["events"] if event["type"] == "act")
        await seen.fire(id, {"events": [{"listener_id": listener}]}, args)
        await Table(seen).act("start", [PAUSED])  # and the page still listens
        await seen.up.until(lambda: seen.says(text.NONE_FITS.format(order=text.order("start"))), 20)
    assert sent(pve) == []


async def test_without_the_right(lab, pve):
    """An account that may not do it is told which privilege it lacks, and nothing is sent."""
    async with looking(lab, "/guests", "alice", "pve") as seen:
        await seen.up.until(lambda: seen.grey(text.order("stop")), 40)
        await Table(seen).act("stop", [PAUSED])
        words = text.LACKS_NAMED_PRIVILEGE.format(privilege="VM.PowerMgmt", path=f"/vms/{PAUSED}")
        await seen.up.until(lambda: words in seen.words("pg-results-title"), 20)
    assert sent(pve) == []


async def test_more_than_at_once(lab, pve):
    """Of very many the first are asked about, and it is said that the others are left out."""
    async with looking(lab, "/guests") as seen:
        await Table(seen).act("stop", list(range(100, 100 + 300)))
        words, _, _ = text.LEFT_OUT_AS_TOO_MANY.partition("{names}")
        said = words.format(most=MOST)
        await seen.up.until(lambda: said in str([one.get("text") for one in seen.elements().values()]), 20)
        assert seen.says(text.bulk_title("stop", MOST))
    assert sent(pve) == []


async def test_each_has_its_result(lab, pve):
    """Those that fit are confirmed together and sent once each; one that fails says why, and keeps no other from it."""
    async with looking(lab, "/guests") as seen:
        table = Table(seen)
        await table.act_confirmed("shutdown", [SHUT, DEAF, ALSO_SHUT, STOPPED, SHUT, 99999])
        await seen.up.until(lambda: text.RESULT_DONE in table.results(), 30)
        pve.advance(600)  # one hears nothing, and Proxmox waits for it in vain; others may stop by themselves
        ends = [text.NOT_DONE, text.RESULT_DONE, text.RESULT_DONE]
        await seen.up.until(lambda: sorted(table.results()) == ends, 30)
        assert seen.says("VM quit/powerdown failed - got timeout")
    assert sent(pve) == [(vmid, "shutdown", 1) for vmid in sorted((SHUT, DEAF, ALSO_SHUT))]
