"""The feed: one poller per account however many look, on a session that lives, for as long as somebody looks."""

import asyncio
import contextlib
import contextvars
import time
from collections import Counter
from dataclasses import replace

import pytest
from pydantic import SecretStr

from services.errors import (
    BadAnswer,
    EndReason,
    Outage,
    PrivilegeMissing,
    RequestRefused,
    SessionEnded,
    StoreUnavailable,
    TicketRejected,
    Unreachable,
)
from services.feed import Feed, checkup, pace, poller
from services.proxmox import Address, Cluster, Guest, Node, Permissions, Proxmox, Resources, Task, Trust
from services.sessions import Limits, Session, Sessions, new_id

PERIOD = 0.05
LANGUAGE = contextvars.ContextVar("LANGUAGE", default="")
TASK = Task(upid="UPID:pve1:1:2:3:vzdump:100:root@pam:", node="pve1", type="vzdump", user="root@pam", starttime=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Poll every twentieth of a second instead of every few."""
    for name in ("QUICK", "IDLE"):
        monkeypatch.setattr(pace, name, PERIOD)
    monkeypatch.setattr(pace, "SLOWEST", 5 * PERIOD)


def session(principal="alice@pve"):
    return Session(id=new_id(), principal=principal, created=time.time(), deadline=time.monotonic() + 3600)


class Desk:
    """Stands in for the sessions: lends a client to whoever is alive, and notes to whom."""

    def __init__(self):
        self.lent = []
        self.heard = []
        self.ended = set()
        self.trouble = None
        self.asked = 0
        self.under_way = self.most_under_way = 0
        self.delay = 0.0
        self.looks_at_members = 0
        self.members_trouble = None
        self.asked_for_tasks = 0
        self.tasks_delay = 0
        self.tasks_trouble = None
        self.running = ()

    @contextlib.asynccontextmanager
    async def credentials(self, session):
        if session.hash in self.ended:
            raise SessionEnded(EndReason.ENDED)
        self.lent.append(session)
        try:
            yield self
        except Exception as exc:
            self.heard.append(type(exc))
            raise

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

    async def tasks(self):
        self.asked_for_tasks += 1
        await asyncio.sleep(self.tasks_delay)
        if self.tasks_trouble:
            raise self.tasks_trouble
        return self.running

    async def permissions(self):
        return Permissions(paths={"/": {"Sys.Audit": True}})

    async def cluster(self):
        self.looks_at_members += 1
        if self.members_trouble:
            raise self.members_trouble
        return Cluster(quorate=True)

    async def node_tasks(self, node, wanted):
        return ()

    async def backup_jobs(self):
        return ()


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
async def feed(desk, pve):
    made = Feed(desk, pve)
    yield made
    await made.aclose()


async def until(condition, seconds=20.0):
    """Wait for a condition to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.005)


def pollers():
    """The tasks that poll."""
    return [task for task in asyncio.all_tasks() if "Poller._run at" in repr(task.get_coro())]


def at_work():
    """Whether anything goes on for anybody."""
    return any("Poller" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_first_picture(feed):
    """Whoever begins to look is told the first picture, with the time it was taken."""
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    assert pictures[0].resources.nodes
    assert pictures[0].error is None
    assert abs(time.time() - pictures[0].taken) < 5


async def test_goes_on(feed):
    """Pictures keep coming, each newer than the one before."""
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: len({picture.taken for picture in pictures}) >= 4)
    taken = [picture.taken for picture in pictures]
    assert taken == sorted(taken)


async def test_one_poller_however_many_look(feed, desk):
    """A hundred tabs of ten sessions of one account are one question at a time, and each tab gets every picture."""
    seen = [[] for _ in range(100)]
    sessions = [session() for _ in range(10)]
    for number, pictures in enumerate(seen):
        feed.look(sessions[number % 10], pictures.append)
    await until(lambda: all(len(pictures) >= 3 for pictures in seen))
    assert len(pollers()) == 1
    assert desk.most_under_way == 1
    assert desk.asked <= len(seen[0]) + 1


