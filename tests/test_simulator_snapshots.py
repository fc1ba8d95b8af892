"""Snapshots of the simulated guests, and their configurations."""

from typing import Any

import pytest

from services.simulator import Account
from services.simulator.catalogue import vmid_of
from services.simulator.rights import Grant
from tests.simulated import Visitor, simulated, visited, visitor

MACHINE, CONTAINER = "/nodes/pve1/qemu/100", "/nodes/pve1/lxc/102"
NEXTCLOUD = f"/nodes/pve1/qemu/{vmid_of('nextcloud')}"
UBUNTU = f"/nodes/pve1/qemu/{vmid_of('ubuntu-desktop')}"
GRAFANA = f"/nodes/pve1/lxc/{vmid_of('grafana')}"


async def snapshots(one: Visitor, guest: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in await one.read(f"{guest}/snapshot")}


async def ending(one: Visitor, upid: str) -> str:
    return (await one.task(upid))["exitstatus"]


# Taking


async def test_a_snapshot_is_taken() -> None:
    """It is being prepared while its task runs and the guest is locked; then it is what the guest comes from."""
    async with visited(nodes=1) as (sim, root):
        before = (await snapshots(root, NEXTCLOUD))["current"]
        upid = await root.begin(f"{NEXTCLOUD}/snapshot", snapname="before_26", description="Nächster Schritt\nzwei")
        assert ":qmsnapshot:103:" in upid
        assert (await snapshots(root, NEXTCLOUD))["before_26"]["snapstate"] == "prepare"
        assert (await root.guests())[103]["lock"] == "snapshot"
        sim.advance(5)
        found = await snapshots(root, NEXTCLOUD)
        assert (await root.task(upid))["exitstatus"] == "OK"
        assert "lock" not in (await root.guests())[103]
    taken, current = found["before_26"], found["current"]
    assert (taken["parent"], taken["description"], taken["vmstate"]) == (before["parent"], "Nächster Schritt\nzwei", 0)
    assert abs(taken["snaptime"] - sim.now()) < 10
    assert current == before | {"parent": "before_26", "digest": current["digest"]}
    assert (current["running"], current["description"]) == (1, "You are here!")
    assert current["digest"] != before["digest"]


async def test_memory_comes_along() -> None:
    """With `vmstate` a machine's memory is saved, which takes longer; a container has none to save."""
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(f"{MACHINE}/snapshot", snapname="warm", vmstate=1)
        sim.advance(5)
        assert (await root.task(upid))["status"] == "running"
        growing = await root.log(upid)
        sim.advance(20)
        log = await root.log(upid)
        assert log[: len(growing)] == growing
        assert log[0] == "saving VM state and RAM using storage 'local-lvm'"
        assert "snapshotting 'drive-scsi0' (local-lvm:vm-100-disk-0)" in log
        assert (await snapshots(root, MACHINE))["warm"]["vmstate"] == 1
        answer = await root.send(f"{CONTAINER}/snapshot", snapname="warm", vmstate=1)
        assert list(answer.json()["errors"]) == ["vmstate"]


@pytest.mark.parametrize(("name", "why"), [
    ("1st", "invalid format - invalid configuration ID '1st'\n"),
    ("x", "invalid format - invalid configuration ID 'x'\n"),
    ("a b", "invalid format - invalid configuration ID 'a b'\n"), ("a" * 41, "value may only be 40 characters long"),
])  # fmt: skip
async def test_names_are_checked(name: str, why: str) -> None:
    """A name begins with a letter and has two to forty letters, digits, `_` and `-`."""
    async with visited(nodes=1) as (_, root):
        for answer in (
            await root.send(f"{MACHINE}/snapshot", snapname=name),
            await root.send(f"{MACHINE}/snapshot/{name}", "DELETE"),
        ):
            assert (answer.status_code, answer.json()["errors"]) == (400, {"snapname": why})


async def test_some_names_are_taken() -> None:
    """Reserved names are refused at once, one that there is already in the task, and one that is missing is a 400."""
    async with visited(nodes=1) as (sim, root):
        for guest, name in ((MACHINE, "current"), (MACHINE, "Pending"), (CONTAINER, "vzdump")):
            answer = await root.send(f"{guest}/snapshot", snapname=name)
            assert answer.reason_phrase == f"unable to use snapshot name '{name.lower()}' (reserved name)"
        upid = await root.begin(f"{NEXTCLOUD}/snapshot", snapname="fresh")
        sim.advance(2)
        assert await ending(root, upid) == "snapshot name 'fresh' already used"
        answer = await root.send(f"{MACHINE}/snapshot")
        assert answer.json()["errors"] == {"snapname": "property is missing and it is not optional"}


