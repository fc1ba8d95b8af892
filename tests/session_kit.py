"""What the tests of the sessions share: tickets, a stand-in for Proxmox, and a straight way to the store."""

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from services.errors import SessionEnded
from services.proxmox import ApiToken, Ticket
from services.sessions import Limits, Session, new_id
from services.sessions.index import Entry
from services.sessions.record import Record, hash_id

OLD, NEW = "the older secret of the tests long enough 01", "the newer secret of the tests long enough 02"
LIMITS = Limits(idle=600, longest=3600, renew_ticket=1800)
WHERE = {"address": "192.0.2.7", "agent": "Firefox"}
SECRETS = ("SECRETTICKET", "SECRETCSRF", "SECRETTOKEN")
TOKEN = ApiToken(tokenid="alice@pve!ci", secret=SecretStr("SECRETTOKEN"))


def ticket(userid="alice@pve", number=1, age=0.0):
    """A ticket as Proxmox gives it, so many seconds old."""
    return Ticket(
        userid=userid,
        ticket=SecretStr(f"PVE:{userid}:{number}::SECRETTICKET"),
        csrf_token=SecretStr(f"{number}:SECRETCSRF"),
        issued=time.time() - age,
    )


class Pve:
    """Stands in for Proxmox: renews when let, counts, and lends a client that only knows its credential."""

    def __init__(self):
        self.renewals = 0
        self.trouble = None
        self.troubles = {}  # by userid
        self.go = asyncio.Event()
        self.go.set()
        self.asked = asyncio.Event()

    async def renew(self, old):
        self.renewals += 1
        number = 100 + self.renewals
        self.asked.set()
        await self.go.wait()
        if trouble := self.troubles.get(old.userid, self.trouble):
            raise trouble
        return replace(ticket(old.userid, number), issued=time.time())

    def signed_in(self, credential):
        return credential


async def begun(sessions, *, ago=0.0, credential=None, idle=None):
    """A session that began so many seconds ago by the store's clock, with so many seconds until it falls idle.

    A ticket's `issued` is taken as it is.
    """
    id = new_id()
    now = await sessions._records.now(id)
    record = Record(created=now - ago, credential=credential or ticket())
    await sessions._records.write(id, record, idle or sessions.limits.idle)
    entry = Entry(principal=record.principal, started=record.created, **WHERE)
    await sessions._index.add(entry, hash_id(id))
    deadline = time.monotonic() + sessions.limits.longest - ago
    return Session(id=id, principal=record.principal, created=record.created, deadline=deadline)


@contextlib.contextmanager
def ended(reason=None):
    """Expect the session to be over, for this reason."""
    with pytest.raises(SessionEnded) as caught:
        yield
    if reason is not None:
        assert caught.value.reason is reason


async def raw(store, *command):
    """One command, straight to the store."""
    return await store.admin.execute_command(*command)


async def names(store, kind=""):
    """Every key of this test in the store."""
    return [name.decode() for name in await store.admin.keys(store.key(kind) + "*")]


async def count_trips(store, work):
    """How many times the store was asked."""
    trips, run = 0, store.run

    async def counting(operation, **how):
        nonlocal trips
        trips += 1
        return await run(operation, **how)

    store.run = counting
    try:
        await work()
    finally:
        del store.run
    return trips


def record_key(store, session):
    """Where the record of a session lies."""
    return store.key("session", f"{{{session.hash}}}")


def ended_key(store, session):
    """Where the reason of its end lies."""
    return store.key("ended", f"{{{session.hash}}}")


def lock_key(store, session):
    """Where the lock of its renewal lies."""
    return store.key("renewing", f"{{{session.hash}}}")


async def lend(sessions, session):
    """The ticket that the session lends now."""
    async with sessions.credentials(session) as proxmox:
        return proxmox


async def alive(sessions, made):
    """Those of the sessions that live, as the store knows it."""
    answers = await sessions.confirm(made)
    return [one for one in made if answers[one.hash].reason is None]


async def until(condition, seconds=5.0):
    """Wait for a condition to hold; how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come to hold in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - started