async def test_accounts_do_not_share(feed, desk):
    """Two accounts are two pollers, each with its own account's session: nobody sees with another's rights."""
    alice, bob, token = session("alice@pve"), session("bob@pve"), session("alice@pve!ci")
    for one in (alice, bob, token):
        feed.look(one, [].append)
    await until(lambda: {one.principal for one in desk.lent} == {"alice@pve", "bob@pve", "alice@pve!ci"})
    assert len(pollers()) == 3


async def test_late_looker_sees_the_present_picture(feed, desk):
    """Who comes later is shown the present picture at once."""
    first, second = [], []
    feed.look(session(), first.append)
    await until(lambda: first)
    feed.look(session(), second.append)
    assert second == [first[-1]]


async def test_nothing_is_shown_before_the_first_picture(feed):
    """Before there is a picture nobody is told an empty one."""
    pictures = []
    feed.look(session(), pictures.append)
    assert pictures == []


async def test_borrows_one_session(feed, desk):
    """While it lives, one session's credentials are borrowed and not each one's."""
    one, other, pictures = session(), session(), []
    feed.look(one, pictures.append)
    feed.look(other, [].append)
    await until(lambda: len(pictures) >= 3)
    assert {lent.hash for lent in desk.lent} == {one.hash}


async def test_moves_on_when_the_session_ends(feed, desk):
    """When the borrowed session ends the next one's credentials are used, and nobody is told of trouble."""
    one, other, pictures = session(), session(), []
    feed.look(one, [].append)
    feed.look(other, pictures.append)
    await until(lambda: pictures)
    desk.ended.add(one.hash)
    await until(lambda: desk.lent[-1] is other)
    seen = len(pictures)
    await until(lambda: len(pictures) > seen)
    assert all(picture.error is None for picture in pictures)


async def test_no_session_left(feed, desk):
    """With no live session left Proxmox is not asked, nothing new is shown, and a new session takes up again."""
    one, pictures, again = session(), [], []
    feed.look(one, pictures.append)
    await until(lambda: pictures)
    desk.ended.add(one.hash)
    await asyncio.sleep(2 * PERIOD)
    asked, seen = desk.asked, len(pictures)
    await asyncio.sleep(3 * PERIOD)
    assert (desk.asked, len(pictures)) == (asked, seen)
    feed.look(session(), again.append)
    await until(lambda: desk.asked > asked)


async def test_stops_with_the_last(feed, desk):
    """With the last looker gone the poller stops, and Proxmox is asked no more."""
    one, other = feed.look(session(), [].append), feed.look(session(), [].append)
    await until(lambda: desk.asked)
    one.stop()
    await asyncio.sleep(0)
    assert len(pollers()) == 1
    other.stop()
    await until(lambda: not at_work())
    asked = desk.asked
    await asyncio.sleep(3 * PERIOD)
    assert desk.asked == asked


async def test_stopping_mid_question(feed, desk):
    """The last looker's leaving ends a question under way."""
    desk.delay = 30
    look = feed.look(session(), [].append)
    await until(lambda: desk.under_way)
    look.stop()
    await until(lambda: not desk.under_way)


async def test_stopping_before_the_first_question(feed, desk):
    """Who leaves at once has asked nothing."""
    feed.look(session(), [].append).stop()
    await until(lambda: not at_work())
    assert not desk.asked


async def test_stopping_twice(feed, desk):
    """To stop twice is to stop once: whoever looks anew meanwhile goes on looking."""
    pictures = []
    look = feed.look(session(), [].append)
    look.stop()
    feed.look(session(), pictures.append)
    look.stop()
    await until(lambda: len(pictures) >= 2)


