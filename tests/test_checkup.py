"""The checkup: quorum, failed tasks and backups, each only where the account may know it, none lost to one failure."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.errors import BadAnswer, PrivilegeMissing, RequestRefused, TicketRejected, Unreachable
from services.feed import Health, checkup
from services.feed.checkup import Checkup
from services.feed.picture import Unprotected
from services.proxmox import (
    BackupJob,
    Cluster,
    Guest,
    Member,
    Node,
    Permissions,
    Resources,
    Storage,
    Task,
    Volume,
    failed_since,
)

DAY = 24 * 3600
NOW = int(time.time())
EVERYTHING = {"/": dict.fromkeys(["Sys.Audit", "Datastore.Allocate", "Datastore.Audit", "VM.Backup"], True)}
TROUBLES = [Unreachable(status=595), Unreachable(), BadAnswer(), RequestRefused(501)]


def node(name="pve1", status="online"):
    return Node(node=name, status=status)


def guest(vmid=100, node="pve1"):
    return Guest(vmid=vmid, type="lxc", node=node, status="running")


def task(number=1, status="job errors", node="pve1"):
    return Task(upid=f"UPID:{number}", node=node, type="vzdump", user="u", starttime=NOW, endtime=number, status=status)


def storage(name="nas", node="pve1", status="available", shared=True):
    return Storage(storage=name, node=node, status=status, shared=shared)


@dataclass
class Pve:
    """Stands in for a signed-in client. What is in `trouble` fails; `asked` is every question, and about what."""

    paths: dict[str, dict[str, bool]] = field(default_factory=lambda: dict(EVERYTHING))
    failed: dict[str, tuple[Task, ...]] = field(default_factory=dict)
    jobs: tuple[BackupJob, ...] = ()
    gaps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    held: dict[tuple[str, str], tuple[Volume, ...]] = field(default_factory=dict)
    trouble: dict[Any, Exception] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    forgotten: int = 0
    known_cluster: Cluster = field(default_factory=lambda: Cluster(name="x", quorate=False))

    def note(self, *question):
        self.asked.append(question)
        for one in (question, question[0]):
            if one in self.trouble:
                raise self.trouble[one]

    async def permissions(self):
        self.note("permissions")
        return Permissions(paths=self.paths)

    async def cluster(self):
        self.note("cluster")
        return self.known_cluster

    async def node_tasks(self, node, wanted):
        self.note("tasks", node)
        assert wanted == replace(failed_since(0, limit=checkup.MOST_FAILED), since=wanted.since)
        assert NOW - DAY <= wanted.since <= time.time() - DAY
        return self.failed.get(node, ())

    async def backup_jobs(self):
        self.note("jobs")
        return self.jobs

    async def runs(self, schedule, iterations):
        self.note("runs", schedule)
        assert iterations == 100
        return self.gaps.get(schedule, (0, DAY, 2 * DAY))

    async def volumes(self, node, storage, content):
        self.note("volumes", node, storage)
        assert content == "backup"
        return self.held.get((node, storage), ())

    def forget(self):
        self.forgotten += 1

    async def ask(self, question):
        """As a lender."""
        return await question(self)

    def questions(self, name):
        return [rest[0] if len(rest) == 1 else rest for kind, *rest in self.asked if kind == name]


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def exam(pve):
    return Checkup(pve, forget_members=pve.forget)


async def test_nothing_is_known_before(exam):
    """Before anything was asked nothing is known, and no number is zero."""
    assert Health() == Health(quorate=None, failed=None, unprotected=None)


# ----------------------------------------------------------------------------------------------------------- quorum


async def test_quorum(exam, pve):
    """Who may know is told whether the cluster has its quorum."""
    assert (await exam.look(Resources())).quorate is False
    assert pve.forgotten == 0


@pytest.mark.parametrize(
    ("told", "alone"),
    [
        (Cluster(members=(Member(node="pve1"),)), True),
        (Cluster(name="x", quorate=True, members=(Member(node="pve1"),)), False),
        (Cluster(name="x", members=(Member(node="pve1"),)), False),
        (Cluster(), False),
    ],
    ids=["alone", "a cluster of one", "a cluster without a word of quorum", "nothing told"],
)
async def test_a_node_that_stands_alone(exam, pve, told, alone):
    """A node that stands alone is told from a quorum that is not known, for as long as it cannot be asked as well."""
    pve.known_cluster = told
    found = await exam.look(Resources())
    assert (found.quorate, found.alone) == (told.quorate, alone)
    pve.trouble["cluster"] = Unreachable()
    assert (await exam.look(Resources())).alone is alone
    pve.paths = {}
    assert (await exam.look(Resources())).alone is False


async def test_quorum_is_not_everybodys(exam, pve):
    """Without Sys.Audit on the whole quorum is not asked for, and the members are forgotten."""
    pve.paths = {"/nodes": {"Sys.Audit": True}}
    assert (await exam.look(Resources())).quorate is None
    assert (pve.questions("cluster"), pve.forgotten) == ([], 1)


async def test_quorum_refused_in_the_middle(exam, pve):
    """A refusal against what the rights say leaves the quorum out, and the rest stays."""
    pve.failed = {"pve1": (task(),)}
    pve.trouble["cluster"] = PrivilegeMissing("/", "Sys.Audit")
    found = await exam.look(Resources(nodes=(node(),)))
    assert (found.quorate, found.failed, pve.forgotten) == (None, (task(),), 1)


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
async def test_quorum_that_cannot_be_asked_just_now(exam, pve, trouble):
    """When it cannot be asked just now the quorum stays as it was told, and nobody is forgotten."""
    await exam.look(Resources())
    pve.trouble["cluster"] = trouble
    assert ((await exam.look(Resources())).quorate, pve.forgotten) == (False, 0)


async def test_rights_that_cannot_be_asked(exam, pve):
    """When the rights cannot be asked the last known ones count, and none before there were any."""
    pve.trouble["permissions"] = Unreachable()
    assert await exam.look(Resources(nodes=(node(),))) == Health()
    del pve.trouble["permissions"]
    await exam.look(Resources())
    pve.trouble["permissions"] = Unreachable()
    assert (await exam.look(Resources())).quorate is False


async def test_rights_that_were_taken(exam, pve):
    """With the right gone what it let one see is gone."""
    pve.failed = {"pve1": (task(),)}
    resources = Resources(nodes=(node(),))
    assert (await exam.look(resources)).failed
    pve.paths = {}
    assert await exam.look(resources) == Health()


@pytest.mark.parametrize("question", ["permissions", "cluster", "tasks"])
async def test_a_rejected_ticket_is_told(exam, pve, question):
    """A ticket that Proxmox no longer takes is told to whoever lent it, in whatever question it shows."""
    pve.trouble[question] = TicketRejected()
    with pytest.raises(TicketRejected):
        await exam.look(Resources(nodes=(node(), node("pve2"))))


async def test_a_rejected_ticket_ends_the_other_questions(exam, pve, monkeypatch):
    """A ticket that is refused at one node ends the questions to the others."""
    hanging = checkup.asyncio.Event()
    ended = []

    async def ask(name, wanted):
        if name == "pve1":
            await hanging.wait()
            raise TicketRejected
        hanging.set()
        try:
            await checkup.asyncio.sleep(60)
        finally:
            ended.append(name)

    monkeypatch.setattr(pve, "node_tasks", ask)
    with pytest.raises(TicketRejected):
        await exam.look(Resources(nodes=(node(), node("pve2"))))
    await checkup.asyncio.sleep(0)
    assert ended == ["pve2"]


# ----------------------------------------------------------------------------------------------------- failed tasks


async def test_failed_tasks(exam, pve):
    """The failed tasks of all nodes are told, latest first; those with warnings are not among them."""
    pve.failed = {"pve1": (task(3), task(1), task(4, "WARNINGS: 1")), "pve2": (task(2, node="pve2"),)}
    found = (await exam.look(Resources(nodes=(node(), node("pve2"))))).failed
    assert [one.upid for one in found] == ["UPID:3", "UPID:2", "UPID:1"]


async def test_none_failed(exam):
    """When none failed that is known: no task, and not nothing."""
    assert (await exam.look(Resources(nodes=(node(),)))).failed == ()


async def test_a_node_that_is_down_leaves_its_tasks_out(exam, pve):
    """A node that is down is not asked for its tasks, nor is one that the account may not audit."""
    pve.paths = {"/nodes/pve1": {"Sys.Audit": True}, "/nodes/pve2": {"Sys.Audit": True}, "/nodes/pve3": {}}
    pve.failed = {name: (task(),) for name in ("pve1", "pve2", "pve3")}
    found = (await exam.look(Resources(nodes=(node(), node("pve2", "offline"), node("pve3"))))).failed
    assert (found, pve.questions("tasks")) == ((task(),), ["pve1"])


async def test_nobody_may_know_the_tasks(exam, pve):
    """With the right to audit no node, failed tasks are not this account's to know."""
    pve.paths = {"/vms": {"VM.Audit": True}}
    assert (await exam.look(Resources(nodes=(node(),)))).failed is None


