"""The simulated nodes' tasks: a believable story, whose states agree with the world."""

import re
from collections import Counter
from typing import Any

import pytest

from services.simulator import Account, Token
from services.simulator.household import ACCOUNTS
from services.simulator.rights import Grant
from services.simulator.tasks import Task, Tasks
from services.simulator.world import World
from tests.simulated import Visitor, simulated, visited, visitor

DAY = 86_400
UPID = re.compile(r"UPID:pve\d:[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:\w+:\d*:[^:]+:")


def task(start: float, seconds: float = 10, **more: str) -> Task:
    return Task.made(**{"node": "pve1", "type": "qmstart", "id": "100", "user": "root@pam"} | more, start=start,
                     seconds=seconds)  # fmt: skip


async def of_nodes(root: Visitor, query: str = "") -> list[dict[str, Any]]:
    nodes = [row["node"] for row in await root.read("/nodes")]
    return [row for node in nodes for row in await root.read(f"/nodes/{node}/tasks?limit=2000&{query}")]


# Which are told


def test_a_node_broadcasts_the_newest() -> None:
    """A node tells the others what runs and, up to 25 in all, what ended last, newest first."""
    tasks = Tasks(["pve1"])
    for number in range(40):
        tasks.add(task(number * 100, seconds=5_000 if number < 2 else 10))
    told = tasks.broadcast("pve1", 4_050)
    assert [one.starttime for one in told] == [100, 0, *range(3_900, 1_600, -100)]


def test_tasks_come_in_order_however_they_were_added() -> None:
    """What began earlier stands further back, also when it is told later."""
    tasks = Tasks(["pve1"])
    for start in (300, 100, 200):
        tasks.add(task(start))
    assert [one.starttime for one in tasks.finished("pve1", 1_000)] == [300, 200, 100]


async def test_cluster_tasks_are_those_of_every_node() -> None:
    """The list of the cluster has at most 25 of each node, with UPID, start, end and status, kept ones marked."""
    async with visited() as (_, root):
        rows = await root.read("/cluster/tasks")
    counts = Counter(row["node"] for row in rows)
    assert set(counts) == {"pve1", "pve2", "pve3"}
    assert max(counts.values()) <= 25
    for row in rows:
        assert UPID.fullmatch(row["upid"])
        assert f":{row['starttime']:08X}:{row['type']}:{row['id']}:" in row["upid"]
        if "endtime" in row:
            assert row["saved"] == "1"
            assert row["starttime"] < row["endtime"]
            assert row["status"]


async def test_a_task_that_runs_has_neither_end_nor_status() -> None:
    """What is still going on has a process and nothing else yet; in a node's own list it is RUNNING."""
    async with visited(nodes=1) as (_, root):
        upid = (await root.send("/nodes/pve1/qemu/100/status/reboot")).json()["data"]
        row = next(row for row in await root.read("/cluster/tasks") if row["upid"] == upid)
        assert row["pid"]
        assert not row.keys() & {"endtime", "status"}
        assert [one["status"] for one in await root.read("/nodes/pve1/tasks?source=active")] == ["RUNNING"]
        assert upid not in [one["upid"] for one in await root.read("/nodes/pve1/tasks")]
        assert (await root.read("/nodes/pve1/tasks?source=all"))[0]["upid"] == upid


async def test_a_started_guest_has_its_task() -> None:
    """Starting and stopping by hand are tasks of who did it, and end well."""
    async with visited(nodes=1, guests=1) as (sim, root):
        for action in ("stop", "start"):
            await root.send(f"/nodes/pve1/qemu/100/status/{action}")
            sim.advance(3)
        rows = await root.read("/nodes/pve1/tasks?limit=2")
    assert [(row["type"], row["user"], row["status"]) for row in rows] == [
        ("qmstart", "root@pam", "OK"),
        ("qmstop", "root@pam", "OK"),
    ]