async def test_gone_looker_is_told_nothing(feed):
    """Who has stopped looking is told nothing more."""
    mine, others = [], []
    look = feed.look(session(), mine.append)
    feed.look(session(), others.append)
    await until(lambda: mine)
    look.stop()
    seen = len(others)
    told = len(mine)
    await until(lambda: len(others) > seen + 1)
    assert len(mine) == told


async def test_looking_again(feed):
    """After everybody has left, somebody new is shown a new picture and no old one."""
    first, second = [], []
    look = feed.look(session(), first.append)
    await until(lambda: first)
    look.stop()
    feed.look(session(), second.append)
    assert second == []
    await until(lambda: second)
    assert second[0].taken > first[-1].taken


@pytest.mark.parametrize("trouble", [Unreachable(), StoreUnavailable()], ids=lambda one: type(one).__name__)
async def test_trouble_keeps_the_last_picture(feed, desk, trouble):
    """In trouble the last picture stays, with its time and the error; afterwards a new one comes without."""
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble = trouble
    await until(lambda: pictures[-1].error is trouble)
    last = next(picture for picture in reversed(pictures) if picture.error is None)
    assert pictures[-1].resources == last.resources
    assert pictures[-1].taken == last.taken
    desk.trouble = None
    await until(lambda: pictures[-1].error is None)
    assert pictures[-1].taken > last.taken


async def test_trouble_from_the_start(feed, desk):
    """Trouble before the first picture is told, with no picture behind it."""
    pictures, late = [], []
    desk.trouble = Unreachable()
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    assert (pictures[0].taken, pictures[0].error) == (0, desk.trouble)
    feed.look(session(), late.append)
    assert late == [pictures[-1]]


async def test_first_is_asked_at_once(feed, monkeypatch):
    """Who comes first does not wait for a period to pass."""
    monkeypatch.setattr(pace, "IDLE", 60)
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)


@pytest.mark.parametrize(
    ("hidden", "busy", "failures", "seconds"),
    [
        (False, False, 0, 5),
        (False, True, 0, 3),
        (True, True, 0, 30),
        (True, False, 9, 30),
        (False, False, 1, 5),
        (False, True, 1, 4.5),
        (False, False, 2, 6.75),
        (False, False, 3, 8),
        (False, True, 99, 8),
        (False, False, 10_000, 8),
    ],
)
def test_pace(hidden, busy, failures, seconds, monkeypatch):
    """It is quick while a task runs, slow while all is hidden, and slower with every failure, but not without end."""
    monkeypatch.undo()
    assert pace.period(hidden=hidden, busy=busy, failures=failures) == seconds


async def test_pause_is_never_in_step(monkeypatch):
    """A pause takes up to a seventh less than told, as chance will have it."""
    chances = []
    monkeypatch.setattr(pace.random, "uniform", lambda *limits: chances.append(limits) or 0.001)
    begun = time.monotonic()
    await asyncio.wait_for(pace.Rest().wait(lambda: 60), 30)
    assert time.monotonic() - begun >= 0.06
    assert chances == [(0.85, 1)]


async def test_pause_that_became_shorter():
    """Who is stirred reckons anew: from the same beginning, and only to the new end."""
    seconds, rest = [60.0], pace.Rest()
    waiting = asyncio.create_task(rest.wait(lambda: seconds[0]))
    await asyncio.sleep(0.05)
    rest.stir()
    await asyncio.sleep(0.05)
    assert not waiting.done()
    seconds[0] = 0.05
    rest.stir()
    await asyncio.wait_for(waiting, 20)


async def test_hidden_tabs_slow_down(feed, desk, monkeypatch):
    """With all tabs hidden Proxmox is asked rarely; with one of them seen again at once, if it is time."""
    monkeypatch.setattr(pace, "HIDDEN", 60)
    one, other = feed.look(session(), [].append), feed.look(session(), [].append)
    one.hide(True)
    asked = desk.asked
    await until(lambda: desk.asked > asked + 2)
    other.hide(True)
    await asyncio.sleep(2 * PERIOD)
    asked = desk.asked
    await asyncio.sleep(4 * PERIOD)
    assert desk.asked == asked
    other.hide(False)
    await until(lambda: desk.asked > asked + 2)