async def test_some_guests_have_no_snapshots() -> None:
    """A container with a raw file on the media storage, a template, and a locked guest."""
    async with visited(nodes=1) as (sim, root):
        for guest, why in (
            (CONTAINER, "snapshot feature is not available"),
            (f"/nodes/pve1/qemu/{vmid_of('debian-13-template')}", "you can't take a snapshot if it's a template"),
            (UBUNTU, "VM is locked (snapshot-delete)"),
        ):
            upid = await root.begin(f"{guest}/snapshot", snapname="never")
            sim.advance(1)
            assert await ending(root, upid) == why
            assert "never" not in await snapshots(root, guest)
        for guest, able in ((CONTAINER, 0), (MACHINE, 1)):
            assert (await root.read(f"{guest}/feature?feature=snapshot"))["hasFeature"] == able


async def test_a_snapshot_that_is_stopped_leaves_nothing() -> None:
    """A snapshot whose task is stopped is cleared away, and the guest is free."""
    async with visited(nodes=1) as (_, root):
        upid = await root.begin(f"{MACHINE}/snapshot", snapname="warm", vmstate=1)
        await root.send(f"/nodes/pve1/tasks/{upid}", "DELETE")
        assert "warm" not in await snapshots(root, MACHINE)
        assert "lock" not in (await root.guests())[100]


async def test_the_automat_is_stopped_too() -> None:
    """Who stops a snapshot of the automat has the guest free at once."""
    async with visited(nodes=1) as (sim, root):
        sim.advance(20)
        running = (await root.read("/nodes/pve1/tasks?source=active"))[0]
        vmid = int(running["id"])
        assert (await root.guests())[vmid]["lock"] == "snapshot"
        await root.send(f"/nodes/pve1/tasks/{running['upid']}", "DELETE")
        assert "lock" not in (await root.guests())[vmid]
        assert await ending(root, running["upid"]) == "received interrupt"


async def test_while_one_is_taken_nothing_else_is_done() -> None:
    """A guest of which a snapshot is taken can be neither switched nor snapshot."""
    async with visited(nodes=1) as (sim, root):
        sim.hold()
        await root.begin(f"{MACHINE}/snapshot", snapname="first")
        others = [
            await root.begin(f"{MACHINE}/status/stop"),
            await root.begin(f"{MACHINE}/snapshot", snapname="second"),
        ]
        sim.release()
        assert {await ending(root, upid) for upid in others} == {"VM is locked (snapshot)"}


async def test_the_automat_keeps_a_few() -> None:
    """The snapshots of the story are in the lists of their guests, three of each at most."""
    async with visited() as (sim, root):
        sim.advance(3_600)
        tasks = [row for node in ("pve1", "pve2", "pve3") for row in await root.read(
            f"/nodes/{node}/tasks?limit=2000&userfilter=root&since={int(sim.now()) - 3_500}")]  # fmt: skip
        taken = [row for row in tasks if row["type"].endswith("snapshot")]
        assert len(taken) >= 5
        guests = await root.guests()
        for row in taken:
            guest = f"/nodes/{row['node']}/{guests[int(row['id'])]['id']}"
            own = [one for name, one in (await snapshots(root, guest)).items() if name.startswith("auto_")]
            assert row["starttime"] in {one["snaptime"] for one in own}
            assert len(own) <= 3


# Going back, deleting, describing


async def test_a_guest_goes_back() -> None:
    """Rolled back a guest is off and comes from that snapshot; with its memory, or asked to start, it runs."""
    runner = f"/nodes/pve1/qemu/{vmid_of('gitea-runner')}"
    async with visited(nodes=1) as (sim, root):
        for guest, name, options, status in (
            (NEXTCLOUD, "fresh", {}, "stopped"), (NEXTCLOUD, "hub_25", {"start": 1}, "running"),
            (runner, "warm", {}, "running"), (GRAFANA, "v12", {}, "stopped"),
        ):  # fmt: skip
            vmid = int(guest.rpartition("/")[2])
            upid = await root.begin(f"{guest}/snapshot/{name}/rollback", **options)
            row = (await root.guests())[vmid]
            assert (row["lock"], row["status"]) == ("rollback", "stopped")
            sim.advance(10)
            assert await ending(root, upid) == "OK"
            assert (await root.guests())[vmid]["status"] == status
            assert (await snapshots(root, guest))["current"]["parent"] == name


async def test_a_rollback_that_is_stopped_leaves_its_lock() -> None:
    """Whoever stops a rollback midway has a locked guest, as with Proxmox."""
    async with visited(nodes=1) as (_, root):
        upid = await root.begin(f"{NEXTCLOUD}/snapshot/fresh/rollback")
        await root.send(f"/nodes/pve1/tasks/{upid}", "DELETE")
        assert (await root.guests())[103]["lock"] == "rollback"


async def test_a_snapshot_is_deleted() -> None:
    """What came after it comes after its parent then; one that there is not fails in the task."""
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(f"{NEXTCLOUD}/snapshot/hub_25", "DELETE")
        assert ":qmdelsnapshot:" in upid
        assert (await snapshots(root, NEXTCLOUD))["hub_25"]["snapstate"] == "delete"
        assert (await root.guests())[103]["lock"] == "snapshot-delete"
        sim.advance(5)
        found = await snapshots(root, NEXTCLOUD)
        assert "hub_25" not in found
        assert "hub_25" not in {row.get("parent") for row in found.values()}
        again = await root.begin(f"{NEXTCLOUD}/snapshot/hub_25", "DELETE")
        sim.advance(1)
        assert await ending(root, again) == "snapshot 'hub_25' does not exist"


