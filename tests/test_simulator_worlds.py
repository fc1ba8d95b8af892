"""The worlds that the simulator can be: nodes that go, storages that fill, accounts of all kinds, awkward guests."""

from typing import Any

import pytest

from services.simulator import Account
from services.simulator.catalogue import vmid_of
from services.simulator.rights import Grant
from tests.simulated import Visitor, simulated, visited, visitor

AWKWARD = (
    "</script>",
    "{{ 7*7 }}",
    """o'"quote"`""",
    "\u202egnp.exe\u200f",
    "x" * 255,
    "<img src=x onerror=1>",
    "Größe 🚀",
)


async def rows(one: Visitor, kind: str) -> list[dict[str, Any]]:
    return [row for row in await one.read("/cluster/resources") if row["type"] == kind]


# Nodes that go


async def test_an_offline_node_takes_its_things_with_it() -> None:
    """Its guests and storages are unknown and have no figures, nor names, and it has neither figures nor a level."""
    async with visited() as (sim, root):
        before = await root.guests()
        await sim.take_offline("pve3")
        node = next(row for row in await rows(root, "node") if row["node"] == "pve3")
        assert node == {"id": "node/pve3", "type": "node", "node": "pve3", "status": "offline"}
        there = [row for row in (await root.guests()).values() if row["node"] == "pve3"]
        assert len(there) == sum(row["node"] == "pve3" for row in before.values()) > 0
        for row in there:
            assert row["status"] == "unknown"
            assert row.keys() <= {"id", "type", "vmid", "node", "status", "tags", "pool", "lock"}
        stored = [row for row in await rows(root, "storage") if row["node"] == "pve3"]
        assert {row["status"] for row in stored} == {"unknown"}
        assert not any(row.keys() & {"disk", "maxdisk"} for row in stored)
        assert all(row["status"] != "unknown" for row in (await root.guests()).values() if row["node"] != "pve3")


async def test_an_offline_node_answers_595_and_tells_of_no_tasks() -> None:
    """What only it could tell is 595; its past is known to the others up to its end; its tasks are not."""
    async with visited() as (sim, root):
        await sim.take_offline("pve3")
        sim.advance(600)
        for path in ("status", "services", "tasks", "apt/update", "storage/local/content", "certificates/info"):
            assert (await root.ask(f"/nodes/pve3/{path}")).status_code == 595
        assert (await root.ask("/nodes/pve3/storage/local/rrddata?timeframe=hour")).status_code == 595
        past = await root.read("/nodes/pve3/rrddata?timeframe=hour")
        empty = [len(row) == 1 for row in past]
        assert 8 <= sum(empty) <= 10
        assert all(empty[-sum(empty) :])
        assert "pve3" not in {row["node"] for row in await root.read("/cluster/tasks")}


async def test_a_node_comes_back() -> None:
    """Back again it is as before, and the time it was away stays empty in its past."""
    async with visited() as (sim, root):
        await sim.take_offline("pve3")
        sim.advance(600)
        await sim.bring_back("pve3")
        sim.advance(600)
        assert all(row["status"] == "online" for row in await rows(root, "node"))
        assert "unknown" not in {row["status"] for row in (await root.guests()).values()}
        past = await root.read("/nodes/pve3/rrddata?timeframe=hour")
        assert 9 <= sum(len(row) == 1 for row in past) <= 10
        assert len(past[-1]) > 1


@pytest.mark.parametrize(
    ("nodes", "gone", "quorate"), [(3, 1, 1), (3, 2, 0), (4, 1, 1), (4, 2, 0), (5, 2, 1), (2, 1, 0)]
)
async def test_quorum_is_more_than_half(nodes: int, gone: int, quorate: int) -> None:
    """The cluster is quorate as long as more than half of its members are there; without, nothing can be started."""
    async with visited(nodes=nodes, guests=20) as (sim, root):
        for number in range(gone):
            await sim.take_offline(f"pve{nodes - number}")
        cluster, *members = await root.read("/cluster/status")
        assert cluster["quorate"] == quorate
        assert sum(row["online"] for row in members) == nodes - gone
        guest = next(row for row in (await root.guests()).values() if row["node"] == "pve1")
        answer = await root.send(f"/nodes/pve1/{guest['id']}/status/start")
        assert (answer.status_code == 200) == bool(quorate)


