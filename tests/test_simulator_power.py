"""Guests of the simulated Proxmox VE are started and stopped by tasks that take their time, and may fail."""

import pytest

from services.simulator import Account, Token
from services.simulator.catalogue import vmid_of
from services.simulator.rights import Grant
from tests.simulated import Visitor, simulated, visited, visitor

OPERATOR = frozenset({"VM.Audit", "VM.PowerMgmt"})
TRUENAS, BROKEN, PAUSED = vmid_of("truenas"), vmid_of("old-fileserver"), vmid_of("windows11")


async def state(one: Visitor, vmid: int) -> str:
    return (await one.guests())[vmid]["status"]


def at(kind: str, vmid: int, action: str) -> str:
    return f"/nodes/pve1/{kind}/{vmid}/status/{action}"


# Tasks that run


async def test_a_guest_runs_when_its_start_has_ended() -> None:
    """While the task runs the guest is as before; at its end it has changed, and the task says so."""
    async with visited(nodes=1) as (sim, root):
        for action, before, after in (("stop", "running", "stopped"), ("start", "stopped", "running")):
            upid = await root.begin(at("qemu", 100, action))
            assert await state(root, 100) == before
            assert (await root.task(upid))["status"] == "running"
            sim.advance(5)
            assert await state(root, 100) == after
            told = await root.task(upid)
            assert (told["status"], told["exitstatus"], told["upid"]) == ("stopped", "OK", upid)
            assert (await root.log(upid))[-1] == "TASK OK"


async def test_a_settled_house() -> None:
    """Once it is settled nothing starts, stops or is snapshot by itself."""
    async with visited(nodes=1) as (sim, root):
        sim.settle()
        sim.advance(60)
        before = {vmid: row["status"] for vmid, row in (await root.guests()).items()}
        begun = {task["upid"] for task in await root.read("/cluster/tasks")}
        for _ in range(10):
            sim.advance(600)
            assert {vmid: row["status"] for vmid, row in (await root.guests()).items()} == before
        new = [task for task in await root.read("/cluster/tasks") if task["upid"] not in begun]
        assert {task["type"] for task in new} <= {"vzdump", "aptupdate"}


async def test_what_a_person_has_done_stays() -> None:
    """A guest that somebody stopped is not started again by the story."""
    async with visited(nodes=1, guests=3) as (sim, root):
        for vmid, kind in ((100, "qemu"), (102, "lxc")):
            await root.begin(at(kind, vmid, "stop"))
        for _ in range(20):
            sim.advance(60)
            assert [await state(root, vmid) for vmid in (100, 102)] == ["stopped", "stopped"]


@pytest.mark.parametrize(("kind", "vmid"), [("qemu", 100), ("lxc", 102)])
async def test_a_reboot_starts_the_uptime_anew(kind: str, vmid: int) -> None:
    """After a reboot the guest runs since then; a machine is started again by a task of root's."""
    async with visited(nodes=1) as (sim, root):
        await root.begin(at(kind, vmid, "reboot"))
        sim.advance(20)
        guest = (await root.guests())[vmid]
        assert (guest["status"], guest["uptime"] < 20) == ("running", True)
        types = [row["type"] for row in await root.read(f"/nodes/pve1/tasks?vmid={vmid}&limit=2")]
    assert types[0] == ("qmstart" if kind == "qemu" else "vzreboot")


async def test_a_paused_machine_is_resumed() -> None:
    """Paused and resumed a machine runs on; to the list it is `paused`, and its own status says how it runs."""
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(at("qemu", 100, "suspend"))
        assert ":qmpause:" in upid
        sim.advance(2)
        assert await state(root, 100) == "paused"
        assert (await root.read(at("qemu", 100, "current")))["qmpstatus"] == "paused"
        for vmid in (100, PAUSED):
            await root.begin(at("qemu", vmid, "resume"))
        sim.advance(2)
        assert await state(root, 100) == await state(root, PAUSED) == "running"


async def test_a_machine_sleeps_on_disk() -> None:
    """Suspended to disk a machine is off and locked, and is resumed by a start."""
    async with visited(nodes=1) as (sim, root):
        assert ":qmsuspend:" in await root.begin(at("qemu", 100, "suspend"), todisk=1)
        assert (await root.guests())[100]["lock"] == "suspending"
        sim.advance(30)
        guest = (await root.guests())[100]
        assert (guest["status"], guest["lock"]) == ("stopped", "suspended")
        upid = await root.begin(at("qemu", 100, "start"))
        sim.advance(10)
        assert await root.log(upid) == ["Resuming suspended VM", "Resumed VM, removing state", "TASK OK"]
        assert "lock" not in (await root.guests())[100]


