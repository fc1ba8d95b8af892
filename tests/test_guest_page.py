"""The pages of one guest and one node as their tabs get them: what is asked of Proxmox, and when nothing is."""

import asyncio
import re

import httpx
import pytest

from services.simulator.catalogue import vmid_of
from services.simulator.simulator import Fault
from tests import harness
from tests.page_tab import asked, elements_of, looking, person, visible
from tests.socket_client import laboratory
from ui import text

QUICK = '''
"""Proxgate that looks often, but asks seldom for what moves slowly."""

from services.feed import pace
from ui import guest_questions, node_page

pace.QUICK = pace.IDLE = pace.SLOWEST = 0.2
guest_questions.STATUS_SECONDS = node_page.STATUS_SECONDS = 0.4
guest_questions.SLOW_SECONDS = node_page.SLOW_SECONDS = 3600

from ui.__main__ import main

main()
'''
SILENT_GUEST, GONE, TROUBLED, STOPPED, SPANNED, STORED = map(
    vmid_of, ("vaultwarden", "traefik", "pihole", "jellyfin", "nextcloud", "gitea")
)
"""A guest for each test: what was answered of one stays for the next."""

SILENT = re.compile(r"pve\d does not answer\.")


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own."""
    with harness.simulator() as running:
        running.settle()
        yield running


@pytest.fixture(autouse=True)
def well(pve):
    """With nothing wrong after each test."""
    yield
    pve.fault = Fault()


@pytest.fixture(scope="module")
def lab(valkey_url, pve):
    """The program on it."""
    settings = {"STORE_PREFIX": "guest-page:", **harness.for_proxmox(pve)}
    with laboratory(QUICK, REDIS_URL=valkey_url, **settings) as up:
        yield up


def stop(pve, vmid):
    """Stop a container, as its owner would in Proxmox."""
    with httpx.Client(base_url=f"https://{pve.address}/api2/json", verify=False, trust_env=False) as client:
        form = {"username": "root@pam", "password": "demo"}
        data = client.post("/access/ticket", data=form).json()["data"]
        client.cookies.set("PVEAuthCookie", data["ticket"])
        rows = client.get("/cluster/resources?type=vm").json()["data"]
        node = next(row["node"] for row in rows if row["vmid"] == vmid)
        headers = {"CSRFPreventionToken": data["CSRFPreventionToken"]}
        assert client.post(f"/nodes/{node}/lxc/{vmid}/status/stop", headers=headers).status_code == 200


def curves(page, up):
    """The classes that the charts stand under."""
    return visible(page, up).get(text.CHART_NETWORK, {"pg-waiting"})


async def test_what_the_picture_knows_needs_no_node(lab, root, pve):
    """Though its node is silent, what the list of guests tells of a guest stands there, and is not grey.

    The node is named, and what comes after says nothing of its own.
    """
    pve.fault = Fault(path="/nodes/", status=595)
    async with looking(lab, root, f"/guests/{SILENT_GUEST}") as (page, up):
        await up.until(lambda: text.ADDRESSES not in visible(page, up), 20)
        assert any(map(SILENT.fullmatch, visible(page, up)))
        shown = visible(page, up)
        assert {text.COLUMN_VMID, str(SILENT_GUEST), "Container", text.CORES} <= set(shown)
        assert not shown[str(SILENT_GUEST)] & {"pg-stale", "pg-waiting"}


async def test_a_guest_that_is_gone_is_not_asked_about(lab, root, pve):
    """Once a guest is gone, its page asks Proxmox for nothing of it any more."""
    async with looking(lab, root, f"/guests/{GONE}") as (page, up):
        await up.until(lambda: asked(pve, f"/{GONE}/") > 4, 20)
        pve.remove_guest(GONE)
        await up.until(lambda: text.GUEST_GONE in visible(page, up), 20)
        pve.requests.clear()
        await asyncio.sleep(1.2)
        assert (asked(pve, "/cluster/resources") > 2, asked(pve, f"/{GONE}/")) == (True, 0)


@pytest.mark.parametrize(
    ("path", "question"),
    [(f"/guests/{TROUBLED}", f"/{TROUBLED}/status/current"), ("/nodes/pve1", "/nodes/pve1/status")],
)
async def test_in_trouble_nothing_is_asked(lab, root, pve, path, question):
    """While there is no new picture guest and node are not asked how they are; once there is one, they are again."""
    async with looking(lab, root, path) as (page, up):
        await up.until(lambda: asked(pve, question) > 1, 20)
        pve.fault = Fault(path="/cluster/resources", status=596)
        await up.until(lambda: any("Unable to reach" in words for words in visible(page, up)), 20)
        pve.requests.clear()
        await asyncio.sleep(1.2)
        assert asked(pve, question) == 0
        pve.fault = Fault()
        await up.until(lambda: asked(pve, question), 20)


async def test_a_node_of_which_one_sees_little(lab, kid):
    """Whoever may not audit a node reads that, and the line that gives it, instead of an empty page."""
    async with looking(lab, kid, "/nodes/pve1") as (page, up):
        await up.until(lambda: text.NODE_LITTLE in visible(page, up), 20)
        lines = [one.get("props", {}).get("value", "") for one in elements_of(page, up).values()]
        assert "pveum acl modify /nodes/pve1 --users kid@pve --roles PVEAuditor" in lines


async def test_proxmox_has_its_say_in_a_part(lab, root, pve):
    """Where a part of a page got an error, Proxmox's own words stand behind a fold below the sentence."""
    pve.fault = Fault(path=f"/nodes/pve1/qemu/{SPANNED}/config", status=500)
    async with looking(lab, root, f"/guests/{SPANNED}") as (page, up):
        await up.until(lambda: text.PROXMOX_SAID in visible(page, up), 20)
        assert {text.NODE_FAILED.format(node="pve1"), "simulated fault"} <= visible(page, up).keys()


