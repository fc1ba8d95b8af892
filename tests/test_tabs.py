"""The tabs of one account, over all of its sessions."""

import pytest

from tests import harness
from tests.harness import PAGE
from tests.socket_client import LAB, laboratory, load, signed_in, tab

pytestmark = pytest.mark.slow

FEW = LAB.replace(
    "from ui.__main__ import main\n",
    "from ui import tabs as limits\nfrom ui.__main__ import main\n\nlimits.TABS_PER_ACCOUNT = 4\n",
)


async def test_pages_of_an_account(valkey_url, sim):
    """An account has so many pages at once, in however many sessions; an end of one makes room; others have theirs."""
    with laboratory(FEW, REDIS_URL=valkey_url, STORE_PREFIX="tabs:", **harness.for_proxmox(sim)) as up:
        with signed_in(up) as first, signed_in(up) as second, signed_in(up, "alice", "pve") as other:
            async with tab(up, second, load(second)):
                for _ in range(3):
                    load(first)
                for client in (first, second):
                    answer = client.get("/lab", headers=PAGE)
                    assert (answer.status_code, answer.headers["retry-after"]) == (429, "8")
                load(other)
            first.post("/logout")
            harness.until(lambda: second.get("/lab", headers=PAGE).status_code == 200, 20, 0.5)