@pytest.mark.parametrize("trouble", [*TROUBLES, PrivilegeMissing("/nodes/pve2", "Sys.Audit")], ids=repr)
async def test_a_node_that_fails_leaves_its_tasks_out(exam, pve, trouble):
    """A node that has never answered for its tasks leaves them out, keeps no other's, and what is told is not all."""
    pve.failed = {"pve1": (task(),), "pve2": (task(2),)}
    pve.trouble["tasks", "pve2"] = trouble
    found = await exam.look(Resources(nodes=(node(), node("pve2"))))
    assert (found.failed, found.failed_whole, found.quorate) == ((task(),), False, False)


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
async def test_a_node_that_fails_keeps_the_tasks_it_told(exam, pve, trouble):
    """A node that does not answer keeps the failed tasks that it told last, though no longer than a day."""
    resources = Resources(nodes=(node(), node("pve2")))
    old = replace(task(3, node="pve2"), starttime=NOW - DAY - 60)
    pve.failed = {"pve2": (task(2, node="pve2"), old)}
    await exam.look(resources)
    pve.trouble["tasks", "pve2"] = trouble
    found = await exam.look(resources)
    assert (found.failed, found.failed_whole) == ((task(2, node="pve2"),), True)


async def test_none_failed_as_far_as_is_known(exam, pve):
    """While a node that is there has never told, that no other's failed is not told as none."""
    pve.trouble["tasks", "pve2"] = Unreachable()
    resources = Resources(nodes=(node(), node("pve2")))
    found = await exam.look(resources)
    assert (found.failed, found.failed_whole) == (None, False)
    pve.trouble.clear()
    found = await exam.look(resources)
    assert (found.failed, found.failed_whole) == ((), True)


