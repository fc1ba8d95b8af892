"""The pages of one guest and one node as their tabs get them: what is asked of Proxmox, and when nothing is."""

import asyncio
import contextlib
import re

import httpx
import pytest

from services.simulator.catalogue import vmid_of
from services.simulator.simulator import Fault
from tests import harness
from tests.socket_client import laboratory, load, tab
from ui import text

QUICK = '''
"""Proxgate that looks often, but asks seldom for what moves slowly."""

from services.feed import pace
from ui import guest_page, node_page

pace.QUICK = pace.IDLE = pace.SLOWEST = 0.2
guest_page.STATUS_SECONDS = node_page.STATUS_SECONDS = 0.4
guest_page.SLOW_SECONDS = node_page.SLOW_SECONDS = 3600

from ui.__main__ import main

main()
'''
GUEST = vmid_of("vaultwarden")
SILENT = re.compile(r"pve\d does not answer\.")


@pytest.fixture
def pve():
    """A Proxmox of each test's own."""
    with harness.simulator() as running:
        yield running


@pytest.fixture
def lab(valkey_url, pve):
    settings = {"STORE_PREFIX": f"guest{pve.address.port}:", **harness.for_proxmox(pve)}
    with laboratory(QUICK, REDIS_URL=valkey_url, **settings) as up:
        yield up


@contextlib.asynccontextmanager
async def looking(lab, client, path):
    """A tab at a page."""
    page = load(client, path)
    async with tab(lab, client, page) as up:
        yield page, up


def visible(page, up):
    """The texts of the page that are to be seen now, each with the classes that it stands under."""
    elements = dict(page.elements)
    for _, event in up.events():
        if event[0] == "update":
            elements.update({id: one for id, one in event[1].items() if one})
    found = {}

    def walk(id, above):
        one = elements.get(str(id))
        if one is None or "hidden" in one.get("class", ()):
            return
        classes = above | set(one.get("class", ()))
        if one.get("text"):
            found[one["text"]] = classes
        for slot in (one, *one.get("slots", {}).values()):
            for child in slot.get("children", slot.get("ids", ())):
                walk(child, classes)

    walk(0, set())
    return found


def asked(pve, *parts):
    """How many questions have come whose path has all these parts."""
    return sum(all(part in request.path for part in parts) for request in tuple(pve.requests))


def about_guest(pve):
    """How many questions have come for this guest alone."""
    return asked(pve, f"/{GUEST}/")


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


async def test_what_the_picture_knows_needs_no_node(lab, root, pve):
    """Though its node is silent, what the list of guests tells of a guest stands there, and is not grey."""
    pve.fault = Fault(path="/nodes/", status=595)
    async with looking(lab, root, f"/guests/{GUEST}") as (page, up):
        await up.until(lambda: any(map(SILENT.fullmatch, visible(page, up))), 20)
        shown = visible(page, up)
        assert {text.COLUMN_VMID, str(GUEST), "Container", text.CORES} <= set(shown)
        assert not shown[str(GUEST)] & {"pg-stale", "pg-waiting"}
        assert text.ADDRESSES not in shown


async def test_a_guest_that_is_gone_is_not_asked_about(lab, root, pve):
    """Once a guest is gone, its page asks Proxmox for nothing of it any more."""
    async with looking(lab, root, f"/guests/{GUEST}") as (page, up):
        await up.until(lambda: about_guest(pve) > 4, 20)
        pve.remove_guest(GUEST)
        await up.until(lambda: text.GUEST_GONE in visible(page, up), 20)
        pve.requests.clear()
        await asyncio.sleep(1.2)
        assert (asked(pve, "/cluster/resources") > 2, about_guest(pve)) == (True, 0)


@pytest.mark.parametrize(("path", "parts"), [(f"/guests/{GUEST}", f"/{GUEST}/"), ("/nodes/pve1", "/nodes/pve1/")])
async def test_in_trouble_nothing_is_asked(lab, root, pve, path, parts):
    """While there is no new picture nothing is asked of guest or node; once there is one, all of it at once."""
    async with looking(lab, root, path) as (page, up):
        await up.until(lambda: asked(pve, parts, "rrddata") and asked(pve, parts, "status"), 20)
        pve.fault = Fault(path="/cluster/resources", status=596)
        await up.until(lambda: any("Unable to reach" in words for words in visible(page, up)), 20)
        pve.requests.clear()
        await asyncio.sleep(1.2)
        assert asked(pve, parts) == 0
        pve.fault = Fault()
        await up.until(lambda: asked(pve, parts, "status"), 20)


async def test_an_answer_of_another_state_is_none(lab, root, pve):
    """A guest that was stopped is asked anew for what was answered a moment ago, and would be fresh for an hour."""
    async with looking(lab, root, f"/guests/{GUEST}") as (page, up):
        await up.until(lambda: asked(pve, f"/lxc/{GUEST}/rrddata") and text.ADDRESSES in visible(page, up), 20)
        await up.until(lambda: asked(pve, "/nodes/", "/tasks"), 20)
        pve.requests.clear()
        stop(pve, GUEST)
        await up.until(lambda: "stopped" in visible(page, up), 20)
        await up.until(lambda: asked(pve, f"/lxc/{GUEST}/rrddata"), 5)
        await up.until(lambda: text.ADDRESSES not in visible(page, up), 5)