async def test_hiding_back_and_forth_is_no_storm(feed, desk, monkeypatch):
    """A tab that is hidden and seen by turns makes no more questions than one that is seen."""
    monkeypatch.setattr(pace, "IDLE", 0.2)
    look = feed.look(session(), [].append)
    begun = time.monotonic()
    while time.monotonic() < begun + 1:
        look.hide(not look.hidden)
        await asyncio.sleep(0.002)
    assert desk.asked <= (time.monotonic() - begun) / (0.85 * 0.2) + 2


async def test_somebody_new_wakes_the_hidden(feed, desk, monkeypatch):
    """A new tab is not told to wait until the hidden ones would have asked."""
    monkeypatch.setattr(pace, "HIDDEN", 60)
    feed.look(session(), [].append).hide(True)
    await until(lambda: desk.asked)
    await asyncio.sleep(2 * PERIOD)
    asked = desk.asked
    feed.look(session(), [].append)
    await until(lambda: desk.asked > asked)


async def test_running_task_quickens(feed, desk, monkeypatch):
    """While a task of anyone runs pictures come more often, and it stands in them."""
    monkeypatch.setattr(pace, "IDLE", 60)
    desk.running = (TASK,)
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: len({picture.taken for picture in pictures}) >= 3)
    assert pictures[-1].tasks == (TASK,)
    desk.running = (replace(TASK, endtime=9, status="OK"),)
    await until(lambda: not pictures[-1].busy)
    asked = desk.asked
    await asyncio.sleep(4 * PERIOD)
    assert desk.asked == asked


@pytest.mark.parametrize("trouble", [PrivilegeMissing("/", "Sys.Audit"), Unreachable(status=595), BadAnswer()])
async def test_picture_without_tasks(feed, desk, trouble):
    """Where the tasks cannot be had a picture comes that says so, and has none of "none", and without any trouble."""
    desk.tasks_trouble, pictures = trouble, []
    feed.look(session(), pictures.append)
    await until(lambda: len({picture.taken for picture in pictures}) >= 2)
    assert all((picture.error, picture.tasks, picture.busy) == (None, None, False) for picture in pictures)
    assert pictures[-1].resources.nodes


@pytest.mark.parametrize("trouble", [Unreachable(status=595), BadAnswer(), None], ids=["away", "no answer", "slow"])
async def test_tasks_that_were_known_stay(feed, desk, monkeypatch, trouble):
    """When the tasks cannot be had just now those last known stay, and one that runs goes on to quicken."""
    monkeypatch.setattr(poller, "PATIENCE", PERIOD)
    desk.running, pictures = (TASK,), []
    feed.look(session(), pictures.append)
    await until(lambda: pictures and pictures[-1].tasks)
    desk.tasks_trouble, desk.tasks_delay = trouble, 0 if trouble else 60
    asked, seen = desk.asked_for_tasks, len(pictures)
    await until(lambda: desk.asked_for_tasks > asked + 3)
    assert all((picture.error, picture.tasks, picture.busy) == (None, (TASK,), True) for picture in pictures[seen:])


async def test_tasks_that_are_not_read_for_long_are_not_known(feed, desk, monkeypatch):
    """Tasks that could not be read anew for a while are not taken for the latest any more, until they are read."""
    monkeypatch.setattr(poller, "TASKS_KEPT", 10 * PERIOD)
    desk.running, desk.tasks_trouble, pictures = (TASK,), None, []
    feed.look(session(), pictures.append)
    await until(lambda: pictures and pictures[-1].tasks)
    desk.tasks_trouble = BadAnswer()
    await until(lambda: pictures[-1].tasks is None)
    assert (pictures[-1].error, pictures[-1].busy) == (None, False)
    desk.tasks_trouble = None
    await until(lambda: pictures[-1].tasks == (TASK,))