async def test_a_node_that_comes_back_has_to_tell_anew(exam, pve):
    """What a node told before it went down is not taken for what it would tell now."""
    await exam.look(Resources(nodes=(node(), node("pve2"))))
    assert (await exam.look(Resources(nodes=(node(), node("pve2", "offline"))))).failed_whole
    pve.trouble["tasks", "pve2"] = Unreachable()
    assert not (await exam.look(Resources(nodes=(node(), node("pve2"))))).failed_whole


async def test_no_node_that_answers(exam, pve):
    """When no node answers for its tasks what was known stays: nothing is taken for zero."""
    resources = Resources(nodes=(node(),))
    pve.trouble["tasks"] = Unreachable()
    assert (await exam.look(resources)).failed is None
    pve.failed = {"pve1": (task(),)}
    del pve.trouble["tasks"]
    await exam.look(resources)
    pve.trouble["tasks"] = Unreachable()
    assert (await exam.look(resources)).failed == (task(),)


async def test_not_all_nodes_at_once(exam, pve, monkeypatch):
    """Of a hundred nodes only a few are asked at the same time."""
    under_way, most = 0, 0

    async def slow(name, wanted):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await checkup.asyncio.sleep(0.001)
        under_way -= 1
        return ()

    monkeypatch.setattr(pve, "node_tasks", slow)
    await exam.look(Resources(nodes=tuple(node(f"pve{number}") for number in range(100))))
    assert most == checkup.AT_ONCE


