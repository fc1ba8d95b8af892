"""The page of tasks: what could not be read is said to be so, and never taken for none."""

import pytest

from services.simulator.simulator import Fault
from tests import harness
from tests.socket_client import load, signed_in, tab

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


async def test_none(root):
    """Where there are none that is said."""
    lab, client = root
    page = load(client, "/tasks?guest=99999")
    async with tab(lab, client, page) as up:
        await up.until(lambda: said(page, up), 20)
        assert said(page, up) == {NONE}
