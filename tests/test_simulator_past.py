"""The simulated past: RRD series of nodes, guests and storages."""

import time
from itertools import pairwise
from typing import Any

import pytest

from services.simulator.catalogue import GIB, vmid_of
from tests.simulated import Visitor, visited

NODE = "/nodes/pve1/rrddata"
STEPS = {"hour": (60, 60), "day": (60, 1440), "week": (1800, 336), "month": (1800, 1440), "year": (21_600, 1440)}


async def series(visitor: Visitor, place: str, frame: str = "hour") -> list[dict[str, Any]]:
    return await visitor.read(f"{place}?timeframe={frame}&cf=AVERAGE")


async def at_guest(root: Visitor, vmid: int) -> str:
    row = (await root.guests())[vmid]
    return f"/nodes/{row['node']}/{row['id']}/rrddata"


@pytest.mark.parametrize("frame", STEPS)
@pytest.mark.parametrize("place", [NODE, "/nodes/pve1/storage/nas/rrddata", "guest"])
async def test_frames_have_proxmoxs_steps(place: str, frame: str) -> None:
    """Each frame has as many rows as Proxmox 9 keeps, evenly apart, up to now."""
    step, count = STEPS[frame]
    async with visited() as (_, root):
        rows = await series(root, await at_guest(root, 100) if place == "guest" else place, frame)
    times = [row["time"] for row in rows]
    assert len(times) == count
    assert {later - earlier for earlier, later in pairwise(times)} == {step}
    assert 0 < time.time() - times[-1] <= 2 * step
    assert times[0] % step == 0


async def test_a_nodes_series_ends_in_the_present() -> None:
    """The last minute of CPU and memory is close to what the node shows now, and every share is one."""
    async with visited() as (_, root):
        now = next(row for row in await root.read("/nodes") if row["node"] == "pve1")
        rows = await series(root, NODE, "day")
    assert abs(rows[-1]["cpu"] - now["cpu"]) < 0.03
    assert abs(rows[-1]["memused"] - now["mem"]) < 0.1 * now["maxmem"]
    for row in rows:
        assert 0 < row["cpu"] < 1
        assert 0 <= row["iowait"] < 1
        assert 0 < row["memused"] <= row["memtotal"] == now["maxmem"]
        assert 0 < row["rootused"] <= row["roottotal"]
        assert 0 < row["swapused"] <= row["swaptotal"]
        assert min(row["netin"], row["netout"], row["loadavg"]) > 0


async def test_the_day_is_busier_than_the_night() -> None:
    """Over a week the afternoons use clearly more CPU than the small hours."""
    async with visited() as (_, root):
        rows = await series(root, NODE, "week")
    by_hour = {hour: [row["cpu"] for row in rows if row["time"] // 3_600 % 24 == hour] for hour in (4, 16)}
    assert sum(by_hour[16]) > 1.2 * sum(by_hour[4])


async def test_where_there_was_no_sample_there_is_only_the_time() -> None:
    """For a quarter of an hour the statistics of the second node did not run."""
    async with visited() as (_, root):
        rows = await series(root, "/nodes/pve2/rrddata", "day")
    empty = [row for row in rows if row.keys() == {"time"}]
    assert len(empty) == 15
    assert all("cpu" in row for row in rows if row not in empty)


async def test_a_guest_that_is_off_has_its_size_and_no_figures() -> None:
    """Of a guest that is off, and of a template, only the size is known."""
    async with visited() as (_, root):
        for vmid in (vmid_of("debian-13-template"), vmid_of("old-fileserver")):
            rows = await series(root, await at_guest(root, vmid))
            assert all(row.keys() == {"time", "maxcpu", "maxmem", "maxdisk", "disk"} for row in rows)


async def test_a_guest_stops_in_its_series() -> None:
    """After it was stopped the series goes on without figures, and has them again from its start on."""
    async with visited(nodes=1, guests=1) as (sim, root):
        place = "/nodes/pve1/qemu/100"
        for action in ("stop", "start"):
            await root.send(f"{place}/status/{action}")
            sim.advance(600)
        rows = await series(root, f"{place}/rrddata")
    figures = ["cpu" in row for row in rows]
    assert figures == [True] * figures.index(False) + [False] * 10 + [True] * (len(rows) - 10 - figures.index(False))
    assert {"cpu", "mem", "netin", "netout", "diskread", "diskwrite"} <= rows[-1].keys()


async def test_a_guests_series_ends_in_the_present() -> None:
    """A running guest's CPU and memory flow into what it shows now."""
    async with visited() as (_, root):
        rows = await series(root, await at_guest(root, 100))
        now = (await root.guests())[100]
    assert 0 < rows[-1]["cpu"] < 1
    assert abs(rows[-1]["mem"] - now["mem"]) < 0.1 * now["maxmem"]
    assert rows[-1]["maxmem"] == now["maxmem"] == 4 * GIB


async def test_a_young_guest_has_no_past() -> None:
    """Before it was made there was nothing of a guest: some have a whole year, some have not."""
    async with visited() as (_, root):
        filled = [
            sum("maxmem" in row for row in await series(root, f"/nodes/{row['node']}/{row['id']}/rrddata", "year"))
            for row in list((await root.guests()).values())[:12]
        ]
    assert max(filled) == 1_440
    assert 50 < min(filled) < 1_440


async def test_storages_fill_up() -> None:
    """A year ago there was less on the NAS than now, half a year ago something between, and the end is now."""
    async with visited() as (_, root):
        rows = await series(root, "/nodes/pve1/storage/nas/rrddata", "year")
        now = next(r for r in await root.read("/cluster/resources?type=storage") if r["id"] == "storage/pve1/nas")
    used = [row["used"] for row in rows]
    assert 0 < used[0] < used[720] < used[-1] <= now["maxdisk"] == rows[-1]["total"]
    assert abs(used[-1] - now["disk"]) < 0.01 * now["maxdisk"]


@pytest.mark.parametrize(("username", "place", "refused"), [
    ("vera@pve", NODE, "/nodes/pve1, Sys.Audit"),
    ("vera@pve", "/nodes/pve1/storage/nas/rrddata", "/storage/nas, Datastore.Audit|Datastore.AllocateSpace"),
    ("stan@pve", "/nodes/pve1/qemu/100/rrddata", "/vms/100, VM.Audit"),
    ("nobody@pve", NODE, "/nodes/pve1, Sys.Audit"),
])  # fmt: skip
async def test_the_past_is_for_those_who_may_see_the_present(username: str, place: str, refused: str) -> None:
    """Without the privilege there is a 403 that names it."""
    async with visited(username) as (_, visitor):
        answer = await visitor.ask(f"{place}?timeframe=hour")
    assert (answer.status_code, answer.reason_phrase) == (403, f"Permission check failed ({refused})")


async def test_the_past_of_what_there_is_not() -> None:
    """A node, a guest and a storage that do not exist are a 500 that says so; a frame that is none is a 400."""
    async with visited() as (_, root):
        for place, why in {
            "/nodes/pve9": "No such file",
            "/nodes/pve1/qemu/999": "does not exist",
            "/nodes/pve1/storage/none": "No such file",
        }.items():
            answer = await root.ask(f"{place}/rrddata?timeframe=hour")
            assert answer.status_code == 500
            assert why in answer.reason_phrase
        assert (await root.ask(f"{NODE}?timeframe=century")).status_code == 400
        assert (await root.ask(NODE)).json()["errors"].keys() == {"timeframe"}
