"""The inventory: one poller per account however many look, on a session that lives, for as long as somebody looks."""

import asyncio
import contextlib
import time

import pytest
from pydantic import SecretStr

from services import inventory as module
from services.errors import (
    BadAnswer,
    EndReason,
    Outage,
    PrivilegeMissing,
    RequestRefused,
    SessionEnded,
    StoreUnavailable,
    Unreachable,
)
from services.inventory import Inventory
from services.proxmox import Address, Guest, Node, Proxmox, Resources, Trust
from services.sessions import Limits, Session, Sessions, new_id

PERIOD = 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Poll every twentieth of a second instead of every four seconds."""
    monkeypatch.setattr(module, "PERIOD", PERIOD)
    monkeypatch.setattr(module, "SLOWEST", 5 * PERIOD)


def session(principal="alice@pve"):
    return Session(id=new_id(), principal=principal, created=time.time(), deadline=time.monotonic() + 3600)


class Desk:
    """Stands in for the sessions: lends a client to whoever is alive, and notes to whom."""

    def __init__(self):
        self.lent = []
        self.ended = set()
        self.trouble = None
        self.asked = 0
        self.under_way = self.most_under_way = 0
        self.delay = 0.0
        self.looks_at_members = 0
        self.members_trouble = None

    @contextlib.asynccontextmanager
    async def credentials(self, session):
        if session.hash in self.ended:
            raise SessionEnded(EndReason.ENDED)
        self.lent.append(session)
        yield self

    async def resources(self):
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay)
            if self.trouble:
                raise self.trouble
            return Resources(nodes=(Node(node=f"pve{self.asked}", status="online"),))
        finally:
            self.under_way -= 1

    async def members(self):
        self.looks_at_members += 1
        if self.members_trouble:
            raise self.members_trouble


class Pve:
    """Stands in for Proxmox: knows which addresses are in trouble, and who is forgotten."""

    def __init__(self):
        self.down = {}
        self.asked_for = set()
        self.forgotten = []

    def troubles(self, principal):
        self.asked_for.add(principal)
        return dict(self.down)

    def forget_members(self, principal):
        self.forgotten.append(principal)


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
async def inventory(desk, pve):
    made = Inventory(desk, pve)
    yield made
    await made.aclose()


async def until(condition, seconds=3.0):
    """Wait for a condition to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.005)


def pollers():
    """The tasks that poll."""
    return [task for task in asyncio.all_tasks() if "_Poller" in repr(task.get_coro())]


async def test_first_picture(inventory):
    """Whoever begins to look is told the first picture, with the time it was taken."""
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    assert pictures[0].resources.nodes
    assert pictures[0].error is None
    assert abs(time.time() - pictures[0].taken) < 5


async def test_goes_on(inventory):
    """Pictures keep coming, each newer than the one before."""
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: len(pictures) >= 4)
    taken = [picture.taken for picture in pictures]
    assert taken == sorted(set(taken))


async def test_one_poller_however_many_look(inventory, desk):
    """A hundred tabs of ten sessions of one account are one question at a time, and each tab gets every picture."""
    seen = [[] for _ in range(100)]
    sessions = [session() for _ in range(10)]
    for number, pictures in enumerate(seen):
        inventory.look(sessions[number % 10], pictures.append)
    await until(lambda: all(len(pictures) >= 3 for pictures in seen))
    assert len(pollers()) == 1
    assert desk.most_under_way == 1
    assert desk.asked <= len(seen[0]) + 1


async def test_accounts_do_not_share(inventory, desk):
    """Two accounts are two pollers, each with its own account's session: nobody sees with another's rights."""
    alice, bob, token = session("alice@pve"), session("bob@pve"), session("alice@pve!ci")
    for one in (alice, bob, token):
        inventory.look(one, [].append)
    await until(lambda: {one.principal for one in desk.lent} == {"alice@pve", "bob@pve", "alice@pve!ci"})
    assert len(pollers()) == 3