async def test_a_node_with_a_door_is_closed_with_it() -> None:
    """Taking a node offline closes its door, and bringing it back opens it."""
    async with simulated(doors=3) as (sim, client):
        await sim.take_offline("pve1")
        with pytest.raises(Exception, match="connect"):
            await visitor(client)
        await sim.bring_back("pve1")
        assert await (await visitor(client)).guests()


# Storages and their contents


async def test_storages_are_of_all_kinds() -> None:
    """Local ones differ by node, shared ones do not, one is nearly full, and its share is below one."""
    async with visited() as (_, root):
        found = await rows(root, "storage")
    by_name = {name: [row for row in found if row["storage"] == name] for name in {row["storage"] for row in found}}
    assert {name: (same[0]["plugintype"], same[0]["shared"]) for name, same in by_name.items()} == {
        "local": ("dir", 0), "local-lvm": ("lvmthin", 0), "media": ("cifs", 1), "nas": ("nfs", 1),
    }  # fmt: skip
    assert len({row["disk"] for row in by_name["local-lvm"]}) == 3
    assert len({row["disk"] for row in by_name["nas"]}) == 1
    assert 0.85 < by_name["media"][0]["disk"] / by_name["media"][0]["maxdisk"] < 1
    assert all(row["disk"] / row["maxdisk"] < 0.85 for row in found if row["storage"] != "media")


async def test_contents_are_of_all_kinds() -> None:
    """There are installation images, container templates, disks of both kinds of guests, and backups, by volume id."""
    async with visited() as (_, root):
        found = {name: await root.read(f"/nodes/pve1/storage/{name}/content") for name in ("local", "local-lvm", "nas")}
        only = await root.read("/nodes/pve1/storage/nas/content?content=iso")
        of_one = await root.read("/nodes/pve1/storage/nas/content?vmid=101")
    kinds = {name: {row["content"] for row in volumes} for name, volumes in found.items()}
    assert kinds == {"local": {"iso", "vztmpl"}, "local-lvm": {"images", "rootdir"}, "nas": {"iso", "backup"}}
    for name, volumes in found.items():
        assert all(row["volid"].startswith(f"{name}:") and row["size"] > 0 for row in volumes)
        assert [row["volid"] for row in volumes] == sorted((row["volid"] for row in volumes), key=str.lower)
    assert only == [row for row in found["nas"] if row["content"] == "iso"]
    assert {row["vmid"] for row in of_one} == {101}


async def test_disks_are_where_their_guests_are() -> None:
    """Every guest has its disk on its own node's local-lvm, and nowhere else."""
    async with visited() as (_, root):
        guests = await root.guests()
        for node in ("pve1", "pve2", "pve3"):
            disks = await root.read(f"/nodes/{node}/storage/local-lvm/content")
            assert {row["vmid"] for row in disks} == {vmid for vmid, row in guests.items() if row["node"] == node}


async def test_what_is_not_there() -> None:
    """A storage that does not exist is a 500 that says so, a kind of content that does not, a 400."""
    async with visited() as (_, root):
        answer = await root.ask("/nodes/pve1/storage/none/content")
        assert (answer.status_code, answer.reason_phrase) == (500, "storage 'none' does not exist")
        assert (await root.ask("/nodes/pve1/storage/nas/content?content=music")).status_code == 400


@pytest.mark.parametrize(("on_storage", "on_guest", "seen"), [
    ({"Datastore.Allocate"}, set(), {"iso", "backup", "images", "rootdir"}),
    ({"Datastore.Audit"}, set(), {"iso"}),
    ({"Datastore.AllocateSpace"}, {"VM.Backup"}, {"iso", "backup"}),
    ({"Datastore.Audit"}, {"VM.Backup"}, {"iso"}),
    ({"Datastore.Audit"}, {"VM.Config.Disk"}, {"iso", "images", "rootdir"}),
    ({"Datastore.AllocateSpace"}, {"VM.Config.Disk"}, {"iso"}),
])  # fmt: skip
async def test_rows_of_contents_need_rights_of_their_own(
    on_storage: set[str], on_guest: set[str], seen: set[str]
) -> None:
    """Backups are for Datastore.AllocateSpace and VM.Backup, disks for Datastore.Audit and VM.Config.Disk."""
    storage = on_storage | ({"Datastore.Audit"} if "Datastore.Allocate" in on_storage else set())
    grants = (Grant("/storage", frozenset(storage)), Grant("/vms", frozenset(on_guest or {"VM.Audit"})))
    eve = Account(userid="eve@pve", password="demo", grants=grants)
    async with visited("eve@pve", accounts=(eve,)) as (_, one):
        found = {row["content"] for name in ("nas", "local-lvm") for row in await one.read(
            f"/nodes/pve1/storage/{name}/content")}  # fmt: skip
    assert found == seen


