"""The overview as its tab gets it: whole where Proxmox is quick, its shape where it is not, and well again in time."""

import time

import pytest

from services.simulator.simulator import Fault
from tests import harness
from tests.page_tab import QUICK, asked, person
from tests.socket_client import laboratory, load, signed_in
from ui import overview, text

LONG = 10
"""Seconds that Proxmox takes in a test: less than its answer may take, more than the page waits."""


@pytest.fixture(scope="module")
def sim():
    """A Proxmox of this module's own."""
    with harness.simulator() as running:
        yield running


@pytest.fixture
def pve(sim):
    """It, well again after each test."""
    yield sim
    sim.fault = Fault()


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    with laboratory(QUICK, REDIS_URL=valkey_url, STORE_PREFIX="overview:", **harness.for_proxmox(sim)) as up:
        yield up


def texts(page):
    return {one.get("text") for one in page.elements.values()}


def test_it_comes_whole(lab, pve):
    """What the first picture shows is in the page's own HTML."""
    with signed_in(lab, "alice", "pve") as client:
        seen = texts(load(client, "/"))
    assert {"pve1", "pve2", "pve3"} <= seen
    assert any(one and one.startswith("3 of 3") for one in seen), seen


def test_its_shape_comes_while_proxmox_is_slow(lab, pve):
    """Nobody stands before an empty window because a Proxmox takes its time."""
    with signed_in(lab, "kid", "pve") as client:
        pve.fault = Fault(delay=LONG)
        before = time.monotonic()
        seen = texts(load(client, "/"))
        assert time.monotonic() - before < LONG / 2  # it waits for overview.PATIENCE
        assert overview.PATIENCE < LONG / 2
    assert text.LOADING in seen
    assert "pve1" not in seen


async def test_charts_that_failed_are_asked_for_when_proxmox_is_back(lab, pve):
    """They need not wait for the minute that lies between two questions."""
    with signed_in(lab) as client:
        pve.fault = Fault(path="/nodes", status=500)
        async with person(lab, client, "/") as hand:
            await hand.up.until(lambda: asked(pve, "rrddata"))
            pve.fault = Fault(status=595)
            await hand.up.until(lambda: "pg-stale" in hand.seen().get("pve1", ()), 20)
            before = asked(pve, "rrddata")
            pve.fault = Fault()
            await hand.up.until(lambda: asked(pve, "rrddata") > before, 20)
            await hand.up.until(lambda: "pg-stale" not in hand.seen().get("pve1", ()), 20)
