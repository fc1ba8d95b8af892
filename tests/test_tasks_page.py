"""The page of tasks: what could not be read is said to be so, and never taken for none."""

import json

import pytest

from services.simulator.catalogue import vmid_of
from services.simulator.simulator import Fault
from tests import harness
from tests.page_tab import visible
from tests.socket_client import laboratory, load, signed_in, tab
from ui import text
from ui.task_filter import MOST_SHOWN, Wanted
from ui.tasks_page import counted

FORGETFUL = '''
"""Proxgate that knows tasks for two seconds."""

from services.feed import pace, poller

pace.QUICK = pace.IDLE = 0.2
poller.TASKS_KEPT = 2

from ui.__main__ import main

main()
'''

UNREAD, NONE_SUCH = "The tasks could not be read", "No such tasks"


@pytest.fixture
def pve():
    """A Proxmox of each test's own, whose faults are no other's."""
    with harness.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def site(valkey_url):
    """The program on a Proxmox with which nothing is wrong."""
    with harness.simulator() as calm:
        settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "which-tasks:", **harness.for_proxmox(calm)}
        with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up:
            yield up


@pytest.fixture(scope="module")
def client(site):
    """The administrator's browser."""
    with signed_in(site) as browser:
        yield browser


@pytest.fixture
def root(valkey_url, pve):
    """The administrator's browser, and the program."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": f"tasks{pve.address.port}:", **harness.for_proxmox(pve)}
    with harness.proxgate(SESSION_SECRET=harness.SECRET, **settings) as up, signed_in(up) as client:
        yield up, client


def said(page, up):
    """The titles that stand in place of tasks, as far as they are to be seen."""
    elements = dict(page.elements)
    for _, event in up.events():
        if event[0] == "update":
            elements.update(event[1])
    notices = [one for one in elements.values() if isinstance(one, dict) and "pg-empty" in one.get("class", ())]
    seen = [one for one in notices if "hidden" not in one["class"] and "pg-loading" not in one["class"]]
    return {elements[str(child)]["text"] for one in seen for child in one["children"][:1]}


@pytest.mark.parametrize(
    ("path", "address"),
    [("/cluster/tasks", "/tasks"), ("/nodes", "/tasks?failed=1"), ("/nodes", "/tasks?guest=100")],
)
async def test_tasks_that_cannot_be_read(root, pve, path, address):
    """Where tasks cannot be read the page says so, and neither that there are none nor that none has failed."""
    lab, client = root
    pve.fault = Fault(path=path, status=500)
    page = load(client, address)
    async with tab(lab, client, page) as up:
        await up.until(lambda: said(page, up), 20)
        assert said(page, up) == {UNREAD}
        pve.fault = Fault()
        await up.until(lambda: not said(page, up), 30)


async def test_tasks_that_cannot_be_read_any_more(valkey_url, pve):
    """Tasks that were shown, and cannot be read anew for long, are not shown as the newest for ever."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "forgetful:", **harness.for_proxmox(pve)}
    with laboratory(FORGETFUL, **settings) as lab, signed_in(lab) as client:
        page = load(client, "/tasks")
        async with tab(lab, client, page) as up:
            await up.until(lambda: "The newest of each node, " in str(up.frames), 20)
            pve.fault = Fault(path="/cluster/tasks", status=500)
            await up.until(lambda: said(page, up) == {UNREAD}, 20)
            pve.fault = Fault()
            await up.until(lambda: not said(page, up), 20)


@pytest.mark.parametrize(
    ("total", "cut", "of_last_day", "words"),
    [
        (2, False, True, "2 in the last 24 hours"),
        (2, False, False, "The newest 2"),
        (MOST_SHOWN, True, False, "The newest 300"),
        (MOST_SHOWN + 1, True, False, "The newest 300"),
        (1412, False, False, "The newest 300 of 1,412"),
        (MOST_SHOWN, True, True, "The newest 300 in the last 24 hours"),
        (412, False, True, "The newest 300 of 412 in the last 24 hours"),
    ],
)
def test_what_is_cut_is_said_to_be(total, cut, of_last_day, words):
    """Where not all tasks are shown, the count says that these are the newest, and of how many if that is known."""
    assert counted(total, cut=cut, of_last_day=of_last_day) == words