# ----------------------------------------------------------------------------------------------------------- backups

DAILY = BackupJob(id="daily", schedule="21:00", all=True, storage="nas")
HOME = Resources(nodes=(node(), node("pve2")), guests=(guest(),), storages=(storage(), storage(node="pve2")))


def backup(vmid=100, age=0.0, content="backup"):
    return Volume(volid=f"nas:{vmid}", content=content, vmid=vmid, ctime=int(time.time() - age))


async def examined(exam, resources=HOME):
    """What is known of backups after a first look at everything."""
    await exam.look(resources)
    return (await exam.look_at_backups(resources)).unprotected


async def test_backups(exam, pve):
    """The latest backup of a guest on its job's storage counts, and only backups do."""
    pve.jobs = (DAILY,)
    there = (backup(age=9 * DAY), backup(age=DAY), backup(age=5 * DAY), backup(101, content="images"))
    pve.held = dict.fromkeys([("pve1", "nas"), ("pve2", "nas")], there)
    guests = (guest(), guest(101))
    found = await examined(exam, Resources(nodes=HOME.nodes, guests=guests, storages=HOME.storages))
    assert found == (Unprotected(vmid=101, interval=DAY),)


async def test_guests_of_whom_nobody_can_tell(exam, pve):
    """Where one guest's backups are in time and another's cannot be told, the health says that it is not all."""
    pve.jobs = (DAILY, BackupJob(id="x", schedule="21:00", vmid=("101",), storage="away"))
    pve.held = dict.fromkeys([("pve1", "nas"), ("pve2", "nas")], (backup(),))
    more = Resources(nodes=HOME.nodes, guests=(guest(), guest(101)), storages=HOME.storages)
    await exam.look(more)
    for found in (await exam.look_at_backups(more), await exam.look(more)):
        assert (found.unprotected, found.unprotected_whole) == ((), False)
    assert (await exam.look(HOME)).unprotected_whole


async def test_a_shared_storage_is_read_once(exam, pve):
    """A storage that nodes share is read at one that is there, one of single nodes at each that is there."""
    pve.jobs = (DAILY, BackupJob(id="x", schedule="21:00", all=True))
    storages = (
        storage(node="pve3"), storage(), storage(node="pve2"),
        *(storage("local", name, shared=False) for name in ("pve1", "pve2", "pve3")), storage("unused"),
    )  # fmt: skip
    nodes = (node(), node("pve2"), node("pve3", "offline"))
    await examined(exam, Resources(nodes=nodes, guests=(guest(),), storages=storages))
    asked = sorted(pve.questions("volumes"))
    assert asked in ([[a, s] for a, s in places] for places in (
        (("pve1", "local"), ("pve1", "nas"), ("pve2", "local")),
        (("pve1", "local"), ("pve2", "local"), ("pve2", "nas")),
    ))  # fmt: skip


async def test_what_is_not_ones_own_is_not_asked(exam, pve):
    """Without Sys.Audit on the whole no job is asked for, and without a right to the storage no backup."""
    pve.jobs = (DAILY,)
    pve.paths = {"/": {"Sys.Audit": False}}
    assert await examined(exam) is None
    assert (pve.questions("jobs"), pve.questions("volumes")) == ([[]], [])
    pve.paths = {"/nodes": {"Sys.Audit": True}, "/storage/nas": {"Datastore.Allocate": True, "Datastore.Audit": True}}
    assert await examined(exam) is None
    assert pve.questions("jobs") == [[]]


@pytest.mark.parametrize("trouble", [*TROUBLES, PrivilegeMissing("/storage/nas", "")], ids=repr)
async def test_a_storage_that_cannot_be_read(exam, pve, trouble):
    """Of guests whose storage cannot be read nothing is said; of those in no job it is where others can be told."""
    pve.jobs = (DAILY,)
    pve.trouble["volumes"] = trouble
    assert await examined(exam) is None


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
async def test_jobs_that_cannot_be_read_just_now(exam, pve, trouble):
    """When the jobs cannot be read just now what was known of them stays."""
    pve.jobs = (DAILY,)
    assert await examined(exam) == (Unprotected(vmid=100, interval=DAY),)
    pve.trouble["jobs"] = trouble
    assert await examined(exam) == (Unprotected(vmid=100, interval=DAY),)


