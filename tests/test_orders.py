"""The buttons of a guest's page, and the orders that they give: by state, confirmed, sent once, followed, explained."""

import asyncio

import pytest

from services.simulator.catalogue import vmid_of
from services.simulator.simulator import Fault
from tests import harness
from tests.page_tab import QUICK, elements_of, path, person, sent
from tests.socket_client import laboratory, signed_in


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own."""
    with harness.simulator() as running:
        running.settle()
        yield running


@pytest.fixture(autouse=True)
def well(pve):
    """With nothing wrong, and nothing held, after each test."""
    yield
    pve.fault = Fault()
    pve.release()


@pytest.fixture(scope="module")
def lab(valkey_url, pve):
    """The program on it."""
    settings = {"STORE_PREFIX": "orders:", **harness.for_proxmox(pve)}
    with laboratory(QUICK, REDIS_URL=valkey_url, **settings) as up:
        yield up


@pytest.mark.parametrize(
    ("guest", "there"),
    [
        ("old-fileserver", {"Start"}),
        ("homeassistant", {"Shut down", "Reboot", "Suspend", "Stop"}),
        ("windows11", {"Resume", "Stop"}),
        ("debian-13-template", set()),
    ],
)
async def test_each_state_has_its_buttons(lab, root, guest, there):
    """A guest is offered what makes sense in its state, and a template nothing."""
    async with person(lab, root, path(guest)) as hand:
        await hand.until_sees("Configuration", "Boot order")
        every = {"Start", "Resume", "Shut down", "Reboot", "Suspend", "Stop"}
        assert {name for name in every if hand.sees_button(name)} == there


async def test_nothing_is_sent_before_yes(lab, root, pve):
    """A pressed button asks; no sends nothing, and yes pressed twice sends one order, which is followed to its end."""
    async with person(lab, root, path("gitea")) as hand:
        await hand.until_sees("Shut down")
        await hand.press("Shut down")
        await hand.until_sees("Shut down gitea?")
        await hand.answer(yes=False)
        await hand.until_gone("Shut down gitea?")
        assert sent(pve, f"/{vmid_of('gitea')}/status") == 0
        await hand.press("Shut down")
        await hand.until_sees("Shut down gitea?")
        await hand.answer()
        await hand.answer()
        await hand.until_sees("gitea has shut down.")
        await hand.until_sees("stopped", "Start")
        assert sent(pve, f"/{vmid_of('gitea')}/status/shutdown") == 1


async def test_what_goes_on_is_there_after_a_reload(lab, root, pve):
    """While a task runs all tabs show it in place of the buttons, a tab that is loaded anew too; and then its end."""
    pve.hold()
    async with person(lab, root, path("grafana")) as hand, person(lab, root, path("grafana")) as other:
        await hand.until_sees("Stop")
        await hand.press("Stop")
        await hand.until_sees("Stop grafana at once?")
        await hand.answer()
        async with person(lab, root, path("grafana")) as reloaded:
            for tab in (hand, other, reloaded):
                await tab.until_sees("CT stop is going on…", "Show its log")
                assert not tab.sees_button("Stop")
            await other.press("Stop")
            await asyncio.sleep(0.3)
            assert not other.sees("Stop grafana at once?")
            pve.release()
            for tab in (hand, other, reloaded):
                await tab.until_sees("stopped", "Start")
    assert sent(pve, f"/{vmid_of('grafana')}/status") == 1


async def test_a_failure_is_told_in_proxmox_s_words(lab, root):
    """A task that fails says so on the page, in its own words."""
    async with person(lab, root, path("old-fileserver")) as hand:
        await hand.until_sees("Start")
        await hand.press("Start")
        await hand.until_sees("Start old-fileserver?")
        await hand.answer()
        await hand.until_sees("old-fileserver: “Start” did not succeed.", "start failed: QEMU exited with code 1")


async def test_a_right_taken_away_meanwhile_is_named(lab, root, pve):
    """A 403 in the middle names the privilege that is lacking."""
    async with person(lab, root, path("immich")) as hand:
        await hand.until_sees("Stop")
        pve.fault = Fault(path=f"/nodes/{await node_of(hand)}/qemu/{vmid_of('immich')}/status/stop", status=403)
        await hand.press("Stop")
        await hand.until_sees("Stop immich at once?")
        await hand.answer()
        await hand.until_sees("immich: “Stop” did not succeed.", "Your account lacks a privilege")


async def test_a_grey_button_explains_itself_and_sends_nothing(lab, alice, pve):
    """Without the right a button is grey and says which line gives it; an event that a browser forges sends nothing."""
    pve.requests.clear()
    async with person(lab, alice, path("homeassistant")) as hand:
        await hand.until_sees("VM.PowerMgmt on /vms/100")
        lines = [one["props"].get("value", "") for one in elements_of(hand.page, hand.up).values() if one.get("props")]
        assert "pveum acl modify /vms/100 --users alice@pve --roles PVEVMUser" in lines
        assert hand.grey("Stop")
        await hand.press("Stop")
        await hand.press("Start")  # which is not even to be seen
        await hand.answer()
        await asyncio.sleep(0.5)
        assert not hand.sees("at once?")
    assert sent(pve, "/nodes/") == 0


async def test_a_task_outlives_the_session(lab, pve):
    """Where the session ends meanwhile the task goes on to its end."""
    pve.hold()
    with signed_in(lab) as client:
        async with person(lab, client, path("wireguard")) as hand:
            await hand.until_sees("Stop")
            await hand.press("Stop")
            await hand.until_sees("Stop wireguard at once?")
            await hand.answer()
            await hand.until_sees("CT stop is going on…")
            client.post("/logout")
            await hand.up.until(lambda: hand.up.opened() or hand.up.closed)
    pve.release()
    with signed_in(lab) as client:
        async with person(lab, client, path("wireguard")) as hand:
            await hand.until_sees("stopped", "Start")


async def node_of(hand):
    """Where the guest on the page is."""
    await hand.until_sees("pve")
    return next(text for text in hand.seen() if text in {"pve1", "pve2", "pve3"})
