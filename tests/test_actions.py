"""The one room for what changes something: rights, one order at a time, the task followed, the event noted."""

import asyncio
import logging
from collections import Counter
from dataclasses import replace

import pytest

from services import audit as audit_module
from services.actions import (
    Actions,
    BackUp,
    Need,
    Power,
    RollBack,
    TakeSnapshot,
    grant_command,
    missing,
    needs_to_stop,
    orders_for,
)
from services.actions import actions as room
from services.errors import BadAnswer, Outage, PrivilegeMissing, StoreUnavailable, UnderWay, Unreachable
from services.feed import Picture
from services.proxmox import Guest, Permissions, Resources, Task
from services.sessions import Session
from tests.test_feed_ask import session

UPID = "UPID:pve1:0000A1B2:00C3D4E5:65000000:qmstart:100:alice@pve:"
GUEST = Guest(type="qemu", vmid=100, node="pve1", status="stopped", name="web")
MOVED = replace(GUEST, node="pve2")
TASK = Task(upid=UPID, node="pve1", type="qmstart", user="alice@pve")
GONE = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"


def failed(words):
    error = Unreachable("status 500", Outage.FAILED, 500)
    error.words = words
    return error


class Pve:
    """Stands in for a client: answers in turn, and counts."""

    def __init__(self, feed):
        self.feed = feed

    async def permissions(self):
        return Permissions(paths=self.feed.rights)

    async def resources(self):
        return Resources(guests=self.feed.guests)

    async def power(self, node, type, vmid, action, *, overrule=False):
        self.feed.sent[node, type, vmid, action] += 1
        await self.feed.go.wait()
        if trouble := self.feed.troubles.pop(node, None):
            raise trouble
        return UPID

    async def task_status(self, upid):
        answer = self.feed.tasks.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stop_task(self, upid):
        self.feed.sent[upid] += 1


class Feed:
    """Stands in for the feed: puts every question at once."""

    def __init__(self):
        self.rights = {"/": {"VM.PowerMgmt": True}}
        self.guests = ()
        self.sent = Counter()
        self.troubles = {}
        self.tasks = []
        self.told = [None]
        self.hurried = 0
        self.go = asyncio.Event()
        self.go.set()

    async def ask(self, session, key, question, fresh_for):
        return await question(Pve(self))

    async def put(self, session, question):
        return await question(Pve(self))

    async def permissions(self, session):
        return await Pve(self).permissions()

    def picture(self, session):
        return Picture(tasks=self.told.pop(0) if len(self.told) > 1 else self.told[0])

    def hurry(self, session):
        self.hurried += 1


class Audit:
    def __init__(self):
        self.noted = []

    async def note(self, event):
        self.noted.append((event.about, event.outcome, event.principal, event.address))


@pytest.fixture
def feed():
    return Feed()


@pytest.fixture
def audit():
    return Audit()


@pytest.fixture
def actions(feed, store, audit, monkeypatch):
    monkeypatch.setattr(room, "FOLLOW_SECONDS", 0.01)
    monkeypatch.setattr(room, "LOST_SECONDS", 0.05)
    return Actions(feed, store, audit)


@pytest.fixture
def alice() -> Session:
    return session()


async def test_an_order_is_given(actions, feed, audit, alice):
    """An order is sent once to the guest's node, begins a task, is noted, and has the pictures hurry."""
    assert await actions.do(alice, Power("start"), GUEST, "192.0.2.7") == UPID
    assert feed.sent == {("pve1", "qemu", 100, "start"): 1}
    assert audit.noted == [("start qemu/100 on pve1", UPID, "alice@pve", "192.0.2.7")]
    assert feed.hurried == 1


async def test_what_one_may_not_do_is_not_sent(actions, feed, audit, alice):
    """Without the right nothing leaves, whoever pressed what; and what is lacking is named."""
    feed.rights = {"/": {"VM.Audit": True}}
    with pytest.raises(PrivilegeMissing) as caught:
        await actions.do(alice, Power("stop"), GUEST)
    assert (caught.value.path, caught.value.privilege, feed.sent) == ("/vms/100", "VM.PowerMgmt", {})
    assert audit.noted[0][:2] == ("stop qemu/100 on pve1", "PrivilegeMissing")


async def test_one_order_at_a_time(actions, feed, store, audit, alice):
    """While one is on its way a second one about that guest is not sent, on no tab and no replica; others are."""
    feed.go.clear()
    first = asyncio.create_task(actions.do(alice, Power("start"), GUEST))
    while not feed.sent:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
    replica = Actions(feed, store, audit)
    for one in (actions, replica):
        with pytest.raises(UnderWay):
            await one.do(alice, Power("start"), GUEST)
    other = asyncio.create_task(actions.do(alice, Power("start"), replace(GUEST, vmid=101)))
    bob = asyncio.create_task(actions.do(session("bob@pve"), Power("start"), GUEST))
    while sum(feed.sent.values()) < 3:
        await asyncio.sleep(0.001)
    feed.go.set()
    assert await asyncio.gather(first, other, bob) == [UPID] * 3
    assert await actions.do(alice, Power("start"), GUEST) == UPID