# Backup jobs


async def test_jobs_take_most_guests_and_leave_a_few() -> None:
    """One job runs every night for nearly all, one every week for a pool, a third is off; some guests are in none."""
    async with visited() as (sim, root):
        nightly, weekly, off = await root.read("/cluster/backup")
        guests = await root.guests()
        for job in (nightly, weekly):
            soon = await root.read(f"/cluster/jobs/schedule-analyze?schedule={job['schedule']}&iterations=1")
            assert [row["timestamp"] for row in soon] == [job["next-run"]]
            assert job["next-run"] > sim.now()
    assert (nightly["all"], weekly["pool"], off["enabled"]) == (1, "media", 0)
    left = set(map(int, nightly["exclude"].split(",")))
    media = {vmid for vmid, row in guests.items() if row.get("pool") == "media"}
    assert media < left
    assert 3 <= len(left - media) <= 6
    assert len(guests) - len(left) > 20


async def test_backups_are_as_old_as_the_jobs_make_them() -> None:
    """Who is in a job has a backup of its last run; one whose backups fail has old ones; who is in none has none."""
    async with visited() as (sim, root):
        backups = await root.read("/nodes/pve1/storage/nas/content?content=backup")
        guests, now = await root.guests(), sim.now()
    newest = {vmid: max((row["ctime"] for row in backups if row["vmid"] == vmid), default=0) for vmid in guests}
    unlucky = vmid_of("frigate")
    assert 12 * 86_400 < now - newest[unlucky] < 14 * 86_400
    none = {vmid for vmid, ctime in newest.items() if not ctime}
    assert none == {vmid_of(name) for name in ("debian-13-template", "windows11", "old-fileserver", "ubuntu-desktop")}
    for vmid in guests.keys() - none - {unlucky}:
        assert now - newest[vmid] < 86_400 * (7.3 if guests[vmid].get("pool") == "media" else 1.3)
    assert any(row.get("protected") for row in backups)
    assert {row["notes"] for row in backups} <= {row["name"] for row in guests.values()}


async def test_jobs_are_for_auditors() -> None:
    """The jobs need Sys.Audit on `/`; when schedules are due anybody may ask."""
    async with visited("nobody@pve") as (_, one):
        answer = await one.ask("/cluster/backup")
        assert (answer.status_code, answer.reason_phrase) == (403, "Permission check failed (/, Sys.Audit)")
        assert len(await one.read("/cluster/jobs/schedule-analyze?schedule=02:30")) == 10


# Accounts


async def test_somebody_of_one_pool() -> None:
    """max sees the guests and the storage of the media pool, its name, no other's, and the nodes by name alone."""
    async with visited("max@pve") as (_, one):
        assert {row["pool"] for row in await rows(one, "pool")} == {"media"}
        seen = (await one.guests()).values()
        assert {row["pool"] for row in seen} == {"media"}
        assert {row["storage"] for row in await rows(one, "storage")} == {"media"}
        assert not any("maxcpu" in row for row in await rows(one, "node"))
        guest = next(iter(seen))
        assert (await one.ask(f"/nodes/{guest['node']}/{guest['id']}/rrddata?timeframe=hour")).status_code == 200
        assert (await one.ask("/nodes/pve1/qemu/100/rrddata?timeframe=hour")).status_code == 403


async def test_somebody_of_guests_alone() -> None:
    """vera sees every guest and not its pool, no storage, and the nodes by name alone."""
    async with visited("vera@pve") as (_, one):
        seen = await one.guests()
        assert len(seen) == 36
        assert not any("pool" in row for row in seen.values())
        assert {row["type"] for row in await one.read("/cluster/resources")} == {"qemu", "lxc", "node"}
        assert not any("maxcpu" in row for row in await rows(one, "node"))