async def test_tasks_stay_through_trouble(feed, desk):
    """The first picture after trouble, for which tasks are not asked, shows those last known."""
    desk.running, pictures = (TASK,), []
    feed.look(session(), pictures.append)
    await until(lambda: pictures and pictures[-1].tasks)
    desk.trouble = Unreachable()
    await until(lambda: pictures[-1].error)
    seen, desk.trouble = len(pictures), None
    await until(lambda: pictures[-1].error is None)
    assert all(picture.tasks == (TASK,) for picture in pictures[seen:])


async def test_tasks_go_with_the_right_to_see_them(feed, desk):
    """Tasks that the account may see no more are not shown as they were."""
    desk.running, pictures = (TASK,), []
    feed.look(session(), pictures.append)
    await until(lambda: pictures and pictures[-1].tasks)
    desk.tasks_trouble = PrivilegeMissing("/", "Sys.Audit")
    await until(lambda: pictures[-1].tasks is None)


async def test_one_question_while_in_trouble(feed, desk):
    """While Proxmox does not answer it is asked for nothing but the resources; afterwards for tasks as well."""
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble = Unreachable()
    await until(lambda: pictures[-1].error)
    asked, tasks = desk.asked, desk.asked_for_tasks
    await until(lambda: desk.asked > asked + 2)
    assert desk.asked_for_tasks == tasks
    desk.trouble = None
    await until(lambda: desk.asked_for_tasks > tasks)


async def test_no_picture_waits_for_tasks(feed, desk, monkeypatch):
    """When the tasks take their time a picture comes without them."""
    monkeypatch.setattr(poller, "PATIENCE", 0.1)
    desk.tasks_delay, pictures = 30, []
    feed.look(session(), pictures.append)
    await until(lambda: len({picture.taken for picture in pictures}) >= 3)
    assert all((picture.error, picture.tasks) == (None, None) for picture in pictures)


async def test_ticket_renewed_on_the_way(feed, desk, monkeypatch):
    """A ticket that is refused because another has renewed it meanwhile is borrowed anew, and nobody is told."""
    pictures, resources, troubles = [], desk.resources, [TicketRejected()]

    async def refuse_once():
        if troubles:
            raise troubles.pop()
        return await resources()

    monkeypatch.setattr(desk, "resources", refuse_once)
    feed.look(session(), pictures.append)
    await until(lambda: len({picture.taken for picture in pictures}) >= 2)
    assert (troubles, [picture.error for picture in pictures]) == ([], [None] * len(pictures))


async def test_rejected_in_the_middle(feed, desk):
    """A ticket that is refused between two questions of one picture is told to whoever lent it."""
    desk.tasks_trouble = TicketRejected()
    feed.look(session(), [].append)
    await until(lambda: TicketRejected in desk.heard)


async def test_rejected_ends_the_other_question(feed, desk):
    """A ticket that is refused for the tasks ends the question for the resources."""
    desk.tasks_trouble, desk.delay = TicketRejected(), 60
    feed.look(session(), [].append)
    await until(lambda: TicketRejected in desk.heard)
    desk.tasks_delay = 60
    await until(lambda: desk.under_way <= 1)
    assert desk.most_under_way == 1


async def test_rejected_for_the_resources_ends_the_other_question(feed, desk, monkeypatch):
    """A ticket that is refused for the resources ends the question for the tasks."""
    monkeypatch.setattr(poller, "PATIENCE", 60)
    ended, begun = [], asyncio.Event()

    async def tasks():
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def resources():
        await begun.wait()
        raise TicketRejected

    monkeypatch.setattr(desk, "tasks", tasks)
    monkeypatch.setattr(desk, "resources", resources)
    feed.look(session(), [].append)
    await until(lambda: ended)