async def test_the_way_is_free_after_a_failure(actions, feed, alice):
    """An order that failed does not stand in the way of the next."""
    feed.troubles["pve1"] = failed("VM is locked (backup)")
    with pytest.raises(Unreachable):
        await actions.do(alice, Power("start"), GUEST)
    assert await actions.do(alice, Power("start"), GUEST) == UPID


async def test_with_the_store_down_nothing_is_sent(actions, feed, alice, monkeypatch):
    """Where nobody can tell whether another order is on its way, none is sent."""

    async def down(*_, **__):
        raise StoreUnavailable("down")

    monkeypatch.setattr(actions._store, "run", down)
    with pytest.raises(StoreUnavailable):
        await actions.do(alice, Power("start"), GUEST)
    assert not feed.sent


@pytest.mark.parametrize(
    ("trouble", "guests", "again"),
    [
        (failed(GONE), (MOVED,), True),
        (failed(GONE), (GUEST,), False),
        (failed(GONE), (replace(MOVED, name="another"),), False),
        (failed(GONE), (replace(MOVED, type="lxc"),), False),
        (failed(GONE), (), False),
        (failed("VM is locked (migrate)"), (MOVED,), False),
        (Unreachable("595", Outage.DAEMON, 595), (MOVED,), False),
        (Unreachable("cut", Outage.BROKEN), (MOVED,), False),
    ],
)
async def test_a_guest_that_has_moved(trouble, guests, again, actions, feed, alice):
    """It is followed to its new node where the old one knows nothing of it; an order that may have arrived is not."""
    feed.guests, feed.troubles = guests, {"pve1": trouble}
    if again:
        assert await actions.do(alice, Power("start"), GUEST) == UPID
    else:
        with pytest.raises(Unreachable):
            await actions.do(alice, Power("start"), GUEST)
    assert feed.sent["pve2", "qemu", 100, "start"] == int(again)
    assert feed.sent["pve1", "qemu", 100, "start"] == 1


async def test_a_task_is_followed_by_the_pictures(actions, feed, alice):
    """Until they tell of its end, however many of them have not heard of it yet; Proxmox is asked nothing for it."""
    ended = replace(TASK, endtime=9, status="got timeout")
    feed.told = [None, (), (TASK,), (replace(ended, upid="another"), TASK), (ended,)]
    task = await actions.followed(alice, UPID, lambda: True)
    assert (task.status, task.failed, feed.hurried) == ("got timeout", True, 1)


async def test_a_task_that_no_picture_has_is_asked_about(actions, feed, alice):
    """Through looks that fail: an outage says nothing of the task."""
    feed.tasks = [TASK, Unreachable("x"), StoreUnavailable("x"), BadAnswer("x"), TASK, replace(TASK, status="OK")]
    task = await actions.followed(alice, UPID, lambda: True)
    assert (task.status, feed.tasks) == ("OK", [])


async def test_a_task_is_followed_for_as_long_as_it_is_wanted(actions, feed, alice):
    """Nobody follows it for a page that is gone; and where one may not look at it that is told."""
    feed.told = [(TASK,)]
    wanted = iter([True, True, False])
    assert await actions.followed(alice, UPID, lambda: next(wanted)) is None
    feed.told, feed.tasks = [None], [PrivilegeMissing("/nodes/pve1", "Sys.Audit")]
    with pytest.raises(PrivilegeMissing):
        await actions.followed(alice, UPID, lambda: True)


async def test_what_is_cut_short_is_noted_all_the_same(actions, feed, audit, alice):
    """An order that was sent when its page's process was told to stop stands in the log, and not as done."""
    feed.go.clear()
    task = asyncio.create_task(actions.do(alice, Power("start"), GUEST))
    while not feed.sent:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert audit.noted == [("start qemu/100 on pve1", "CancelledError", "alice@pve", "")]


async def test_no_order_outlives_its_mark(actions, feed, alice, monkeypatch):
    """What takes longer than the mark in the store stands is given up before another may be sent."""
    monkeypatch.setattr(room, "ON_ITS_WAY_MS", 5_050)
    feed.go.clear()
    with pytest.raises(Unreachable) as caught:
        await actions.do(alice, Power("start"), GUEST)
    assert caught.value.sent


async def test_a_task_is_stopped(actions, feed, audit, alice):
    """Once, and it is noted."""
    await actions.stop_task(alice, UPID)
    assert feed.sent == {UPID: 1}
    assert audit.noted == [(f"stop-task {UPID}", "ok", "alice@pve", "")]