async def test_late_looker_sees_the_present_picture(inventory, desk):
    """Who comes later is shown the present picture at once."""
    first, second = [], []
    inventory.look(session(), first.append)
    await until(lambda: first)
    inventory.look(session(), second.append)
    assert second == [first[-1]]


async def test_nothing_is_shown_before_the_first_picture(inventory):
    """Before there is a picture nobody is told an empty one."""
    pictures = []
    inventory.look(session(), pictures.append)
    assert pictures == []


async def test_borrows_one_session(inventory, desk):
    """While it lives, one session's credentials are borrowed and not each one's."""
    one, other, pictures = session(), session(), []
    inventory.look(one, pictures.append)
    inventory.look(other, [].append)
    await until(lambda: len(pictures) >= 3)
    assert {lent.hash for lent in desk.lent} == {one.hash}


async def test_moves_on_when_the_session_ends(inventory, desk):
    """When the borrowed session ends the next one's credentials are used, and nobody is told of trouble."""
    one, other, pictures = session(), session(), []
    inventory.look(one, [].append)
    inventory.look(other, pictures.append)
    await until(lambda: pictures)
    desk.ended.add(one.hash)
    await until(lambda: desk.lent[-1] is other)
    seen = len(pictures)
    await until(lambda: len(pictures) > seen)
    assert all(picture.error is None for picture in pictures)


async def test_no_session_left(inventory, desk):
    """With no live session left Proxmox is not asked, nothing new is shown, and a new session takes up again."""
    one, pictures, again = session(), [], []
    inventory.look(one, pictures.append)
    await until(lambda: pictures)
    desk.ended.add(one.hash)
    await asyncio.sleep(2 * PERIOD)
    asked, seen = desk.asked, len(pictures)
    await asyncio.sleep(3 * PERIOD)
    assert (desk.asked, len(pictures)) == (asked, seen)
    inventory.look(session(), again.append)
    await until(lambda: desk.asked > asked)


async def test_stops_with_the_last(inventory, desk):
    """With the last looker gone the poller stops, and Proxmox is asked no more."""
    stop_one, stop_other = inventory.look(session(), [].append), inventory.look(session(), [].append)
    await until(lambda: desk.asked)
    stop_one()
    await asyncio.sleep(0)
    assert len(pollers()) == 1
    stop_other()
    await until(lambda: not pollers())
    asked = desk.asked
    await asyncio.sleep(3 * PERIOD)
    assert desk.asked == asked


async def test_stopping_mid_question(inventory, desk):
    """The last looker's leaving ends a question under way."""
    desk.delay = 30
    stop = inventory.look(session(), [].append)
    await until(lambda: desk.under_way)
    stop()
    await until(lambda: not desk.under_way)


async def test_stopping_before_the_first_question(inventory, desk):
    """Who leaves at once has asked nothing."""
    inventory.look(session(), [].append)()
    await until(lambda: not pollers())
    assert not desk.asked


async def test_stopping_twice(inventory, desk):
    """To stop twice is to stop once: whoever looks anew meanwhile goes on looking."""
    pictures = []
    stop = inventory.look(session(), [].append)
    stop()
    inventory.look(session(), pictures.append)
    stop()
    await until(lambda: len(pictures) >= 2)


async def test_gone_looker_is_told_nothing(inventory):
    """Who has stopped looking is told nothing more."""
    mine, others = [], []
    stop = inventory.look(session(), mine.append)
    inventory.look(session(), others.append)
    await until(lambda: mine)
    stop()
    seen = len(others)
    told = len(mine)
    await until(lambda: len(others) > seen + 1)
    assert len(mine) == told


async def test_looking_again(inventory):
    """After everybody has left, somebody new is shown a new picture and no old one."""
    first, second = [], []
    stop = inventory.look(session(), first.append)
    await until(lambda: first)
    stop()
    inventory.look(session(), second.append)
    assert second == []
    await until(lambda: second)
    assert second[0].taken > first[-1].taken