async def test_high_availability_does_it_itself() -> None:
    """Of a managed guest one only asks for a stop; the task that stops it is root's, and says who began it."""
    vmid = vmid_of("opnsense")
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(at("qemu", vmid, "shutdown"))
        sim.advance(30)
        assert ":hastop:" in upid
        assert await root.log(upid) == [f"Requesting HA stop for VM {vmid}", "TASK OK"]
        newest = (await root.read(f"/nodes/pve1/tasks?vmid={vmid}&limit=1"))[0]
        assert newest["type"] == "qmshutdown"
        assert (await root.log(newest["upid"]))[0] == "task started by HA resource agent"
        assert await state(root, vmid) == "stopped"


# What fails


@pytest.mark.parametrize(("kind", "vmid", "action", "why"), [
    ("lxc", 102, "start", "CT 102 already running"),
    ("lxc", vmid_of("esphome"), "stop", f"CT {vmid_of('esphome')} not running"),
    ("lxc", vmid_of("esphome"), "shutdown", f"CT {vmid_of('esphome')} not running"),
    ("lxc", vmid_of("esphome"), "reboot", f"VM {vmid_of('esphome')} not running"),
    ("qemu", BROKEN, "reboot", f"VM {BROKEN} not running"), ("qemu", BROKEN, "reset", f"VM {BROKEN} not running"),
    ("qemu", BROKEN, "suspend", f"VM {BROKEN} not running"), ("qemu", BROKEN, "resume", f"VM {BROKEN} not running"),
    ("qemu", PAUSED, "shutdown", "VM is paused - cannot shutdown"),
    ("qemu", 999, "start", "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"),
])  # fmt: skip
async def test_some_things_are_refused_at_once(kind: str, vmid: int, action: str, why: str) -> None:
    """What Proxmox sees before it makes a task is a 500 that says why, and no task."""
    async with visited(nodes=1, guests=40) as (_, root):
        before = await root.read("/nodes/pve1/tasks?source=all")
        answer = await root.send(at(kind, vmid, action))
        assert (answer.status_code, answer.reason_phrase) == (500, why)
        assert await root.read("/nodes/pve1/tasks?source=all") == before


@pytest.mark.parametrize(("kind", "vmid", "action", "why"), [
    ("qemu", 100, "start", "VM 100 already running"),
    ("qemu", vmid_of("debian-13-template"), "start", "you can't start a vm if it's a template"),
    ("qemu", BROKEN, "start", "start failed: QEMU exited with code 1"),
    ("qemu", TRUENAS, "shutdown", "VM quit/powerdown failed - got timeout"),
    ("qemu", TRUENAS, "reboot", "VM quit/powerdown failed - got timeout"),
    ("lxc", 102, "suspend", "command 'lxc-checkpoint -n 102 -s -D /var/lib/vz/dump' failed: exit code 1"),
])  # fmt: skip
async def test_other_things_fail_in_their_task(kind: str, vmid: int, action: str, why: str) -> None:
    """What only the task finds out is its status, and the last line of its log; the guest stays as it was."""
    async with visited(nodes=1) as (sim, root):
        before = await state(root, vmid)
        upid = await root.begin(at(kind, vmid, action))
        sim.advance(62)
        assert (await root.task(upid))["exitstatus"] == why
        assert (await root.log(upid))[-1] == f"TASK ERROR: {why}"
        assert await state(root, vmid) == before


async def test_a_failed_start_tells_more_in_its_log() -> None:
    """QEMU's own words stand before the end, in the one of some hours ago too."""
    async with visited(nodes=1) as (sim, root):
        old = (await root.read(f"/nodes/pve1/tasks?vmid={BROKEN}&errors=1"))[0]["upid"]
        new = await root.begin(at("qemu", BROKEN, "start"))
        sim.advance(5)
        for upid in (old, new):
            assert "vfio 0000:01:00.0" in (await root.log(upid))[0]


async def test_force_ends_what_does_not_shut_down() -> None:
    """With `forceStop` a guest that does not hear is off after the timeout; one that is paused, at once."""
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(at("qemu", TRUENAS, "shutdown"), timeout=10, forceStop=1)
        await root.begin(at("qemu", PAUSED, "shutdown"), forceStop=1)
        sim.advance(15)
        assert await root.log(upid) == ["VM still running - terminating now with SIGTERM", "TASK OK"]
        assert await state(root, TRUENAS) == await state(root, PAUSED) == "stopped"