async def test_a_snapshot_is_described() -> None:
    """A description is changed at once, unless the guest is locked; a snapshot's configuration tells what it keeps."""
    path = f"{NEXTCLOUD}/snapshot/fresh/config"
    async with visited(nodes=1) as (sim, root):
        assert (await root.send(path, "PUT", description="Once more")).json() == {"data": None}
        assert (await snapshots(root, NEXTCLOUD))["fresh"]["description"] == "Once more"
        told = await root.read(path)
        assert (told["description"], told["cores"], "digest" in told) == ("Once more", 4, False)
        assert await root.read(f"{NEXTCLOUD}/config?snapshot=fresh") == told
        sim.lock(103)
        answer = await root.send(path, "PUT", description="x")
        assert (answer.status_code, answer.reason_phrase) == (500, "VM is locked (backup)")
        for asked in (f"{NEXTCLOUD}/snapshot/none/config", f"{NEXTCLOUD}/config?snapshot=none"):
            assert (await root.ask(asked)).reason_phrase == "snapshot 'none' does not exist"


async def test_snapshots_have_privileges_of_their_own() -> None:
    """To look needs VM.Audit, to take and delete VM.Snapshot, to go back either; to start besides, VM.PowerMgmt."""
    accounts = [
        Account(userid=f"{name}@pve", password="demo", grants=(Grant("/vms", frozenset(privileges)),))
        for name, privileges in (("see", {"VM.Audit"}), ("take", {"VM.Snapshot"}), ("back", {"VM.Snapshot.Rollback"}))
    ]
    every, one = f"{NEXTCLOUD}/snapshot", f"{NEXTCLOUD}/snapshot/hub_25"
    async with simulated(accounts=accounts, nodes=1) as (_, client):
        see, take, back = [await visitor(client, account.userid) for account in accounts]
        assert (await take.ask(every)).reason_phrase == "Permission check failed (/vms/103, VM.Audit)"
        for who in (see, back):
            answer = await who.send(every, snapname="mine")
            assert answer.reason_phrase == "Permission check failed (/vms/103, VM.Snapshot)"
        either = "Permission check failed (/vms/103, VM.Snapshot|VM.Snapshot.Rollback)"
        assert (await see.send(f"{one}/rollback")).reason_phrase == either
        refused = await back.send(f"{one}/rollback", start=1)
        assert refused.reason_phrase == "Permission check failed (/vms/103, VM.PowerMgmt)"
        assert (await back.send(f"{one}/rollback")).status_code == 200
        assert (await take.send(one, "DELETE")).status_code == 200


# Configurations


async def test_configurations_are_believable() -> None:
    """A guest's configuration agrees with its row, its disks are on their storages, and it knows its parent."""
    async with visited(nodes=1) as (_, root):
        rows = await root.guests()
        on_disk = {row["volid"] for name in ("local-lvm", "media") for row in await root.read(
            f"/nodes/pve1/storage/{name}/content")}  # fmt: skip
        for vmid, row in rows.items():
            told = await root.read(f"/nodes/pve1/{row['id']}/config")
            assert told["hostname" if row["type"] == "lxc" else "name"] == row["name"]
            assert told["cores"] == row["maxcpu"]
            assert int(told["memory"]) * 1024**2 == row["maxmem"]
            assert told.get("tags") == row.get("tags")
            disks = [told[key].partition(",")[0] for key in ("scsi0", "scsi1", "rootfs", "mp0") if key in told]
            assert set(disks) <= on_disk
            parent = (await snapshots(root, f"/nodes/pve1/{row['id']}"))["current"].get("parent")
            assert told.get("parent") == parent
            assert f"{vmid & 255:02X}" in told["net0"]


async def test_a_description_may_be_hostile() -> None:
    """One guest's notes hold a script, a handler, an outside image and a link that is none."""
    async with visited(nodes=1) as (_, root):
        told = (await root.read(f"/nodes/pve1/lxc/{vmid_of('minecraft')}/config?current=1"))["description"]
    for bait in ("<script>", "onerror=", "https://maps.example.org/", "javascript:"):
        assert bait in told


async def test_configurations_are_asked_for_rightly() -> None:
    """`snapshot` and `current` exclude each other; without VM.Audit there is nothing to see."""
    async with visited(nodes=1) as (_, root):
        answer = await root.ask(f"{NEXTCLOUD}/config?snapshot=fresh&current=1")
        assert answer.json()["errors"].keys() == {"snapshot", "current"}
    async with visited("stan@pve", nodes=1) as (_, stan):
        answer = await stan.ask(f"{NEXTCLOUD}/config")
        assert answer.reason_phrase == "Permission check failed (/vms/103, VM.Audit)"
