"""Guests without a recent backup: reckoned from jobs, intervals, what storages hold, and what one may know."""

import pytest

from services.feed.picture import Unprotected
from services.feed.protection import EVERYWHERE, Knowledge, find
from services.proxmox import BackupJob, Guest, Permissions

DAY = 24 * 3600
NOW = 100 * DAY
ROOT = Permissions(paths={"/": {"Datastore.Allocate": True}})
DAILY = BackupJob(id="daily", schedule="21:00", all=True, storage="nas")


def unprotected(*known):
    return find(*known).unprotected


def guest(vmid=100, node="pve1", **more):
    return Guest(vmid=vmid, type="lxc", node=node, status="running", **more)


def known(latest=None, *jobs, node=EVERYWHERE, storage="nas"):
    """Daily and weekly jobs, and a storage with these backups; None for one that could not be read."""
    listed = {} if latest is None else {(storage, node): latest}
    return Knowledge(jobs=jobs or (DAILY,), intervals={"21:00": DAY, "sat": 7 * DAY}, latest=listed)


@pytest.mark.parametrize(("age", "late"), [(0, False), (2 * DAY, False), (2 * DAY + 1, True), (-5, False)])
def test_late(age, late):
    """A backup counts for twice its job's interval, and no second longer."""
    found = unprotected([guest()], known({100: NOW - age}), ROOT, NOW)
    assert found == ((Unprotected(vmid=100, latest=NOW - age, interval=DAY),) if late else ())


def test_never():
    """A guest in a job whose storage holds no backup of it has none."""
    assert unprotected([guest()], known({}), ROOT, NOW) == (Unprotected(vmid=100, interval=DAY),)


def test_no_job():
    """A guest in no job is without a backup, whatever lies about; a template is not."""
    job = BackupJob(id="x", schedule="21:00", vmid=("100",), storage="nas")
    guests = [guest(102, template=True), guest(101), guest(100)]
    assert unprotected(guests, known({100: NOW, 101: NOW}, job), ROOT, NOW) == (Unprotected(vmid=101),)


def test_no_jobs_at_all():
    """Without any job every guest is without a backup: for that no storage has to be read."""
    assert unprotected([guest()], Knowledge(), Permissions(), NOW) == (Unprotected(vmid=100),)


def test_template():
    """A template is never told, not even where its job is late."""
    assert unprotected([guest(template=True)], known({}), ROOT, NOW) == ()


def test_one_good_job_is_enough():
    """Of several jobs one that is in time is enough; when none is the one with the latest backup is told."""
    weekly = BackupJob(id="weekly", schedule="sat", all=True, storage="off")
    both = Knowledge(
        jobs=(DAILY, weekly),
        intervals={"21:00": DAY, "sat": 7 * DAY},
        latest={("nas", EVERYWHERE): {100: NOW - 3 * DAY}, ("off", EVERYWHERE): {100: NOW - 3 * DAY}},
    )
    assert unprotected([guest()], both, ROOT, NOW) == ()
    assert unprotected([guest()], both, ROOT, NOW + 12 * DAY) == (
        Unprotected(vmid=100, latest=NOW - 3 * DAY, interval=DAY),
    )


def test_one_unknown_job_keeps_the_verdict_open():
    """Where one job is late and of another nobody can tell, nothing is said; where one is in time the other may be."""
    other = BackupJob(id="x", schedule="21:00", all=True, storage="away")
    assert unprotected([guest(), guest(101)], known({101: NOW}, DAILY, other), ROOT, NOW) == ()


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ({"/storage/nas": {"Datastore.Allocate": True}}, True),
        ({"/storage/nas": {"Datastore.AllocateSpace": True}, "/vms": {"VM.Backup": True}}, True),
        ({"/storage/nas": {"Datastore.AllocateSpace": True}, "/vms/100": {"VM.Backup": False}}, True),
        ({"/storage/nas": {"Datastore.AllocateSpace": True}, "/vms/101": {"VM.Backup": True}}, False),
        ({"/storage/nas": {"Datastore.Audit": True}, "/vms": {"VM.Backup": True}}, False),
        ({"/storage/off": {"Datastore.Allocate": True}, "/vms": {"VM.Backup": True}}, False),
        ({"/": {"Sys.Audit": True, "VM.Audit": True, "Datastore.Audit": True}}, False),
        ({}, False),
    ],
)
def test_what_may_not_be_known_is_not_told(paths, told):
    """Whose backups Proxmox does not show is never told to have none: then nothing is known."""
    found = unprotected([guest()], known({}), Permissions(paths=paths), NOW)
    assert found == ((Unprotected(vmid=100, interval=DAY),) if told else None)