@pytest.mark.parametrize("trouble", [Unreachable(), StoreUnavailable()], ids=lambda one: type(one).__name__)
async def test_trouble_keeps_the_last_picture(inventory, desk, trouble):
    """In trouble the last picture stays, with its time and the error; afterwards a new one comes without."""
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble = trouble
    await until(lambda: pictures[-1].error is trouble)
    last = next(picture for picture in reversed(pictures) if picture.error is None)
    assert pictures[-1].resources == last.resources
    assert pictures[-1].taken == last.taken
    desk.trouble = None
    await until(lambda: pictures[-1].error is None)
    assert pictures[-1].taken > last.taken


async def test_trouble_from_the_start(inventory, desk):
    """Trouble before the first picture is told, with no picture behind it."""
    pictures, late = [], []
    desk.trouble = Unreachable()
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    assert (pictures[0].taken, pictures[0].error) == (0, desk.trouble)
    inventory.look(session(), late.append)
    assert late == [pictures[-1]]


async def test_trouble_slows_down(inventory, desk, monkeypatch):
    """While Proxmox does not answer it is asked less and less often, and no less often than the slowest."""
    pauses, sleep = [], asyncio.sleep

    async def noted(seconds, *rest):
        if seconds:
            pauses.append(seconds)
        await sleep(min(seconds, 0.001), *rest)

    desk.trouble = Unreachable()
    monkeypatch.setattr(module.asyncio, "sleep", noted)
    inventory.look(session(), [].append)
    deadline = time.monotonic() + 5
    while len(pauses) < 8 and time.monotonic() < deadline:
        await sleep(0.01)
    monkeypatch.undo()
    assert pauses[:2] == sorted(pauses[:2])
    assert pauses[0] > PERIOD
    assert 2 * PERIOD < max(pauses) <= 5 * PERIOD


async def test_looker_that_fails(inventory):
    """A looker that fails neither stops the pictures nor keeps them from the others."""

    def fail(_):
        raise RuntimeError("a tab that is gone")

    pictures = []
    inventory.look(session(), fail)
    inventory.look(session(), pictures.append)
    await until(lambda: len(pictures) >= 3)


async def test_looker_that_fails_at_once_is_not_kept(inventory):
    """A looker that fails at its first picture leaves no poller behind that nobody can stop."""
    pictures = []
    stop = inventory.look(session(), pictures.append)
    await until(lambda: pictures)

    def fail(_):
        raise RuntimeError("a tab that is gone")

    with contextlib.suppress(RuntimeError):
        inventory.look(session(), fail)()
    stop()
    await until(lambda: not pollers(), 1)


async def test_surprise_does_not_stop_the_pictures(inventory, desk):
    """A mistake of ours in one question does not end the pictures for good."""
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble = RuntimeError("a mistake of ours")
    asked = desk.asked
    await until(lambda: desk.asked > asked)
    desk.trouble = None
    await asyncio.sleep(0)
    seen = len(pictures)
    await until(lambda: len(pictures) > seen + 1)


async def test_looker_that_leaves_while_told(inventory):
    """A looker may leave while it is told a picture."""
    others, stops = [], []

    def leave(_):
        stops[0]()

    stops.append(inventory.look(session(), leave))
    inventory.look(session(), others.append)
    await until(lambda: len(others) >= 2)


async def test_names_who_gave_no_answer(inventory, pve):
    """A picture names the addresses that gave no answer, as far as its own account may know of them, and why."""
    silent = Address(host="192.0.2.9")
    pve.down[silent] = Unreachable(outage=Outage.REFUSED)
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    assert pictures[0].unreached == pve.down
    assert pictures[0].error is None
    assert pve.asked_for == {"alice@pve"}
    pve.down = {}
    await until(lambda: not pictures[-1].unreached)