def test_of_each_node():
    """Proxmox tells a few of each: an older one of another node may be missing."""
    assert counted(75, cut=True, of_last_day=False, of_each=True) == "The newest of each node, 75 in all"
    assert counted(500, cut=True, of_last_day=False, of_each=True) == "The newest 300"


async def test_a_node_that_is_none(site, client):
    """A node that there is not is no node that keeps silent: that is said, and nobody is asked."""
    page = load(client, "/tasks?node=nope")
    async with tab(site, client, page) as up:
        await up.until(lambda: text.NO_SUCH_NODE.format(node="nope") in visible(page, up), 20)
        assert text.NODE_SILENT.format(node="nope") not in visible(page, up)


async def test_none(root):
    """Where there are none that is said."""
    lab, client = root
    page = load(client, "/tasks?guest=99999")
    async with tab(lab, client, page) as up:
        await up.until(lambda: said(page, up), 20)
        assert said(page, up) == {NONE_SUCH}


def rows(page, up):
    """The rows of the table, as the browser has them to draw."""
    sent = [event[1] for _, event in up.events() if event[0] == "update"]
    found = [one for elements in (page.elements, *sent) for one in elements.values() if isinstance(one, dict)]
    told = [one["props"]["data-rows"] for one in found if "data-rows" in one.get("props", {})]
    return json.loads(told[-1])


def choice(page, label):
    """The message with which one of the choices is made."""
    found = (item for item in page.elements.items() if item[1].get("props", {}).get("aria-label") == label)
    id, one = next(found)
    listener = one["events"][0]["listener_id"]
    return lambda value: {
        "id": int(id), "client_id": page.client_id, "listener_id": listener, "args": [json.dumps(value)]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("address", "column", "values"),
    [
        ("/tasks?failed=1", "state", {"failed"}),
        ("/tasks?outcome=failed&kind=vzdump", "state", {"failed"}),
        ("/tasks?outcome=well&kind=vzdump", "state", {"well"}),
        ("/tasks?outcome=well&node=pve2", "node", {"pve2"}),
        ("/tasks?kind=aptupdate", "what", {"Refresh of the package lists"}),
        (f"/tasks?user=root@pam&kind=vzsnapshot&guest={vmid_of('traefik')}&outcome=well", "about", {"traefik"}),
    ],
)
async def test_which_tasks(site, client, address, column, values):
    """State, node, guest, person and kind leave out all others, in what the pictures have and in what nodes tell."""
    page = load(client, address)
    async with tab(site, client, page) as up:
        await up.until(lambda: rows(page, up), 20)
        assert {row[column] for row in rows(page, up)} == values


async def test_a_choice_is_among_what_is_offered(site, client):
    """Nodes, people, kinds and guests that were seen can be chosen; what was never offered changes nothing."""
    page = load(client, "/tasks")
    async with tab(site, client, page) as up:
        await up.until(lambda: "Refresh of the package lists" in str(up.frames) + str(page.elements), 20)
        await up.until(lambda: len({row["what"] for row in rows(page, up)}) > 1, 20)
        before = rows(page, up)
        await up.emit("event", choice(page, "Task")("never-offered"))
        await up.emit("event", choice(page, "Guest")("0"))
        await up.emit("event", choice(page, "Task")("vzdump"))
        await up.until(lambda: {row["what"] for row in rows(page, up)} <= {"Backup", "Backup job"}, 20)
        assert before


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"outcome": "boiled"}, Wanted()),
        ({"guest": "1/../2"}, Wanted()),
        ({"guest": "104", "kind": "qmstart"}, Wanted(guest=104, kind="qmstart")),
    ],
)
def test_what_makes_no_sense_in_an_address_does_not_matter(given, kept):
    """An address that somebody has mangled shows more, and never breaks."""
    empty = dict.fromkeys(("outcome", "node", "guest", "user", "kind"), "")
    assert Wanted.of_address(**empty | given) == kept