def test_no_half_truth_by_those_in_no_job():
    """Where no guest's backups may be known the number of those in no job is not told in their place."""
    job = BackupJob(id="x", schedule="21:00", vmid=("100",), storage="nas")
    assert unprotected([guest(), guest(101)], known({}, job), Permissions(), NOW) is None


def test_some_may_be_known():
    """Of those guests whose backups may be known it is told."""
    paths = {"/storage/nas": {"Datastore.AllocateSpace": True}, "/vms/101": {"VM.Backup": True}}
    found = unprotected([guest(), guest(101), guest(102)], known({}), Permissions(paths=paths), NOW)
    assert found == (Unprotected(vmid=101, interval=DAY),)


@pytest.mark.parametrize(
    "knowledge",
    [
        known(None),
        known({}, BackupJob(id="x", schedule="2020-01-01", all=True, storage="nas")),
        known({}, BackupJob(id="x", schedule="21:00", all=True, dumpdir="/mnt/x")),
        known({}, node="pve2"),
        known({}, storage="other"),
    ],
    ids=["storage away", "never again", "a directory", "another node", "another storage"],
)
def test_what_cannot_be_known_is_not_told(knowledge):
    """A storage that was not read, a schedule that never comes, a directory of no storage: nothing is known."""
    assert unprotected([guest()], knowledge, ROOT, NOW) is None


def test_backups_of_a_guest_that_moved():
    """On storages of single nodes a guest's backups count wherever they lie, once its own node's were read."""
    job = BackupJob(id="x", schedule="21:00", all=True)
    listed = {("local", "pve1"): {100: NOW - DAY, 101: NOW - 8 * DAY}, ("local", "pve2"): {101: NOW - 9 * DAY}}
    knowledge = Knowledge(jobs=(job,), intervals={"21:00": DAY}, latest=listed)
    guests = [guest(100, "pve2"), guest(101, "pve1"), guest(102, "pve3")]
    assert unprotected(guests, knowledge, ROOT, NOW) == (Unprotected(vmid=101, latest=NOW - 8 * DAY, interval=DAY),)


@pytest.mark.parametrize(
    ("own", "job", "told"),
    [
        ({}, {}, False),
        ({"pool": "web"}, {}, True),
        ({}, {"node": "pve2"}, True),
        ({}, {"node": "pve1"}, False),
    ],
)
def test_a_pool_that_one_may_not_see(own, job, told):
    """Where a job is for a pool that the account may not see, nothing is said of guests that may be in it."""
    pooled = BackupJob(id="x", schedule="21:00", pool="db", storage="nas", **job)
    audited = Permissions(paths={"/": ROOT.paths["/"], "/pool": {"Pool.Audit": True}})
    guests = [guest(**own), guest(101, "pve3", pool="web")]
    late = Unprotected(vmid=100), Unprotected(vmid=101)
    assert unprotected(guests, known({}, pooled), audited, NOW) == late
    found = unprotected(guests, known({}, pooled, DAILY), ROOT, NOW)
    assert found == (*((Unprotected(vmid=100, interval=DAY),) if told else ()), Unprotected(vmid=101, interval=DAY))


@pytest.mark.parametrize(
    ("guests", "paths", "whole"),
    [
        ((100, 101), {"/storage/nas": {"Datastore.Allocate": True}}, True),
        ((100, 101), {"/storage/nas": {"Datastore.AllocateSpace": True}, "/vms/100": {"VM.Backup": True}}, False),
        ((101,), {"/storage/nas": {"Datastore.AllocateSpace": True}, "/vms/100": {"VM.Backup": True}}, False),
        ((), {}, True),
    ],
)
def test_those_of_whom_nobody_can_tell_do_not_vanish(guests, paths, whole):
    """Where of one guest it cannot be told, what is told of the others is not the whole."""
    latest = {100: NOW, 101: NOW}
    assert find([guest(one) for one in guests], known(latest), Permissions(paths=paths), NOW).whole is whole


def test_in_the_order_of_vmids():
    """They are told by vmid."""
    found = unprotected([guest(vmid) for vmid in (300, 100, 200)], known({}), ROOT, NOW)
    assert [one.vmid for one in found or ()] == [100, 200, 300]