async def test_backups_go_with_the_right_to_see_the_jobs(exam, pve):
    """With Sys.Audit on the whole gone nothing more is said of backups, though they are not due to be looked at."""
    pve.jobs = (DAILY,)
    assert await examined(exam)
    pve.paths = {"/storage": EVERYTHING["/"]}
    assert (await exam.look(HOME)).unprotected is None


async def test_a_job_that_is_switched_off_is_none(exam, pve):
    """A job that is switched off protects nobody."""
    pve.jobs = (BackupJob(id="x", schedule="21:00", all=True, storage="nas", enabled=False),)
    pve.held = {("pve1", "nas"): (backup(),), ("pve2", "nas"): (backup(),)}
    assert await examined(exam) == (Unprotected(vmid=100),)


@pytest.mark.parametrize(
    ("runs", "late"), [((0, DAY, 2 * DAY, 5 * DAY, 6 * DAY), False), ((0, DAY), True), ((7,), None), ((), None)]
)
async def test_the_longest_gap_is_the_interval(exam, pve, runs, late):
    """A job's interval is the longest time between two of its runs, such as a weekend; with one run there is none."""
    pve.jobs, pve.gaps = (DAILY,), {"21:00": runs}
    pve.held = dict.fromkeys([("pve1", "nas"), ("pve2", "nas")], (backup(age=4 * DAY),))
    found = await examined(exam)
    assert found is None if late is None else bool(found) is late


async def test_a_schedule_is_asked_once(exam, pve):
    """A schedule's interval is asked once, however many jobs have it and however often one looks."""
    pve.jobs = (DAILY, BackupJob(id="y", schedule="21:00", all=True), BackupJob(id="z", all=True))
    await examined(exam)
    await examined(exam)
    assert pve.questions("runs") == ["21:00"]


async def test_a_schedule_that_could_not_be_asked_is_asked_again(exam, pve):
    """A schedule that Proxmox could not tell of is asked again at the next look."""
    pve.jobs = (DAILY,)
    pve.trouble["runs"] = Unreachable()
    assert await examined(exam) is None
    del pve.trouble["runs"]
    assert await examined(exam) == (Unprotected(vmid=100, interval=DAY),)


async def test_a_new_guest_is_seen_between(exam, pve):
    """A guest that comes between two looks at the backups is judged by what is known, without asking anew."""
    pve.jobs = (DAILY,)
    pve.held = dict.fromkeys([("pve1", "nas"), ("pve2", "nas")], (backup(),))
    assert await examined(exam) == ()
    asked = len(pve.questions("volumes"))
    more = Resources(nodes=HOME.nodes, guests=(guest(), guest(101)), storages=HOME.storages)
    assert (await exam.look(more)).unprotected == (Unprotected(vmid=101, interval=DAY),)
    assert len(pve.questions("volumes")) == asked


async def test_backups_are_looked_at_now_and_then(exam, monkeypatch):
    """Backups are due at first, and then every few minutes."""
    assert exam.backups_due
    await exam.look_at_backups(HOME)
    assert not exam.backups_due
    now = time.monotonic()
    monkeypatch.setattr(checkup.time, "monotonic", lambda: now + checkup.BACKUPS_PERIOD)
    assert exam.backups_due


def test_periods():
    """Quorum and tasks are looked at every half minute, and while all is hidden every five minutes."""
    assert (Checkup.period(hidden=False), Checkup.period(hidden=True)) == (30, 300)


def test_failed_tasks_are_asked_for_without_warnings():
    """Failed tasks are asked for as such, so that no warning uses up the limit, and since a whole second."""
    query = failed_since(10 * DAY + 0.9, limit=7, vmid=104).query()
    assert query == f"since={9 * DAY}&limit=7&vmid=104&statusfilter=error&source=archive"