async def test_only_who_may_stops_a_task(actions, feed, audit, alice):
    """One that others have begun takes Sys.Modify on its node; without that nothing is sent, and it is noted."""
    other = UPID.replace("alice@pve", "bob@pve")
    with pytest.raises(PrivilegeMissing) as caught:
        await actions.stop_task(alice, other)
    assert (caught.value.path, caught.value.privilege) == ("/nodes/pve1", "Sys.Modify")
    assert feed.sent == {}
    feed.rights = {"/nodes": {"Sys.Modify": True}}
    await actions.stop_task(alice, other)
    assert feed.sent == {other: 1}
    assert [outcome for _, outcome, *_ in audit.noted] == ["PrivilegeMissing", "ok"]


@pytest.mark.parametrize(
    ("upid", "principal", "free"),
    [
        (UPID, "alice@pve", True),
        (UPID.replace("alice@pve", "alice@pve!ci"), "alice@pve", True),
        (UPID, "alice@pve!ci", False),
        (UPID, "alice@pv", False),
    ],
)
def test_whose_task_it_is(upid, principal, free):
    """One's own is one's own to stop, and an account's are its tokens' tasks too, but not the other way round."""
    assert (not needs_to_stop(upid, principal)) == free


@pytest.mark.parametrize(
    ("held", "order", "lacking"),
    [
        ({"/": {"VM.PowerMgmt": True}}, Power("start"), None),
        ({"/": {"VM.PowerMgmt": False}}, Power("start"), Need("/vms/100", ("VM.PowerMgmt",))),
        ({"/vms/100": {"VM.PowerMgmt": False}}, Power("start"), None),
        ({"/vms": {"VM.PowerMgmt": True}, "/vms/100": {"VM.Audit": True}}, Power("stop"), "VM.PowerMgmt"),
        ({"/vms": {"VM.Snapshot.Rollback": True}}, RollBack("a1"), None),
        ({"/vms": {"VM.Snapshot.Rollback": True}}, TakeSnapshot(snapshot="a1"), "VM.Snapshot"),
        ({"/vms": {"VM.Backup": True}}, BackUp(storage="nas"), "Datastore.AllocateSpace"),
        ({"/vms": {"VM.Backup": True}, "/storage/nas": {"Datastore.Allocate": True}}, BackUp(storage="nas"), None),
        ({}, Power("start"), "VM.PowerMgmt"),
    ],
)
def test_what_is_lacking(held, order, lacking):
    """By Proxmox's own rules: what is named on a path replaces what its parents pass down."""
    found = missing(Permissions(paths=held), order.needs(GUEST))
    assert (found.privileges[0] if isinstance(lacking, str) and found else found) == lacking


@pytest.mark.parametrize(
    ("principal", "command"),
    [
        ("kid@pve", "pveum acl modify /vms/100 --users kid@pve --roles PVEVMUser"),
        ("kid@pve!ci", "pveum acl modify /vms/100 --tokens 'kid@pve!ci' --roles PVEVMUser"),
        ("o'neil@pve", "pveum acl modify /vms/100 --users 'o'\"'\"'neil@pve' --roles PVEVMUser"),
        ("a; rm -rf @pve", ""),
        ("eve@pve,zed@pve", ""),
        ("a\x1b[201~\rid@pve", ""),
        ("\u202ea@pve", ""),
    ],
)
def test_what_the_administrator_does(principal, command):
    """A line that can be pasted into a shell, whatever the account is called."""
    assert grant_command(principal, "/vms/100", "VM.PowerMgmt") == command


def test_a_privilege_that_no_role_is_known_for():
    """Rather nothing than a guess; of several that would do, one that is known."""
    assert grant_command("kid@pve", "/vms/100", "VM.Teleport") == ""
    assert grant_command("kid@pve", "/storage/x\x1b[201~", "Datastore.Audit") == ""
    assert "PVEVMAdmin" in grant_command("kid@pve", "/vms/100", "VM.Snapshot|VM.Snapshot.Rollback")


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ({"status": "stopped"}, ["start"]),
        ({"status": "running"}, ["shutdown", "reboot", "suspend", "stop"]),
        ({"status": "paused"}, ["resume", "stop"]),
        ({"status": "io-error"}, ["resume", "stop"]),
        ({"status": "unknown", "type": "lxc"}, []),
        ({"status": "stopped", "template": True}, []),
    ],
)
def test_what_makes_sense(state, names):
    """Only what the state of a guest allows is offered."""
    assert [order.name for order in orders_for(replace(GUEST, **state))] == names


async def test_the_log_has_it(store, keys, caplog, alice):
    """An order stands in the log with who, what and how it went; the account's own list is for its sessions."""
    real = audit_module.Audit(store, keys)
    with caplog.at_level(logging.INFO, "services.audit"):
        await Actions(Feed(), store, real).do(alice, Power("start"), GUEST, "192.0.2.7")
    assert "event=action principal=alice@pve address=192.0.2.7" in caplog.text
    assert 'about="start qemu/100 on pve1"' in caplog.text
    assert await real.recent("alice@pve") == ()