async def test_curves_of_another_span_wait(lab, root, pve):
    """Once another span is pressed the curves wait, and where there is no answer they go; the switch stays."""
    async with looking(lab, root, f"/guests/{SPANNED}") as (page, up):
        await up.until(lambda: asked(pve, f"/{SPANNED}/rrddata") and "pg-waiting" not in curves(page, up), 20)
        pve.fault = Fault(path="/nodes/", delay=1, status=595)
        id, day = next((id, one) for id, one in page.elements.items() if one.get("text") == text.span("day"))
        listener = day["events"][0]["listener_id"]
        await up.emit("event", {"id": int(id), "client_id": page.client_id, "listener_id": listener, "args": []})
        await up.until(lambda: "pg-waiting" in curves(page, up), 5)
        await up.until(lambda: text.CHART_NETWORK not in visible(page, up), 10)
        assert text.span("day") in visible(page, up)


async def test_an_answer_of_another_state_is_none(lab, root, pve):
    """A guest that was stopped is asked anew for what was answered a moment ago, and would be fresh for an hour."""
    async with looking(lab, root, f"/guests/{STOPPED}") as (page, up):
        await up.until(lambda: asked(pve, f"/lxc/{STOPPED}/rrddata") and text.ADDRESSES in visible(page, up), 20)
        await up.until(lambda: asked(pve, "/nodes/", "/tasks"), 20)
        pve.requests.clear()
        stop(pve, STOPPED)
        await up.until(lambda: "stopped" in visible(page, up), 20)
        await up.until(lambda: asked(pve, f"/lxc/{STOPPED}/rrddata"), 5)
        await up.until(lambda: text.ADDRESSES not in visible(page, up), 5)


async def test_a_storage_that_comes_up_is_asked_about_at_once(lab, root, pve, monkeypatch):
    """Though backups are asked for seldom; and whatever Proxmox's order is, storages stand in that of their names."""
    every, down = pve._world.storages, {"nas"}

    def storages(at):
        rows = [row | {"status": "unknown"} if row["storage"] in down else row for row in every(at)]
        return sorted(rows, key=lambda row: row["storage"], reverse=True)

    monkeypatch.setattr(pve._world, "storages", storages)

    def asked_about(storage):  # the health of the cluster asks for the backups of all guests
        asks = [one for one in tuple(pve.requests) if f"/storage/{storage}/content" in one.path]
        return any(str(STORED) in str(one.parameters) for one in asks)

    await asyncio.sleep(1)  # for the picture of a tab before, which is not gone yet
    async with person(lab, root, f"/guests/{STORED}") as hand:
        await hand.up.until(lambda: asked_about("local"), 20)
        await asyncio.sleep(1.2)  # for what the page asks at first
        assert not asked_about("nas")
        down.clear()
        await hand.up.until(lambda: asked_about("nas"), 5)
        await hand.press("Back up now")
        await hand.until_sees("Back up gitea now")
        radios = [one["props"]["options"] for one in elements_of(hand.page, hand.up).values() if _is_choice(one)]
        assert [option["label"].split()[0] for option in radios[-1]] == ["local", "nas"]


def _is_choice(one):
    return any("label" in option for option in one.get("props", {}).get("options", ()) if isinstance(option, dict))
