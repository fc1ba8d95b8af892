"""The page of tasks: what could not be read is said to be so, and never taken for none."""

import re

import pytest

from services.simulator.simulator import Fault
from tests import harness
from tests.socket_client import laboratory, load, signed_in, tab
from ui.tasks_page import MOST_SHOWN, counted

FORGETFUL = '''
"""Proxgate that knows tasks for two seconds."""

from services.feed import pace, poller

pace.QUICK = pace.IDLE = 0.2
poller.TASKS_KEPT = 2

from ui.__main__ import main

main()
'''

UNREAD, NONE, NONE_FAILED = "The tasks could not be read", "No tasks to see", "No task has failed"


@pytest.fixture
def pve():
    """A Proxmox of each test's own, whose faults are no other's."""
    with harness.simulator() as running:
        yield running


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
            await up.until(lambda: re.search(r"The newest \d", str(up.frames)), 20)
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


async def test_none(root):
    """Where there are none that is said."""
    lab, client = root
    page = load(client, "/tasks?guest=99999")
    async with tab(lab, client, page) as up:
        await up.until(lambda: said(page, up), 20)
        assert said(page, up) == {NONE}