async def test_told_in_its_own_context(feed):
    """A listener is told in the context in which it began to look, whoever's context the poller began in."""
    heard = []
    LANGUAGE.set("en")
    feed.look(session(), lambda _: heard.append(LANGUAGE.get()))
    LANGUAGE.set("de")
    feed.look(session(), lambda _: heard.append(LANGUAGE.get()))
    LANGUAGE.set("fr")
    await until(lambda: {"en", "de"} <= set(heard))
    assert "fr" not in heard


async def test_looker_that_fails(feed):
    """A looker that fails neither stops the pictures nor keeps them from the others."""

    def fail(_):
        raise RuntimeError("a tab that is gone")

    pictures = []
    feed.look(session(), fail)
    feed.look(session(), pictures.append)
    await until(lambda: len(pictures) >= 3)


async def test_looker_that_fails_at_once_is_not_kept(feed):
    """A looker that fails at its first picture leaves no poller behind that nobody can stop."""
    pictures = []
    look = feed.look(session(), pictures.append)
    await until(lambda: pictures)

    def fail(_):
        raise RuntimeError("a tab that is gone")

    with contextlib.suppress(RuntimeError):
        feed.look(session(), fail).stop()
    look.stop()
    await until(lambda: not at_work())


async def test_surprise_does_not_stop_the_pictures(feed, desk):
    """A mistake of ours in one question does not end the pictures for good."""
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble = RuntimeError("a mistake of ours")
    asked = desk.asked
    await until(lambda: desk.asked > asked)
    desk.trouble = None
    await asyncio.sleep(0)
    seen = len(pictures)
    await until(lambda: len(pictures) > seen + 1)


async def test_surprise_in_the_pause_does_not_stop_the_pictures(feed, monkeypatch):
    """A mistake of ours in reckoning the pause ends neither the pictures nor the health, and makes no storm."""
    pauses, pictures, well = [], [], [pace.period, checkup.Checkup.period]

    def fail(**_):
        pauses.append(time.monotonic())
        raise OverflowError

    monkeypatch.setattr(pace, "HIDDEN", PERIOD)
    monkeypatch.setattr(poller.pace, "period", fail)
    monkeypatch.setattr(checkup.Checkup, "period", fail)
    feed.look(session(), pictures.append)
    await until(lambda: len(pauses) >= 6)
    assert pauses[-1] - pauses[0] >= 2 * PERIOD
    monkeypatch.setattr(poller.pace, "period", well[0])
    monkeypatch.setattr(checkup.Checkup, "period", staticmethod(well[1]))
    seen = len({picture.taken for picture in pictures})
    await until(lambda: len({picture.taken for picture in pictures}) > seen + 1)
    assert len([task for task in asyncio.all_tasks() if "Poller._run" in repr(task.get_coro())]) == 2


async def test_looker_that_leaves_while_told(feed):
    """A looker may leave while it is told a picture."""
    others, looks = [], []

    def leave(_):
        looks[0].stop()

    looks.append(feed.look(session(), leave))
    feed.look(session(), others.append)
    await until(lambda: len(others) >= 2)


async def test_names_who_gave_no_answer(feed, pve):
    """A picture names the addresses that gave no answer, as far as its own account may know of them, and why."""
    silent = Address(host="192.0.2.9")
    pve.down[silent] = Unreachable(outage=Outage.REFUSED)
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    assert pictures[0].unreached == pve.down
    assert pictures[0].error is None
    assert pve.asked_for == {"alice@pve"}
    pve.down = {}
    await until(lambda: not pictures[-1].unreached)


async def test_trouble_names_who_gave_no_answer(feed, desk, pve):
    """In trouble, too, the picture names the addresses that gave no answer."""
    silent = Address(host="192.0.2.9")
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    desk.trouble, pve.down[silent] = Unreachable(), Unreachable()
    await until(lambda: pictures[-1].error)
    assert set(pictures[-1].unreached) == {silent}


