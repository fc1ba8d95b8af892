"""The ages of sessions and tickets go by the store's clock: setting ours neither prolongs nor ends anything."""

import asyncio
import time
from dataclasses import replace

import pytest
import time_machine

from services.errors import EndReason
from services.proxmox.clock import TICKET_SECONDS
from services.sessions import Limits, Sessions
from services.sessions.watch import Watch
from tests.session_kit import LIMITS, TOKEN, WHERE, Pve, alive, begun, ended, lend, raw, record_key, ticket

HOURS = pytest.mark.parametrize("hours", [-2, 2])


def ours_off_by(hours):
    """Our clock so many hours ahead of the store's, and running."""
    return time_machine.travel(time.time() + hours * 3600, tick=True)


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, LIMITS)


@HOURS
async def test_young_session_lives(sessions, hours):
    """A young session lives, with the same birth and deadline, however our clock is set."""
    made = await sessions.create(TOKEN, **WHERE)
    with ours_off_by(hours):
        read = await sessions.read(made.id)
        assert read == made
        assert read.deadline == pytest.approx(made.deadline, abs=1)
        assert await lend(sessions, made) == TOKEN
        assert await alive(sessions, [made]) == [made]


@HOURS
async def test_old_session_ends(sessions, hours):
    """A session at its longest age ends for it, however our clock is set."""
    made = await begun(sessions, ago=LIMITS.longest, credential=TOKEN)
    with ours_off_by(hours), ended(EndReason.AGE):
        await sessions.read(made.id)


@HOURS
async def test_created_while_our_clock_is_off(sessions, hours):
    """A session that begins while our clock is off, and its ticket, are as old as the store says once it is right."""
    with ours_off_by(hours):
        made = await sessions.create(ticket(age=100), **WHERE)
    now = await sessions._records.now(made.id)
    assert made.created == pytest.approx(now, abs=5)
    assert made.deadline - time.monotonic() == pytest.approx(LIMITS.longest, abs=5)
    lent = await lend(sessions, made)
    assert now - lent.issued == pytest.approx(100, abs=5)


@HOURS
async def test_which_ticket_is_due(sessions, pve, hours):
    """A young ticket is not renewed and an old one is, however our clock is set."""
    young = await sessions.create(ticket(age=LIMITS.renew_ticket - 60), **WHERE)
    old = await sessions.create(ticket(age=LIMITS.renew_ticket), **WHERE)
    with ours_off_by(hours):
        await lend(sessions, young)
        assert pve.renewals == 0
        await lend(sessions, old)
        assert pve.renewals == 1
        await lend(sessions, old)
    await lend(sessions, old)
    assert pve.renewals == 1


@HOURS
async def test_renewed_while_our_clock_is_off(sessions, hours):
    """A ticket that was renewed while our clock was off is as young as the store says."""
    made = await sessions.create(ticket(age=LIMITS.renew_ticket), **WHERE)
    with ours_off_by(hours):
        await lend(sessions, made)
    found = await sessions.keep_fresh(made)
    assert found.now - found.record.credential.issued == pytest.approx(0, abs=5)


@HOURS
async def test_which_ticket_is_too_old(store, keys, pve, hours):
    """A ticket is too old after its two hours by the store's clock, and not before, however ours is set."""
    sessions = Sessions(store, keys, pve, Limits(idle=10_000, longest=43_200, renew_ticket=9000))
    good = await begun(sessions, ago=8000, credential=ticket(age=TICKET_SECONDS - 60))
    bad = await begun(sessions, ago=8000, credential=ticket(age=TICKET_SECONDS + 1))
    with ours_off_by(hours):
        assert await sessions.read(good.id) == good
        with ended():
            await sessions.read(bad.id)


@HOURS
async def test_idle_limit(sessions, store, hours):
    """The idle limit is the store's own: set by a touch in full and told in full, however our clock is set."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    with ours_off_by(hours):
        assert (await sessions.confirm([made]))[made.hash].left <= 100
        await sessions.read(made.id)
        assert 590 < (await sessions.confirm([made]))[made.hash].left <= 600
    assert 590 < await raw(store, "TTL", record_key(store, made)) <= 600


@HOURS
async def test_watched_session(store, keys, hours):
    """A watched session lives on when our clock is set, and one that runs out ends for idleness all the same."""
    sessions = Sessions(store, keys, None, replace(LIMITS, idle=2))
    long_lived = Sessions(store, keys, None, LIMITS)
    short, long = await sessions.create(TOKEN, **WHERE), await long_lived.create(TOKEN, **WHERE)
    watch = Watch(long_lived)
    task = asyncio.create_task(watch.run())
    try:
        with watch.watching(short), watch.watching(long), ours_off_by(hours):
            assert await asyncio.wait_for(watch.ended(short.hash), 10) is EndReason.IDLE
            await watch.check()
            assert watch.alive(long.hash)
            assert 3500 < watch.left(long.hash).age <= 3600
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)


@HOURS
async def test_most_sessions(sessions, monkeypatch, hours):
    """The session that makes room is the one idle for longest, however our clock is set."""
    monkeypatch.setattr("services.sessions.sessions.MOST_SESSIONS", 3)
    made = [await begun(sessions, ago=3000 - number, idle=400 + (number - 1) ** 2) for number in range(3)]
    with ours_off_by(hours):
        newest = await sessions.create(ticket(), **WHERE)
    assert await alive(sessions, [*made, newest]) == [made[0], made[2], newest]


@HOURS
async def test_list(sessions, hours):
    """The list shows whatever lives, with the start and the last use that it has by the store's clock."""
    made = await begun(sessions, ago=LIMITS.longest - 60, idle=500)
    real = time.time()
    with ours_off_by(hours):
        (listed,) = await sessions.list("alice@pve")
        assert [one.hash for one in await sessions.list_all()] == [made.hash]
    assert listed.started == made.created
    assert listed.last_used == pytest.approx(real - 100, abs=5)
