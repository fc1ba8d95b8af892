"""Backups by hand in the simulated Proxmox VE."""

from typing import Any

import pytest

from services.simulator import Account
from services.simulator.catalogue import vmid_of
from services.simulator.rights import Grant
from tests.simulated import Visitor, visited

PATH = "/nodes/pve1/vzdump"


async def backups(one: Visitor, vmid: int, storage: str = "nas") -> list[dict[str, Any]]:
    return await one.read(f"/nodes/pve1/storage/{storage}/content?content=backup&vmid={vmid}")


@pytest.mark.parametrize(("vmid", "form", "words"), [
    (vmid_of("windows11"), "vma.zst", "VM"), (vmid_of("jellyfin"), "tar.zst", "CT"),
])  # fmt: skip
async def test_a_backup_lies_on_the_storage(vmid: int, form: str, words: str) -> None:
    """While it is made the guest is locked, and its log grows; then it is there, with its notes, and protected."""
    async with visited(nodes=1) as (sim, root):
        before = await backups(root, vmid)
        upid = await root.begin(
            PATH, vmid=vmid, storage="nas", mode="snapshot", compress="zstd", protected=1, remove=0,
            notes_template="{{guestname}} on {{node}}, {{vmid}} of {{cluster}}",
        )  # fmt: skip
        assert f":vzdump:{vmid}:" in upid
        sim.advance(4)
        row, growing = (await root.guests())[vmid], await root.log(upid)
        assert row["lock"] == "backup"
        assert await backups(root, vmid) == before
        sim.advance(60)
        log = await root.log(upid)
        new = [row for row in await backups(root, vmid) if row not in before]
        name = (await root.guests())[vmid]["name"]
        assert "lock" not in (await root.guests())[vmid]
    assert log[: len(growing)] == growing
    assert log[0].startswith(f"INFO: starting new backup job: vzdump {vmid} --compress zstd --mode snapshot")
    assert f"INFO: {words} Name: {name}" in log
    assert any("mount point mp0" in line for line in log) == (words == "CT")
    assert log[-2:] == ["INFO: Backup job finished successfully", "TASK OK"]
    assert [(one["format"], one["notes"], one["protected"]) for one in new] == [
        (form, f"{name} on pve1, {vmid} of homelab", 1)
    ]
    assert any(new[0]["volid"].removeprefix("nas:backup/") in line for line in log)


async def test_several_guests_take_turns() -> None:
    """One after the other is locked and backed up; one that cannot be makes the whole end with errors."""
    stuck = vmid_of("ubuntu-desktop")
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(PATH, vmid=f"102,{stuck},100", storage="local")
        assert ":vzdump::" in upid
        locked = []
        for _ in range(40):
            locked += [vmid for vmid, row in (await root.guests()).items() if row.get("lock") == "backup"]
            sim.advance(1)
        assert list(dict.fromkeys(locked)) == [100, 102]
        assert (await root.task(upid))["exitstatus"] == "job errors"
        log = await root.log(upid)
        assert f"ERROR: Backup of VM {stuck} failed - VM is locked (snapshot-delete)" in log
        assert log[-2:] == ["INFO: Backup job finished with errors", "TASK ERROR: job errors"]
        assert [len(await backups(root, vmid, "local")) for vmid in (100, 102, stuck)] == [1, 1, 0]


@pytest.mark.parametrize(("form", "why"), [
    ({}, {"vmid": "property is missing"}),
    ({"vmid": "12"}, {"vmid": "invalid format - value does not look like a valid VM ID\n"}),
    ({"vmid": 100, "mode": "slow"},
     {"mode": "value 'slow' does not have a value in the enumeration 'snapshot, suspend, stop'"}),
    ({"vmid": 100, "notes_template": "{{secret}}"}, {"notes-template": "found unknown: variable 'secret' at char 2\n"}),
])  # fmt: skip
async def test_wrong_orders_are_refused(form: dict[str, Any], why: dict[str, str]) -> None:
    """What is wrong with an order is named in a 400."""
    async with visited(nodes=1) as (_, root):
        answer = await root.send(PATH, **form)
    assert (answer.status_code, answer.json()["errors"]) == (400, why)


@pytest.mark.parametrize(("form", "why"), [
    ({"vmid": 100, "storage": "none"},
     "could not get storage information for 'none': storage 'none' does not exist"),
    ({"vmid": 100, "storage": "media"},
     "could not get storage information for 'media': can't use storage 'media' for backups - wrong content type"),
    ({"vmid": vmid_of("frigate"), "storage": "nas"}, "job errors"), ({"vmid": 998}, "job errors"),
])  # fmt: skip
async def test_backups_fail_in_their_task(form: dict[str, Any], why: str) -> None:
    """A storage that is none or takes no backups, a disk that cannot be read, and a guest that there is not."""
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(PATH, **form)
        sim.advance(30)
        assert (await root.task(upid))["exitstatus"] == why
        assert (await root.log(upid))[-1] == f"TASK ERROR: {why}"


async def test_guests_of_other_nodes_are_left_out() -> None:
    """A node backs up its own guests and has nothing to do for others, which is no error."""
    async with visited() as (_, root):
        elsewhere = next(vmid for vmid, row in (await root.guests()).items() if row["node"] != "pve1")
        assert (await root.send(PATH, vmid=elsewhere)).json() == {"data": "OK"}


async def test_a_backup_is_stopped() -> None:
    """Stopped midway it is interrupted by a signal, leaves nothing behind and the guest free."""
    async with visited(nodes=1) as (sim, root):
        before = await backups(root, 100)
        upid = await root.begin(PATH, vmid=100, storage="nas")
        sim.advance(3)
        await root.send(f"/nodes/pve1/tasks/{upid}", "DELETE")
        sim.advance(60)
        assert (await root.task(upid))["exitstatus"] == "interrupted by signal"
        assert (await root.log(upid))[-3:] == [
            "ERROR: Backup of VM 100 failed - interrupted by signal",
            "ERROR: Backup job failed - interrupted by signal",
            "TASK ERROR: interrupted by signal",
        ]
        assert await backups(root, 100) == before
        assert "lock" not in (await root.guests())[100]


async def test_backups_need_rights_on_storage_and_guest() -> None:
    """Without the right on the storage it is refused at once; without that on the guest the task fails."""
    for storage, guest, status, why in (
        (set(), {"VM.Backup"}, 403, "/storage/nas, Datastore.AllocateSpace"),
        ({"Datastore.AllocateSpace"}, {"VM.Audit"}, 200, "/vms/100, VM.Backup"),
    ):
        grants = (Grant("/storage", frozenset(storage)), Grant("/vms", frozenset(guest)))
        eve = Account(userid="eve@pve", password="demo", grants=grants)
        async with visited("eve@pve", accounts=(eve,), nodes=1) as (sim, one):
            answer = await one.send(PATH, vmid=100, storage="nas")
            assert answer.status_code == status
            sim.advance(2)
            told = answer.reason_phrase if status == 403 else (await one.task(answer.json()["data"]))["exitstatus"]
            assert told == f"Permission check failed ({why})"