async def test_members_are_looked_at_now_and_then(feed, desk, monkeypatch):
    """Who the cluster's members are is asked with the first picture, and not with each one, but again in time."""
    monkeypatch.setattr(checkup, "PERIOD", 60)
    pictures = []
    look = feed.look(session(), pictures.append)
    await until(lambda: desk.looks_at_members and desk.asked > 5)
    assert desk.looks_at_members == 1
    monkeypatch.setattr(checkup, "PERIOD", PERIOD)
    look.hide(False)
    await until(lambda: desk.looks_at_members >= 3)


@pytest.mark.parametrize(
    "trouble",
    [PrivilegeMissing("/", "Sys.Audit"), Unreachable(), BadAnswer(), RequestRefused(501)],
    ids=lambda one: type(one).__name__,
)
async def test_members_that_cannot_be_seen(feed, desk, trouble):
    """Who may not see the cluster's members, or cannot just now, is shown a picture without any trouble."""
    desk.members_trouble = trouble
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: pictures)
    assert pictures[0].error is None
    assert pictures[0].resources.nodes


async def test_members_are_forgotten_with_the_last(feed, pve):
    """When the last looker of an account leaves, its cluster's members are forgotten, and not before."""
    one, other = feed.look(session(), [].append), feed.look(session(), [].append)
    one.stop()
    assert pve.forgotten == []
    other.stop()
    assert pve.forgotten == ["alice@pve"]


async def test_members_are_forgotten_with_the_right_to_see_them(feed, desk, pve, monkeypatch):
    """An account that may see the cluster's members no more forgets them, though not for any other trouble."""
    monkeypatch.setattr(checkup, "PERIOD", 2 * PERIOD)
    feed.look(session(), [].append)
    for trouble in (None, Unreachable(), BadAnswer(), RequestRefused(501)):
        desk.members_trouble, looks = trouble, desk.looks_at_members
        await until(lambda looks=looks: desk.looks_at_members > looks)
    assert pve.forgotten == []
    desk.members_trouble = PrivilegeMissing("/", "Sys.Audit")
    await until(lambda: pve.forgotten)
    assert set(pve.forgotten) == {"alice@pve"}


async def test_stopping_twice_forgets_nothing_of_the_next(feed, pve):
    """Who stops twice does not take away what whoever looks anew has learned meanwhile."""
    look = feed.look(session(), [].append)
    look.stop()
    feed.look(session(), [].append)
    forgotten = len(pve.forgotten)
    look.stop()
    assert len(pve.forgotten) == forgotten


async def test_health_that_stays_the_same_is_not_told_again(feed, monkeypatch):
    """The same health is told once, with each new picture, and not with each look at it."""
    monkeypatch.setattr(checkup, "PERIOD", PERIOD / 5)
    monkeypatch.setattr(pace, "IDLE", 6 * PERIOD)
    pictures = []
    feed.look(session(), pictures.append)
    await until(lambda: len({picture.taken for picture in pictures}) >= 3)
    assert max(Counter(picture.taken for picture in pictures[:-1]).values()) <= 3
    assert pictures[-1].health.quorate is True


async def test_close_stops_everything(feed, desk):
    """Closing stops every poller, and who stops looking afterwards breaks nothing."""
    looks = [feed.look(session(f"user{number}@pve"), [].append) for number in range(5)]
    await until(lambda: desk.asked >= 5)
    await feed.aclose()
    await until(lambda: not at_work())
    for look in looks:
        look.stop()


async def test_with_proxmox(store, keys, sim):
    """With a Proxmox: an account sees its own guests, and goes on seeing them by its second session."""
    async with Proxmox([sim.address], Trust(fingerprints=(sim.fingerprint,))) as proxmox:
        sessions = Sessions(store, keys, proxmox, Limits())
        ticket = await proxmox.sign_in("kid@pve", SecretStr("demo"))
        one, other = [await sessions.create(ticket, address="", agent="") for _ in range(2)]
        looking, pictures = Feed(sessions, proxmox), []
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