async def test_somebody_of_storages_alone() -> None:
    """stan sees every storage, what is on it, and neither guests nor figures of nodes."""
    async with visited("stan@pve") as (_, one):
        assert {row["type"] for row in await one.read("/cluster/resources")} == {"node", "storage"}
        assert len(await rows(one, "storage")) == 12
        assert {row["content"] for row in await one.read("/nodes/pve1/storage/nas/content")} == {"iso", "backup"}
        assert (await one.ask("/nodes/pve1/status")).status_code == 403


async def test_rights_change_while_it_runs() -> None:
    """New grants hold from the next request on, and can take everything away."""
    async with visited("vera@pve") as (sim, one):
        sim.grant("vera@pve", [Grant("/vms/100", frozenset({"VM.Audit"}))])
        assert list(await one.guests()) == [100]
        assert await one.read("/access/permissions") == {"/vms/100": {"VM.Audit": 1}}
        sim.grant("vera@pve", [])
        assert await one.guests() == {}


async def test_permissions_say_what_is_passed_on() -> None:
    """What is passed on is 1, and what comes by a pool or by a grant for one path alone is 0."""
    grants = (Grant("/", frozenset({"Sys.Audit"}), propagate=False), Grant("/pool/media", frozenset({"VM.Audit"})))
    eve = Account(userid="eve@pve", password="demo", grants=grants)
    async with visited("eve@pve", accounts=(eve,)) as (_, one):
        rights = await one.read("/access/permissions")
        assert rights["/"] == {"Sys.Audit": 0}
        assert rights["/pool/media"] == {"VM.Audit": 1}
        assert rights[f"/vms/{vmid_of('jellyfin')}"] == rights["/storage/media"] == {"VM.Audit": 0}
        assert "/nodes" not in rights
        assert await one.read("/access/permissions?path=/nodes") == {"/nodes": {}}


# One guest


async def test_guests_have_addresses() -> None:
    """Containers tell their interfaces as `ip` does, machines as the agent does, and all main addresses differ."""
    found: list[str] = []
    async with visited() as (_, root):
        for row in (await root.guests()).values():
            tail = "interfaces" if row["type"] == "lxc" else "agent/network-get-interfaces"
            answer = await root.ask(f"/nodes/{row['node']}/{row['id']}/{tail}")
            if answer.status_code == 200 and answer.json()["data"]:
                data = answer.json()["data"]
                outer = (data if row["type"] == "lxc" else data["result"])[1]
                kind = "inet" if row["type"] == "lxc" else "ipv4"
                found += [ip["ip-address"] for ip in outer["ip-addresses"] if ip["ip-address-type"] == kind]
    assert len(found) == len(set(found)) > 20


@pytest.mark.parametrize(("name", "why"), [
    ("opnsense", "No QEMU guest agent configured"), ("truenas", "QEMU guest agent is not running"),
    ("nextcloud", "VM 103 is not running"),
])  # fmt: skip
async def test_machines_without_an_agent_say_so(name: str, why: str) -> None:
    """Without an agent, with one that is silent, and switched off, a machine has no addresses, in Proxmox's words."""
    async with visited(nodes=1) as (sim, root):
        if "VM" in why:
            await root.begin(f"/nodes/pve1/qemu/{vmid_of(name)}/status/stop")
            sim.advance(3)
        answer = await root.ask(f"/nodes/pve1/qemu/{vmid_of(name)}/agent/network-get-interfaces")
    assert (answer.status_code, answer.reason_phrase) == (500, why)


async def test_a_container_that_is_off_has_no_interfaces() -> None:
    """Of a container that does not run Proxmox answers nothing at all."""
    async with visited(nodes=1) as (sim, root):
        await root.begin("/nodes/pve1/lxc/102/status/stop")
        sim.advance(3)
        assert await root.read("/nodes/pve1/lxc/102/interfaces") is None


async def test_agents_have_a_privilege_of_their_own() -> None:
    """VM.Audit is not enough to ask an agent, and is enough for a container's interfaces."""
    async with visited("kid@pve") as (sim, one):
        sim.grant("kid@pve", [Grant("/vms", frozenset({"VM.Audit"}))])
        answer = await one.ask("/nodes/pve1/qemu/100/agent/network-get-interfaces")
        wanted = "Permission check failed (/vms/100, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)"
        assert (answer.status_code, answer.reason_phrase) == (403, wanted)


