"""The pages of a node, a guest, the storages and the tasks, when their session or their account's rights end."""

import asyncio
import contextlib
import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from services.proxmox.userid import split_userid
from services.sessions.record import hash_id
from services.simulator.catalogue import vmid_of
from services.simulator.household import ACCOUNTS
from tests import harness
from tests.harness import PAGE, sign_in
from tests.socket_client import load, read_page, tab, until
from ui import words

pytestmark = pytest.mark.slow

PREFIX = "ends:"
WHO = "alice@pve"
VMID = vmid_of("vaultwarden")
PAGES = {
    "/nodes/pve1": ("9.2.11", "/nodes/pve1/status"),
    f"/guests/{VMID}": ("eth0", f"/lxc/{VMID}/status/current"),
    "/storage": ("media", "/cluster/resources"),
    "/tasks?node=pve1": ("UPID:pve1:", "/nodes/pve1/tasks"),
}
"""Each with what stands there once it is drawn, and what Proxmox is asked for it."""

FORBIDDEN = {
    "/nodes/pve1": words.LACKS_PRIVILEGE,
    f"/guests/{VMID}": words.GUEST_GONE,
    "/storage": words.NO_STORAGE_TITLE,
    "/tasks?node=pve1": words.TASKS_NONE_SUCH,
}


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own, whose rights are taken away."""
    with harness.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def site(valkey_url, pve):
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": PREFIX, **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
        yield up


@pytest.fixture
def client(site):
    """A browser that has come by the login card."""
    with site.client() as jar:
        jar.get("/login", headers=PAGE)
        assert sign_in(jar, *split_userid(WHO)).status_code == 200
        yield jar


@contextlib.asynccontextmanager
async def opened(site, client, pages):
    """The sockets of these pages, by their addresses, each once the page is drawn."""
    async with contextlib.AsyncExitStack() as stack:
        tabs = {path: await stack.enter_async_context(tab(site, client, page)) for path, page in pages.items()}
        for path, up in tabs.items():
            await up.until(lambda path=path, up=up: drawn(path, pages[path], up), 20)
        yield tabs


def drawn(path, page, up):
    """Whether it shows what there is to be seen."""
    return any(PAGES[path][0] in said for said in shown(page, up))


def shown(page, up):
    """All that stands on a page by now, but what is hidden."""
    elements = dict(page.elements)
    for _, event in up.events():
        if event[0] == "update":
            elements.update(event[1])

    def walk(id):
        one = elements.get(str(id))
        if not isinstance(one, dict) or "hidden" in one.get("class", ()):
            return
        yield from filter(None, (one.get("text"), one.get("props", {}).get("data-rows")))
        for child in one.get("children", ()):
            yield from walk(child)

    return list(walk(0))


def asked(pve, path):
    """Whether Proxmox has been asked what a page asks."""
    return any(one.path.endswith(PAGES[path][1]) for one in tuple(pve.requests))


async def hide(page, up):
    """Tell as the page's script does that nobody looks."""
    [(id, place)] = [(id, one) for id, one in page.elements.items() if one.get("props", {}).get("id") == "pg-sight"]
    listener = place["events"][0]["listener_id"]
    message = {"id": int(id), "client_id": page.client_id, "listener_id": listener, "args": [json.dumps("hidden")]}
    await up.emit("event", message)


async def test_sign_out_ends_them(site, client):
    """Two seconds after the sign-out each is on its way to the card, and nothing more of it is shown."""
    pages = {path: load(client, path) for path in PAGES}
    async with opened(site, client, pages) as tabs:
        began = time.monotonic()
        assert (await asyncio.to_thread(client.post, "/logout")).status_code == 303
        for path, up in tabs.items():
            await up.until(lambda up=up: up.closed)
            [(at, card)] = up.opened()
            assert (card, up.closed - began < 2) == ("/login", True), path
            assert not up.data(at), path


async def test_they_wait_for_their_person_and_ask_anew(site, client, valkey_url, pve):
    """Each waits under the card when its session expires, asks nothing meanwhile, and comes back as it was; though it
    was hidden before, it asks anew."""
    pages = {path: load(client, path) for path in PAGES}
    record = f"{PREFIX}session:{{{hash_id(client.cookies['proxgate'].partition('.')[0])}}}"
    with harness.admin(valkey_url) as admin:
        assert admin.pexpire(record, 100_000)
        async with opened(site, client, pages) as tabs:
            for path, up in tabs.items():
                await hide(pages[path], up)
            await until(lambda: admin.pttl(record) > 100_000)  # an event is use: it has moved the idle clock by now
            assert admin.pexpire(record, 1500)
            for up in tabs.values():
                await up.until(lambda up=up: up.closed, 10)
    cards = {path: parse_qs(urlsplit(up.opened()[0][1]).query) for path, up in tabs.items()}
    await asyncio.sleep(0.3)
    pve.requests.clear()
    await asyncio.sleep(1)
    assert not pve.requests
    assert {tuple(card["ended"]) for card in cards.values()} == {("idle",)}
    assert sign_in(client, *split_userid(WHO)).status_code == 200
    back = {path: read_page(client.get(card["next"][0], headers=PAGE).text) for path, card in cards.items()}
    assert {path: page.client_id for path, page in back.items()} == {
        path: page.client_id for path, page in pages.items()
    }
    pve.requests.clear()
    async with opened(site, client, back) as tabs:
        for path, up in tabs.items():
            assert PAGES[path][0] in str(back[path].elements), path
            await up.until(lambda path=path: asked(pve, path), 15)


async def test_rights_that_are_taken_away(site, client, pve):
    """When an account loses its rights while they are open, each says so, and shows no more than it did."""
    [account] = [account for account in ACCOUNTS if account.userid == WHO]
    pages = {path: load(client, path) for path in PAGES}
    try:
        async with opened(site, client, pages) as tabs:
            pve.grant(WHO, ())
            for path, up in tabs.items():
                await up.until(lambda path=path, up=up: FORBIDDEN[path] in str(shown(pages[path], up)), 20)
            for path, up in tabs.items():
                if FORBIDDEN[path] != words.GUEST_GONE:  # of a guest that is gone the last picture stays
                    assert not drawn(path, pages[path], up), path
    finally:
        pve.grant(WHO, account.grants)