async def test_trouble_names_who_gave_no_answer(inventory, desk, pve):
    """In trouble, too, the picture names the addresses that gave no answer."""
    silent = Address(host="192.0.2.9")
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble, pve.down[silent] = Unreachable(), Unreachable()
    await until(lambda: pictures[-1].error)
    assert set(pictures[-1].unreached) == {silent}


async def test_members_are_looked_at_now_and_then(inventory, desk, monkeypatch):
    """Who the cluster's members are is asked with the first picture, and not with each one, but again in time."""
    monkeypatch.setattr(module, "MEMBERS_PERIOD", 4 * PERIOD)
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    assert desk.looks_at_members == 1
    await until(lambda: desk.looks_at_members == 3)
    assert desk.asked > 2 * desk.looks_at_members


@pytest.mark.parametrize(
    "trouble",
    [PrivilegeMissing("/", "Sys.Audit"), Unreachable(), BadAnswer(), RequestRefused(501)],
    ids=lambda one: type(one).__name__,
)
async def test_members_that_cannot_be_seen(inventory, desk, trouble):
    """Who may not see the cluster's members, or cannot just now, is shown a picture without any trouble."""
    desk.members_trouble = trouble
    pictures = []
    inventory.look(session(), pictures.append)
    await until(lambda: pictures)
    assert pictures[0].error is None
    assert pictures[0].resources.nodes


async def test_members_are_forgotten_with_the_last(inventory, pve):
    """When the last looker of an account leaves, its cluster's members are forgotten, and not before."""
    stop_one, stop_other = inventory.look(session(), [].append), inventory.look(session(), [].append)
    stop_one()
    assert pve.forgotten == []
    stop_other()
    assert pve.forgotten == ["alice@pve"]


async def test_members_are_forgotten_with_the_right_to_see_them(inventory, desk, pve, monkeypatch):
    """An account that may see the cluster's members no more forgets them, though not for any other trouble."""
    monkeypatch.setattr(module, "MEMBERS_PERIOD", 2 * PERIOD)
    inventory.look(session(), [].append)
    for trouble in (None, Unreachable(), BadAnswer(), RequestRefused(501)):
        desk.members_trouble, looks = trouble, desk.looks_at_members
        await until(lambda looks=looks: desk.looks_at_members > looks)
    assert pve.forgotten == []
    desk.members_trouble = PrivilegeMissing("/", "Sys.Audit")
    await until(lambda: pve.forgotten)
    assert set(pve.forgotten) == {"alice@pve"}


async def test_close_stops_everything(inventory, desk):
    """Closing stops every poller, and who stops looking afterwards breaks nothing."""
    stops = [inventory.look(session(f"user{number}@pve"), [].append) for number in range(5)]
    await until(lambda: desk.asked >= 5)
    await inventory.aclose()
    await until(lambda: not pollers())
    for stop in stops:
        stop()


async def test_with_proxmox(store, keys, sim):
    """With a Proxmox: an account sees its own guests, and goes on seeing them by its second session."""
    async with Proxmox([sim.address], Trust(fingerprints=(sim.fingerprint,))) as proxmox:
        sessions = Sessions(store, keys, proxmox, Limits())
        ticket = await proxmox.sign_in("kid@pve", SecretStr("demo"))
        one, other = [await sessions.create(ticket, address="", agent="") for _ in range(2)]
        looking, pictures = Inventory(sessions, proxmox), []
        looking.look(one, [].append)
        looking.look(other, pictures.append)
        await until(lambda: pictures)
        await sessions.end(one, EndReason.ENDED)
        seen = len(pictures)
        await until(lambda: len(pictures) > seen + 1)
        await looking.aclose()
    assert all(picture.error is None for picture in pictures)
    assert all(isinstance(guest, Guest) for guest in pictures[-1].resources.guests)
    assert len(pictures[-1].resources.guests) == 2