async def test_one_at_a_time() -> None:
    """What comes while a guest shuts down waits ten seconds for the lock of its configuration, and gives up."""
    async with visited(nodes=1) as (sim, root):
        await root.begin(at("qemu", TRUENAS, "shutdown"))
        waiting = await root.begin(at("qemu", TRUENAS, "stop"))
        sim.advance(5)
        assert await root.log(waiting) == ["trying to acquire lock..."]
        sim.advance(6)
        why = f"can't lock file '/var/lock/qemu-server/lock-{TRUENAS}.conf' - got timeout"
        assert (await root.task(waiting))["exitstatus"] == why
        first, second = [await root.begin(at("qemu", 100, action)) for action in ("stop", "start")]
        sim.advance(1)
        assert (await root.task(second))["status"] == "running"
        sim.advance(6)
        assert (await root.task(first))["exitstatus"] == (await root.task(second))["exitstatus"] == "OK"
        assert await root.log(second) == ["trying to acquire lock...", " OK", "TASK OK"]
        assert await state(root, 100) == "running"


async def test_a_stop_overrules_a_shutdown() -> None:
    """With `overrule-shutdown` the shutdown on its way is stopped, and the stop goes through."""
    async with visited(nodes=1) as (sim, root):
        shutdown = await root.begin(at("qemu", TRUENAS, "shutdown"))
        stop = await root.begin(at("qemu", TRUENAS, "stop"), overrule_shutdown=1)
        sim.advance(4)
        assert (await root.task(shutdown))["exitstatus"] == "received interrupt"
        assert await root.log(stop) == [f"overruled qmshutdown tasks: {shutdown}", "TASK OK"]
        assert await state(root, TRUENAS) == "stopped"


# Locks


@pytest.mark.parametrize("lock", ["backup", "snapshot", "rollback"])
async def test_a_locked_guest_is_left_alone(lock: str) -> None:
    """A lock shows in lists, status and configuration, and what would change the guest fails in its task."""
    async with visited(nodes=1) as (sim, root):
        for vmid, kind, name in ((100, "qemu", "VM"), (102, "lxc", "CT")):
            sim.lock(vmid, lock)
            assert (await root.guests())[vmid]["lock"] == lock
            for part in ("status/current", "config"):
                assert (await root.read(f"/nodes/pve1/{kind}/{vmid}/{part}"))["lock"] == lock
            upid = await root.begin(at(kind, vmid, "shutdown"))
            sim.advance(1)
            assert (await root.task(upid))["exitstatus"] == f"{name} is locked ({lock})"
            sim.lock(vmid, "")
            assert "lock" not in (await root.guests())[vmid]
            upid = await root.begin(at(kind, vmid, "shutdown"))
            sim.advance(15)
            assert (await root.task(upid))["exitstatus"] == "OK"


async def test_one_guest_is_locked_for_good() -> None:
    """A deletion of a snapshot broke off long ago, and the guest does not start since."""
    vmid = vmid_of("ubuntu-desktop")
    async with visited(nodes=1) as (sim, root):
        assert {row["vmid"] for row in (await root.guests()).values() if "lock" in row} == {vmid}
        upid = await root.begin(at("qemu", vmid, "start"))
        sim.advance(1)
        assert (await root.task(upid))["exitstatus"] == "VM is locked (snapshot-delete)"


# Stopping tasks, reading them


async def test_a_task_is_stopped() -> None:
    """A task that is stopped ends at once as interrupted, does nothing more, and stays as it is when stopped again."""
    async with visited(nodes=1) as (sim, root):
        upid = await root.begin(at("qemu", 100, "shutdown"))
        path = f"/nodes/pve1/tasks/{upid}"
        for _ in range(2):
            answer = await root.send(path, "DELETE")
            assert (answer.status_code, answer.json()) == (200, {"data": None})
            told = await root.task(upid)
            assert (told["status"], told["exitstatus"]) == ("stopped", "received interrupt")
            sim.advance(20)
        assert await root.log(upid) == ["TASK ERROR: received interrupt"]
        assert await state(root, 100) == "running"


async def test_held_tasks_wait_for_their_release() -> None:
    """A held task runs however late it gets, and has ended the moment it is released; so has its guest changed."""
    async with visited(nodes=1, guests=1) as (sim, root):
        sim.hold()
        upid = await root.begin(at("qemu", 100, "stop"))
        sim.advance(3_600)
        assert (await root.task(upid))["status"] == "running"
        assert [row["upid"] for row in await root.read("/nodes/pve1/tasks?source=active")] == [upid]
        sim.release()
        assert (await root.task(upid))["exitstatus"] == "OK"
        assert await state(root, 100) == "stopped"
        upid = await root.begin(at("qemu", 100, "start"))
        sim.advance(5)
        assert (await root.task(upid))["exitstatus"] == "OK"


async def test_changes_are_counted() -> None:
    """How often something was sent that changes anything is known by method and path; alike ones have UPIDs apart."""
    async with visited(nodes=1) as (sim, root):
        first, second = [await root.begin(at("qemu", 100, "reset")) for _ in range(2)]
        assert first != second
        assert sim.changes["POST", at("qemu", 100, "reset")] == 2
        assert not any(method == "GET" for method, _ in sim.changes)