async def test_status_of_one_guest() -> None:
    """A guest's own status agrees with its row; one that is paused runs, and says how."""
    async with visited(nodes=1) as (_, root):
        row = (await root.guests())[100]
        now = await root.read("/nodes/pve1/qemu/100/status/current")
        assert {name: now[name] for name in ("name", "maxmem", "tags")} == {
            n: row[n] for n in ("name", "maxmem", "tags")
        }
        assert (now["status"], now["qmpstatus"], now["cpus"], now["agent"]) == ("running", "running", row["maxcpu"], 1)
        paused = await root.read(f"/nodes/pve1/qemu/{vmid_of('windows11')}/status/current")
        assert (paused["status"], paused["qmpstatus"]) == ("running", "paused")
        assert "agent" not in paused
        managed = await root.read(f"/nodes/pve1/lxc/{vmid_of('pihole')}/status/current")
        assert managed["ha"] == {"managed": 1}
        assert (await root.ask("/nodes/pve1/lxc/100/status/current")).status_code == 500


# One node


async def test_a_service_is_down_somewhere() -> None:
    """Each node has the services of Proxmox; one that should run does not, on one of them."""
    async with visited() as (_, root):
        down = [
            (node, row["service"])
            for node in ("pve1", "pve2", "pve3")
            for row in await root.read(f"/nodes/{node}/services")
            if row["unit-state"] == "enabled" and row["active-state"] != "active"
        ]
    assert down == [("pve2", "postfix")]


async def test_updates_are_for_administrators() -> None:
    """Updates wait at every node, more at the first; an auditor may not see them."""
    async with simulated() as (_, client):
        root, alice = await visitor(client), await visitor(client, "alice@pve")
        first, second = [await root.read(f"/nodes/{node}/apt/update") for node in ("pve1", "pve2")]
        answer = await alice.ask("/nodes/pve1/apt/update")
    assert len(first) > len(second) > 0
    assert (answer.status_code, answer.reason_phrase) == (403, "Permission check failed (/nodes/pve1, Sys.Modify)")


async def test_a_nodes_status_agrees_with_its_row() -> None:
    """Memory, uptime and CPU in a node's status are those of its row."""
    async with visited() as (_, root):
        row = next(row for row in await root.read("/nodes") if row["node"] == "pve2")
        now = await root.read("/nodes/pve2/status")
    assert now["memory"]["total"] == row["maxmem"]
    assert abs(now["memory"]["used"] - row["mem"]) < 0.01 * row["maxmem"]
    assert abs(now["uptime"] - row["uptime"]) <= 2
    assert now["cpuinfo"]["cpus"] == row["maxcpu"]
    assert now["pveversion"].startswith("pve-manager/9.")
    assert [float(text) >= 0 for text in now["loadavg"]] == [True] * 3


# Awkward guests


async def test_guests_bear_any_name() -> None:
    """The first guests have the names that were asked for, to the letter, and so have their backups."""
    async with visited(names=AWKWARD, nodes=1) as (_, root):
        seen = list((await root.guests()).values())
        backups = await root.read("/nodes/pve1/storage/nas/content?vmid=100&content=backup")
    assert tuple(row["name"] for row in seen[: len(AWKWARD)]) == AWKWARD
    assert {row["notes"] for row in backups} == {AWKWARD[0]}


async def test_half_of_the_guests_flap() -> None:
    """Half of those that run go on and off every second; nobody else does; and it ends."""
    async with visited() as (sim, root):
        sim.flap()
        seen: list[dict[int, str]] = []
        for _ in range(4):
            seen.append({vmid: row["status"] for vmid, row in (await root.guests()).items()})
            sim.advance(1)
        running = sum("running" in {one[vmid] for one in seen} for vmid in seen[0])
        flapping = [vmid for vmid in seen[0] if {one[vmid] for one in seen} == {"running", "stopped"}]
        assert abs(len(flapping) - running / 2) <= 2
        sim.flap(0)
        assert "stopped" not in {(await root.guests())[vmid]["status"] for vmid in flapping}


async def test_a_guest_goes() -> None:
    """A guest that was taken away is in no list, its paths know nothing of it, and the others stay."""
    async with visited(nodes=1) as (sim, root):
        sim.remove_guest(101)
        assert (await root.guests()).keys() == {vmid for vmid in range(100, 136) if vmid != 101}
        assert (await root.ask("/nodes/pve1/lxc/101/status/current")).status_code == 500
        assert "/vms/101" not in await root.read("/access/permissions")
        sim.advance(3_600)
        assert 101 not in await root.guests()
        assert await root.read("/cluster/tasks")