async def test_filters() -> None:
    """A node's list is filtered by error, status, type, guest, user and time; `total` counts what pages leave out."""
    async with visited(nodes=1) as (_, root):
        every = await of_nodes(root)
        wrong = await of_nodes(root, "errors=1")
        assert 0 < len(wrong) < len(every)
        assert all(row["status"] != "OK" for row in wrong)
        assert await of_nodes(root, "statusfilter=error") == wrong
        assert all(row["type"] == "vzdump" for row in await of_nodes(root, "typefilter=vzdump"))
        assert {row["id"] for row in await of_nodes(root, "vmid=100")} == {"100"}
        assert await of_nodes(root, "userfilter=nobody") == []
        assert await of_nodes(root, "userfilter=ROOT") == every
        middle = every[len(every) // 2]["starttime"]
        assert await of_nodes(root, f"since={middle}") == [row for row in every if row["starttime"] >= middle]
        assert await of_nodes(root, f"until={middle}") == [row for row in every if row["starttime"] <= middle]
        page = (await root.ask("/nodes/pve1/tasks?start=3&limit=2")).json()
        assert (page["data"], page["total"]) == (every[3:5], len(every))


@pytest.mark.parametrize("query", ["source=none", "limit=many", "limit=-1", "errors=perhaps", "statusfilter=good"])
async def test_wrong_filters_are_refused(query: str) -> None:
    """A filter that breaks the schema is named in a 400."""
    async with visited() as (_, root):
        answer = await root.ask(f"/nodes/pve1/tasks?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.partition("=")[0]])


# Who sees them


async def test_without_audit_there_are_only_ones_own() -> None:
    """An account without Sys.Audit sees the tasks that it started; the cluster's list asks for it on `/`."""
    mine = Account(
        userid="eve@pve",
        password="demo",
        grants=(Grant("/vms/100", frozenset({"VM.Audit", "VM.PowerMgmt"})),),
    )
    auditor = Account(userid="tom@pve", password="demo", grants=(Grant("/nodes/pve1", frozenset({"Sys.Audit"})),))
    async with simulated(accounts=(*ACCOUNTS, mine, auditor), nodes=1, guests=1) as (_, client):
        eve, tom = await visitor(client, "eve@pve"), await visitor(client, "tom@pve")
        assert await eve.read("/cluster/tasks") == await eve.read("/nodes/pve1/tasks?source=all") == []
        upid = (await eve.send("/nodes/pve1/qemu/100/status/stop")).json()["data"]
        assert [row["upid"] for row in await eve.read("/cluster/tasks")] == [upid]
        assert [row["upid"] for row in await eve.read("/nodes/pve1/tasks?source=all")] == [upid]
        assert await tom.read("/cluster/tasks") == []
        assert len(await tom.read("/nodes/pve1/tasks?source=all")) > 5


async def test_a_tokens_tasks_are_its_owners_too() -> None:
    """What a token started is shown as its owner's with the token's name, to both; in the cluster's list to one."""
    token = Token(name="box", secret="s")
    rights = (Grant("/vms/100", frozenset({"VM.Audit", "VM.PowerMgmt"})),)
    mine = Account(userid="eve@pve", password="demo", grants=rights, tokens=(token,))
    async with simulated(accounts=(mine,), nodes=1, guests=1) as (_, client):
        eve, box = await visitor(client, "eve@pve"), Visitor(client, {"Authorization": "PVEAPIToken=eve@pve!box=s"})
        await box.send("/nodes/pve1/qemu/100/status/stop")
        for one in (eve, box):
            row = (await one.read("/nodes/pve1/tasks?source=all"))[0]
            assert (row["user"], row["tokenid"]) == ("eve@pve", "box")
        assert len(await eve.read("/cluster/tasks")) == 1
        assert await box.read("/cluster/tasks") == []


# The story


async def test_the_past_week_is_believable() -> None:
    """There are backups every night, updates looked for, starts, stops and snapshots; one or two failed in a day."""
    async with visited() as (sim, root):
        rows = await of_nodes(root)
        now = sim.now()
    kinds = Counter(row["type"] for row in rows)
    assert kinds["aptupdate"] == 21
    assert kinds["vzdump"] >= 21
    assert {"qmstart", "vzstart", "qmsnapshot", "vzsnapshot"} <= kinds.keys()
    assert kinds["qmshutdown"] + kinds["vzshutdown"] > 0
    failed = [row for row in rows if row["status"] != "OK" and row["starttime"] > now - DAY]
    assert sorted((row["type"], row["status"]) for row in failed) == [
        ("qmstart", "start failed: QEMU exited with code 1"),
        ("vzdump", "job errors"),
    ]


def switches(world: World, at: float) -> dict[int, str]:
    """By guest, whether its last finished task of that kind started or stopped it."""
    tasks = world.tasks(at)
    last: dict[int, str] = {}
    done = [one for name in world.hosts for one in tasks.finished(name, world.began + at) if one.status == "OK"]
    for one in sorted(done, key=lambda one: one.endtime):
        if one.type in ("qmstart", "vzstart", "qmshutdown", "vzshutdown"):
            last[one.guest] = "running" if one.type.endswith("start") else "stopped"
    return last


@pytest.mark.parametrize("at", [30.0, 3_630.0, 30_030.0])
def test_tasks_agree_with_the_guests(at: float) -> None:
    """Whoever's last task was a start runs, whoever's was a shutdown does not; every change has its task."""
    world = World(2, 60, 3, began=1_795_700_000.0)
    states = {int(row["vmid"]): row["status"] for row in world.guests(at)}
    last = switches(world, at)
    assert {vmid: states[vmid] for vmid in last} == last
    before = {int(row["vmid"]): row["status"] for row in World(2, 60, 3, began=1_795_700_000.0).guests(0.0)}
    changed = {vmid for vmid, status in states.items() if status != before[vmid]}
    assert changed <= last.keys()
    assert bool(changed) == (at > 60)


def test_something_runs_now_and_then() -> None:
    """Every ten minutes a snapshot is taken of some guest, for a minute or two, and the guest is locked meanwhile."""
    world = World(1, 36, 3)
    running = []
    for at in range(0, 3_600, 10):
        tasks = world.tasks(at)
        now = [one for name in world.hosts for one in tasks.running(name, at) if one.type.endswith("snapshot")]
        locked = {row["vmid"] for row in world.guests(at) if row.get("lock") == "snapshot"}
        assert locked == {one.guest for one in now}
        running.append(bool(now))
    assert 0.05 < sum(running) / len(running) < 0.3
    assert running[:3] == [False, False, True]


def test_at_night_guests_are_backed_up_one_after_the_other() -> None:
    """From half past two each node's backup runs, and locks one guest of that node at a time."""
    world = World(1, 36, 3, began=0.0)
    world.absences.leave("pve3")
    seen: Counter[str] = Counter()
    for at in range(8_995, 9_900, 15):
        tasks = world.tasks(at)
        now = {name for name in world.hosts for one in tasks.running(name, at) if one.type == "vzdump"}
        locked = [row for row in world.guests(at) if row.get("lock") == "backup" and row["node"] != "pve3"]
        assert {row["node"] for row in locked} == now
        assert len(locked) == len(now)
        seen.update(str(row["vmid"]) for row in locked)
    assert len(seen) > 15
    assert "pve3" not in {row.node for name in world.hosts for row in tasks.finished(name, 9_900) if row.starttime > 0}


def test_one_seed_tells_one_story() -> None:
    """Two worlds of one seed have the same tasks, UPIDs included."""
    told = [[one.upid for one in World(5, 36, 3).tasks(4_000).finished("pve1", 4_000)] for _ in range(2)]
    assert told[0] == told[1]
    assert len(told[0]) > 10
