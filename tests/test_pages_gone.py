"""Pages that nobody has open any more are let go of, whatever they held."""

import asyncio
import signal

import pytest

from services.simulator.catalogue import vmid_of
from tests import harness
from tests.socket_client import LAB, laboratory, load, signed_in, tab

pytestmark = pytest.mark.slow

VIEWS = 3
PAGES = (
    "/", "/guests", f"/guests/{vmid_of('nextcloud')}", f"/guests/{vmid_of('pihole')}", "/nodes/pve1", "/storage",
    "/tasks", "/sessions", "/nowhere", "/login", "/form",
)  # fmt: skip

COUNTS = """
import gc
import signal
from pathlib import Path

from nicegui import Client


def tell(*_):
    gc.collect()
    kept = [one.page.path for one in gc.get_objects() if type(one) is Client]
    Path("kept").write_text(" ".join(["pages:", *kept]))


signal.signal(signal.SIGUSR1, tell)

from ui.__main__ import main
"""


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    """The program, which tells at a signal of which pages it still has anything."""
    script = LAB.replace("\nfrom ui.__main__ import main\n", COUNTS)
    with laboratory(script, REDIS_URL=valkey_url, STORE_PREFIX="gone:", **harness.for_proxmox(sim)) as up:
        yield up


def kept(lab):
    """The paths of the pages that it has in memory, whether open or not."""
    file = lab.log.parent / "kept"
    file.unlink(missing_ok=True)
    lab.process.send_signal(signal.SIGUSR1)
    harness.until(file.exists)
    return harness.until(file.read_text).split()[1:]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_let_go(lab, path):
    """Some seconds after its tab was closed nothing of a page is left in memory."""
    with signed_in(lab) as client, lab.client() as stranger:
        for _ in range(VIEWS):
            page = load(stranger if path == "/login" else client, path)
            async with tab(lab, stranger if path == "/login" else client, page) as up:
                await up.until(lambda: path == "/login" or up.events(), 20)  # a card hears nothing
                await asyncio.sleep(0.5)  # what it asks Proxmox is on its way
    await asyncio.to_thread(harness.until, lambda: len(kept(lab)) == 0, 40, 1)