async def test_tasks_are_for_who_began_them_and_for_auditors() -> None:
    """Others read a task with Sys.Audit on its node and stop it with Sys.Modify; a token is apart from its owner."""
    eve = Account(
        userid="eve@pve", password="demo", grants=(Grant("/vms", OPERATOR),), tokens=(Token(name="box", secret="s"),)
    )
    tom = Account(userid="tom@pve", password="demo", grants=(Grant("/nodes/pve1", frozenset({"Sys.Audit"})),))
    ann = Account(userid="ann@pve", password="demo", grants=(Grant("/vms", OPERATOR),))
    async with simulated(accounts=(eve, tom, ann), nodes=1) as (_, client):
        one, auditor, other = [await visitor(client, account.userid) for account in (eve, tom, ann)]
        box = Visitor(client, {"Authorization": "PVEAPIToken=eve@pve!box=s"})
        upid, of_box = await one.begin(at("qemu", TRUENAS, "shutdown")), await box.begin(at("qemu", 100, "shutdown"))
        assert (await one.task(of_box))["tokenid"] == "box"
        assert (await auditor.task(upid))["user"] == "eve@pve"
        for who, whose, read, stopped in (
            (other, upid, 403, 403), (auditor, upid, 200, 403), (box, upid, 403, 403), (one, of_box, 200, 200),
            (one, upid, 200, 200),
        ):  # fmt: skip
            path = f"/nodes/pve1/tasks/{whose}"
            assert {(await who.ask(f"{path}/{part}")).status_code for part in ("status", "log")} == {read}
            answer = await who.send(path, "DELETE")
            assert answer.status_code == stopped
            if stopped == 403:
                assert answer.reason_phrase == "Permission check failed (/nodes/pve1, Sys.Modify)"


async def test_tasks_that_there_are_not() -> None:
    """What is no UPID, and one that nobody knows, are 400; only a log is opened in vain."""
    nobodys = "UPID:pve1:00001000:00001000:6B03F88F:qmstart:100:root@pam:"
    async with visited(nodes=1) as (_, root):
        for upid, why in (("nonsense", "unable to parse worker upid"), (nobodys, "no such task")):
            for answer in (
                await root.ask(f"/nodes/pve1/tasks/{upid}/status"),
                await root.send(f"/nodes/pve1/tasks/{upid}", "DELETE"),
            ):
                assert (answer.status_code, answer.json()["errors"]) == (400, {"upid": why})
        assert (await root.ask("/nodes/pve1/tasks/nonsense/log")).status_code == 400
        assert await root.log(nobodys) == ["unable to open file - No such file or directory"]


async def test_a_log_comes_in_pages() -> None:
    """`start` and `limit` choose lines, which bear their number; `total` counts all."""
    async with visited(nodes=1) as (_, root):
        upid = next(row["upid"] for row in await root.read("/nodes/pve1/tasks?typefilter=vzdump"))
        every = await root.log(upid)
        answer = (await root.ask(f"/nodes/pve1/tasks/{upid}/log?start=2&limit=3")).json()
    assert answer["total"] == len(every) > 50
    assert answer["data"] == [{"n": number + 1, "t": every[number]} for number in (2, 3, 4)]
    assert every[0].startswith("INFO: starting new backup job: vzdump")
    assert every[-1] == "TASK ERROR: job errors"


# Who may


async def test_power_is_for_those_who_may() -> None:
    """Seeing a guest is not enough to switch it; who looks after a pool switches its guests and no others."""
    for username, vmid, kind, status in (
        ("vera@pve", 100, "qemu", 403), ("alice@pve", 100, "qemu", 403), ("nobody@pve", 100, "qemu", 403),
        ("max@pve", 100, "qemu", 403), ("max@pve", vmid_of("jellyfin"), "lxc", 200),
    ):  # fmt: skip
        async with visited(username, nodes=1) as (_, one):
            answer = await one.send(at(kind, vmid, "shutdown"))
        assert answer.status_code == status
        if status == 403:
            assert answer.reason_phrase == f"Permission check failed (/vms/{vmid}, VM.PowerMgmt)"


async def test_sleeping_on_disk_needs_more() -> None:
    """Besides the switch it takes the right on the disks and on the storage."""
    more = OPERATOR | {"VM.Config.Disk"}
    for rights, why in ((OPERATOR, "/vms/100, VM.Config.Disk"), (more, "/storage/local-lvm, Datastore.AllocateSpace")):
        eve = Account(userid="eve@pve", password="demo", grants=(Grant("/vms", rights),))
        async with visited("eve@pve", accounts=(eve,), nodes=1) as (_, one):
            answer = await one.send(at("qemu", 100, "suspend"), todisk=1)
            assert (answer.status_code, answer.reason_phrase) == (403, f"Permission check failed ({why})")
