"""The watch: alive means confirmed less than a second ago; silence is neither life nor death; an end has its reason."""

import asyncio
import contextlib
import logging
import math
import time

import pytest
import time_machine
from pydantic import SecretStr

from services.errors import EndReason, SessionEnded, StoreUnavailable
from services.proxmox import ApiToken
from services.sessions import Life, Limits, Session, Sessions, new_id
from services.sessions.watch import FRESH, Watch
from tests.session_kit import ended, ended_key, raw, record_key

TOKEN = ApiToken(tokenid="alice@pve!ci", secret=SecretStr("SECRETTOKEN"))
WHERE = {"address": "192.0.2.7", "agent": "Firefox"}


class Book:
    """Stands in for the sessions: answers from a book, late or not at all when told so, and notes who is buried."""

    def __init__(self):
        self.lives = {}
        self.buried = []
        self.trouble = None
        self.trouble_at_burial = None
        self.delay = 0.0
        self.asked = 0

    async def confirm(self, sessions):
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.trouble:
            raise self.trouble
        return {one.hash: self.lives.get(one.hash, Life(left=600)) for one in sessions}

    async def end(self, session, reason):
        self.buried.append((session, reason))
        if self.trouble_at_burial:
            raise self.trouble_at_burial


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def watch(book):
    return Watch(book)


def session(longest=3600.0):
    """A session that was read just now."""
    deadline = time.monotonic() + longest
    return Session(id=new_id(), principal="alice@pve", created=time.time(), deadline=deadline)


def over(reason, *, buried=True):
    """What the store tells of a session that has ended."""
    return Life(reason=reason, buried=buried)


@contextlib.asynccontextmanager
async def running(watch):
    """The watch at work in the background."""
    task = asyncio.create_task(watch.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition, seconds=2.0):
    """Wait for a condition to hold; how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come to hold in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - started


async def test_watched_session_is_alive(watch):
    """A session read just now is alive from the first moment."""
    one = session()
    with watch.watching(one):
        assert watch.alive(one.hash)


async def test_unwatched_session_is_not_alive(watch):
    """A session that nobody watches, or watches any more, is not alive."""
    one = session()
    assert not watch.alive(one.hash)
    with watch.watching(one):
        pass
    assert not watch.alive(one.hash)


async def test_stays_alive(watch, book):
    """A session that is confirmed again and again stays alive throughout."""
    one = session()
    async with running(watch):
        with watch.watching(one):
            until_then = time.monotonic() + 1.5 * FRESH
            while time.monotonic() < until_then:
                assert watch.alive(one.hash)
                await asyncio.sleep(0.02)
    assert 2 <= book.asked <= 6


@pytest.mark.parametrize("silence", ["down", "slow"])
async def test_silent_store(watch, book, silence):
    """With the store down or slow a session is not alive within a second, and has not ended either."""
    one, ends = session(), []
    watch.on_end(lambda *end: ends.append(end))
    book.trouble, book.delay = (StoreUnavailable(), 0) if silence == "down" else (None, 30)
    async with running(watch):
        with watch.watching(one):
            assert await until(lambda: not watch.alive(one.hash)) <= FRESH + 0.1
            waiting = asyncio.create_task(watch.ended(one.hash))
            asking = asyncio.create_task(watch.confirmed(one.hash))
            done, _ = await asyncio.wait([waiting, asking], timeout=1)
            assert not done
            assert not ends
            book.trouble, book.delay = None, 0
            await asyncio.wait_for(asking, 2)
            assert watch.alive(one.hash)
            assert not waiting.done()
            waiting.cancel()


async def test_late_answer_counts_from_the_question(watch, book):
    """A confirmation is as old as its question, not as its answer."""
    one = session()
    with watch.watching(one):
        await until(lambda: not watch.alive(one.hash))
        book.delay = 0.3
        asked = time.monotonic()
        await watch.check()
        assert watch.alive(one.hash)
        assert await until(lambda: not watch.alive(one.hash)) + 0.3 <= FRESH + 0.1
        assert time.monotonic() - asked <= FRESH + 0.1


@pytest.mark.parametrize("reason", list(EndReason))
async def test_ended_session(watch, book, reason):
    """A session that has ended is not alive, and whoever waits or asks is told the reason."""
    one = session()
    with watch.watching(one):
        waiting = asyncio.create_task(watch.ended(one.hash))
        await asyncio.sleep(0)
        book.lives[one.hash] = over(reason)
        await watch.check()
        assert not watch.alive(one.hash)
        assert await asyncio.wait_for(waiting, 1) is reason
        with pytest.raises(SessionEnded) as caught:
            await watch.confirmed(one.hash)
        assert caught.value.reason is reason


async def test_end_is_told_once(watch, book):
    """Each listener is told of an end once, with the hash and the reason."""
    one, ends, others = session(), [], []
    watch.on_end(lambda *end: ends.append(end))
    watch.on_end(lambda *end: others.append(end))
    with watch.watching(one), watch.watching(one):
        book.lives[one.hash] = over(EndReason.ENDED)
        await watch.check()
        await watch.check()
    assert ends == others == [(one.hash, EndReason.ENDED)]


async def test_end_is_known_soon(watch, book):
    """An end is known within a second."""
    one = session()
    async with running(watch):
        with watch.watching(one):
            await watch.check()
            book.lives[one.hash] = over(EndReason.SIGNED_OUT)
            assert await until(lambda: not watch.alive(one.hash)) < 1.0


async def test_dead_stay_dead(watch, book):
    """A session found ended does not come back to life, whatever the store says later."""
    one = session()
    with watch.watching(one):
        book.lives[one.hash] = over(EndReason.ENDED)
        await watch.check()
        del book.lives[one.hash]
        await watch.check()
        with watch.watching(one):
            assert not watch.alive(one.hash)


async def test_longest_age_without_the_store(watch, book):
    """A session at its longest age is not alive from that moment on, and ends for its age with the next answer."""
    one = session(longest=0.3)
    with watch.watching(one):
        await watch.check()
        assert watch.alive(one.hash)
        await until(lambda: not watch.alive(one.hash))
        assert time.monotonic() >= one.deadline
        await watch.check()
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.AGE


async def test_age_is_noted_in_the_store(watch, book):
    """A session whose record still lies there at its longest age is ended in the store too, once."""
    one = session(longest=0)
    with watch.watching(one):
        await watch.check()
        await watch.check()
        await asyncio.sleep(0)
    assert book.buried == [(one, EndReason.AGE)]


@pytest.mark.parametrize("reason", [EndReason.IDLE, EndReason.ENDED])
async def test_unnoted_end_at_the_longest_age(watch, book, reason):
    """At its longest age a session ends for that, though record and list have run out at the same moment."""
    one = session(longest=0)
    book.lives[one.hash] = over(reason, buried=False)
    with watch.watching(one):
        await watch.check()
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.AGE


@pytest.mark.parametrize(("longest", "reason"), [(0.7, EndReason.AGE), (5, EndReason.ENDED)])
async def test_list_that_runs_out_a_little_early(watch, book, longest, reason):
    """A session whose list runs out just before its longest age, as far as we know that, ends for its age."""
    one = session(longest=longest)
    book.lives[one.hash] = over(EndReason.ENDED, buried=False)
    with watch.watching(one):
        await watch.check()
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is reason


@pytest.mark.parametrize("reason", [EndReason.ENDED, EndReason.SIGNED_OUT, EndReason.REJECTED])
async def test_noted_reason_beats_the_age(watch, book, reason):
    """A session that was ended keeps that reason, though its longest age comes before the watch hears of it."""
    one = session(longest=0)
    book.lives[one.hash] = over(reason)
    with watch.watching(one):
        await watch.check()
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is reason


@pytest.mark.parametrize("hours", [-2, 2])
async def test_our_clock_moves_no_deadline(watch, hours):
    """Whoever sets our clock brings no session nearer to its longest age, or further from it."""
    one, aged = session(longest=60), session(longest=0)
    with watch.watching(one), watch.watching(aged), time_machine.travel(time.time() + hours * 3600):
        await watch.check()
        assert watch.alive(one.hash)
        assert 50 < watch.left(one.hash).age <= 60
        assert not watch.alive(aged.hash)
        assert await asyncio.wait_for(watch.ended(aged.hash), 1) is EndReason.AGE


# ------------------------------------------------------------------------------------------------- what is left


async def test_silence_is_told(watch, book):
    """Who waits for silence hears of it once the store has been silent for too long, or the session is over."""
    one, other = session(), session()
    with watch.watching(one), watch.watching(other):
        silent = asyncio.create_task(watch.silent(one.hash))
        await watch.check()
        book.trouble = StoreUnavailable("test")
        await watch.check()
        await asyncio.sleep(0)
        assert not silent.done()  # it was confirmed just now
        await until(lambda: not watch.alive(one.hash))
        await watch.check()
        await asyncio.wait_for(silent, 1)
        book.trouble = None
        await watch.check()
        silent = asyncio.create_task(watch.silent(one.hash))
        await asyncio.sleep(0)
        assert not silent.done()
        watch.heard(one.hash, EndReason.ENDED)
        await asyncio.wait_for(silent, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watch.silent(other.hash), 0.05)


async def test_nobody_is_woken_by_mere_life(watch):
    """A confirmation wakes nobody who waits for a session's end, or for silence."""
    one = session()
    with watch.watching(one):
        waiting = [asyncio.ensure_future(wait(one.hash)) for wait in (watch.ended, watch.silent)]
        await asyncio.sleep(0)
        before = [task.get_coro().cr_await for task in waiting]
        for _ in range(3):
            await watch.check()
            await asyncio.sleep(0)
        assert [task.get_coro().cr_await for task in waiting] == before
        for task in waiting:
            task.cancel()


async def test_left(watch, book):
    """What a session has left until it falls idle is what the store said, and shrinks until it says more."""
    one = session(longest=3600)
    book.lives[one.hash] = Life(left=100)
    with watch.watching(one):
        await watch.check()
        first = watch.left(one.hash)
        assert 95 < first.idle <= 100
        assert 3590 < first.age <= 3600
        await asyncio.sleep(0.05)
        later = watch.left(one.hash)
        assert later.idle <= first.idle - 0.05
        assert later.age <= first.age - 0.05
        book.lives[one.hash] = Life(left=600)
        await watch.check()
        assert 595 < watch.left(one.hash).idle <= 600


async def test_left_before_the_first_answer(watch):
    """Before the store was asked nobody is told that the idle end is near."""
    one = session(longest=3600)
    with watch.watching(one):
        assert watch.left(one.hash).idle == math.inf
        assert 3590 < watch.left(one.hash).age <= 3600


async def test_nothing_left(watch, book):
    """Nothing is told of what is left of a session that is not watched, not confirmed, or over."""
    one = session()
    assert watch.left(one.hash) is None
    with watch.watching(one):
        await until(lambda: not watch.alive(one.hash))
        assert watch.left(one.hash) is None
        await watch.check()
        assert watch.left(one.hash)
        book.lives[one.hash] = over(EndReason.ENDED)
        await watch.check()
        assert watch.left(one.hash) is None


# ----------------------------------------------------------------------------------- ends that nobody has noted


@pytest.mark.parametrize("asked_before", [True, False])
async def test_vanished_long_before_its_idle_end(watch, book, asked_before):
    """A record that is gone long before its idle end was taken away: ended, and noted as that, once."""
    one, ends = session(), []
    watch.on_end(lambda *end: ends.append(end))
    with watch.watching(one):
        if asked_before:
            await watch.check()
        book.lives[one.hash] = over(EndReason.IDLE, buried=False)
        await watch.check()
        await watch.check()
        await asyncio.sleep(0)
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.ENDED
    assert ends == [(one.hash, EndReason.ENDED)]
    assert book.buried == [(one, EndReason.ENDED)]


async def test_ran_out(watch, book):
    """A record that is gone when its idle end had come ran out: idle, and noted as that, once."""
    one = session()
    with watch.watching(one):
        book.lives[one.hash] = Life(left=0.2)
        await watch.check()
        book.lives[one.hash] = over(EndReason.IDLE, buried=False)
        await watch.check()
        await watch.check()
        await asyncio.sleep(0)
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.IDLE
    assert book.buried == [(one, EndReason.IDLE)]


async def test_noted_idleness_is_believed(watch, book):
    """An end for idleness that is noted in the store is that, however much was left when it was last confirmed."""
    one = session()
    with watch.watching(one):
        await watch.check()
        book.lives[one.hash] = over(EndReason.IDLE, buried=True)
        await watch.check()
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.IDLE
    assert book.buried == []


@pytest.mark.parametrize("reason", list(EndReason))
async def test_noted_end_is_not_noted_again(watch, book, reason):
    """An end that the store knows of is not noted by every replica that hears of it."""
    one = session()
    book.lives[one.hash] = over(reason, buried=True)
    with watch.watching(one):
        await watch.check()
        await asyncio.sleep(0)
    assert book.buried == []


async def test_burial_that_fails(watch, book):
    """That an end cannot be noted just now changes nothing about it, and leaves no stray error."""
    one = session()
    book.trouble_at_burial = StoreUnavailable()
    book.lives[one.hash] = over(EndReason.ENDED, buried=False)
    with watch.watching(one):
        await watch.check()
        await asyncio.sleep(0)
        assert book.buried
        assert not watch.alive(one.hash)
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.ENDED


# ------------------------------------------------------------------------------------------------- hearing of ends


async def test_heard_of_an_end(watch, book):
    """An end that another replica tells of counts at once, and its listeners are told once."""
    one, ends = session(), []
    watch.on_end(lambda *end: ends.append(end))
    with watch.watching(one):
        waiting = asyncio.create_task(watch.ended(one.hash))
        await asyncio.sleep(0)
        watch.heard(one.hash, EndReason.SIGNED_OUT)
        assert not watch.alive(one.hash)
        watch.heard(one.hash, EndReason.ENDED)
        assert await asyncio.wait_for(waiting, 1) is EndReason.SIGNED_OUT
        await watch.check()
        assert not watch.alive(one.hash)
    assert ends == [(one.hash, EndReason.SIGNED_OUT)]
    assert (book.asked, book.buried) == (1, [])


async def test_heard_of_a_stranger(watch):
    """An end of a session that is not watched here ends no other and is told to nobody."""
    one, ends = session(), []
    watch.on_end(lambda *end: ends.append(end))
    with watch.watching(one):
        watch.heard(session().hash, EndReason.ENDED)
        watch.heard("nonsense", EndReason.ENDED)
        assert watch.alive(one.hash)
    assert ends == []


async def test_watched_sessions(watch, book):
    """The watched sessions are those with a tab that have not ended, each once, confirmed of late or not."""
    one, other, third = session(), session(), session()
    with watch.watching(one), watch.watching(one), watch.watching(other):
        with watch.watching(third):
            assert set(watch.sessions()) == {one, other, third}
        assert len(watch.sessions()) == 2
        await until(lambda: not watch.alive(one.hash))
        assert set(watch.sessions()) == {one, other}
        book.lives[other.hash] = over(EndReason.ENDED)
        await watch.check()
        assert watch.sessions() == (one,)
    assert watch.sessions() == ()


async def test_one_of_many_ends(watch, book):
    """The end of one session leaves the others alive."""
    one, other = session(), session()
    with watch.watching(one), watch.watching(other):
        book.lives[one.hash] = over(EndReason.ENDED)
        await watch.check()
        assert not watch.alive(one.hash)
        assert watch.alive(other.hash)


async def test_one_question_for_all(watch, book):
    """Hundreds of sessions, each watched by several tabs, are one question."""
    with contextlib.ExitStack() as stack:
        for one in [session() for _ in range(300)]:
            for _ in range(3):
                stack.enter_context(watch.watching(one))
        await watch.check()
    assert book.asked == 1


async def test_second_tab_keeps_watching(watch):
    """While one tab of several is open its session stays watched; with the last one nothing is kept of it."""
    one = session()
    with watch.watching(one):
        with watch.watching(one):
            pass
        assert watch.alive(one.hash)
    kept = [value for value in vars(watch).values() if isinstance(value, dict)]
    assert kept
    assert not any(kept)


async def test_waiting_ends_with_the_watching(watch, book):
    """Who waits for a session that nobody watches any more is let go at once, the store silent or not."""
    one = session()
    book.trouble = StoreUnavailable()
    async with running(watch):
        with watch.watching(one):
            waiting = asyncio.create_task(watch.ended(one.hash))
            await asyncio.sleep(0.02)
        done, _ = await asyncio.wait([waiting], timeout=2)
        waiting.cancel()
        assert done


async def test_listener_that_fails(watch, book):
    """A listener that fails neither stops the watch nor keeps the others from being told."""
    one, other, third, ends = session(), session(), session(), []

    def fail(*_):
        raise RuntimeError("a tab that is gone")

    watch.on_end(fail)
    watch.on_end(lambda hash, _: ends.append(hash))
    async with running(watch) as task:
        with watch.watching(one), watch.watching(other), watch.watching(third):
            book.lives = {one.hash: over(EndReason.ENDED), other.hash: over(EndReason.ENDED)}
            await until(lambda: len(ends) == 2)
            assert not task.done()
            asked = book.asked
            await until(lambda: book.asked > asked + 1)
            assert watch.alive(third.hash)


@pytest.mark.parametrize("trouble", [RuntimeError("a mistake"), AttributeError("of ours"), TimeoutError()], ids=repr)
async def test_surprise_does_not_stop_the_watch(watch, book, trouble):
    """Whatever goes wrong in one question, the next one is asked."""
    one = session()
    book.trouble = trouble
    async with running(watch):
        with watch.watching(one):
            await until(lambda: book.asked >= 1)
            book.trouble = None
            asked = book.asked
            await until(lambda: book.asked > asked)
            await until(lambda: watch.alive(one.hash))


async def test_cancelling_ends_the_watch(watch):
    """A cancelled watch stops."""
    async with running(watch) as task:
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_with_the_store(store, keys):
    """With a real store: alive, then ended by another replica, for the reason given there."""
    limits = Limits(idle=600, longest=3600)
    here, there = Sessions(store, keys, None, limits), Sessions(store, keys, None, limits)
    made = await here.create(TOKEN, **WHERE)
    watch = Watch(here)
    async with running(watch):
        with watch.watching(made):
            await watch.check()
            assert watch.alive(made.hash)
            (listed,) = await there.list(made.principal)
            await there.end(listed, EndReason.ENDED)
            assert await asyncio.wait_for(watch.ended(made.hash), 2) is EndReason.ENDED


@pytest.mark.parametrize("how", ["record deleted", "taken off the list"])
async def test_taken_away_in_the_store(store, keys, how):
    """With a real store: a record deleted by hand, or off its owner's list, ends as ended, for good and on the list."""
    sessions = Sessions(store, keys, None, Limits(idle=600, longest=3600))
    made = await sessions.create(TOKEN, **WHERE)
    copy = await raw(store, "GET", record_key(store, made))
    watch = Watch(sessions)
    async with running(watch):
        with watch.watching(made):
            await watch.check()
            if how == "record deleted":
                await raw(store, "DEL", record_key(store, made))
            else:
                await raw(store, "HDEL", sessions._index.key(made.principal), made.hash)
            assert await asyncio.wait_for(watch.ended(made.hash), 2) is EndReason.ENDED
    await until_noted(store, made, EndReason.ENDED)
    await raw(store, "SET", record_key(store, made), copy)
    with ended(EndReason.ENDED):
        await Sessions(store, keys, None, Limits()).read(made.id)
    assert await sessions.list(made.principal) == ()


async def until_noted(store, session, reason):
    """Wait until the store knows why the session ended."""
    deadline = time.monotonic() + 5
    while (await raw(store, "GET", ended_key(store, session)) or b"").split()[:1] != [reason.value.encode()]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_two_replicas_note_an_end_once(store, keys, caplog):
    """However many replicas watch a session that runs out, its end is one event of the audit, with the reason."""
    limits = Limits(idle=1, longest=3600)
    replicas = [Sessions(store, keys, None, limits) for _ in range(3)]
    made = await replicas[0].create(TOKEN, **WHERE)
    watches = [Watch(sessions) for sessions in replicas]
    with caplog.at_level(logging.INFO), contextlib.ExitStack() as stack:
        async with contextlib.AsyncExitStack() as tasks:
            for watch in watches:
                await tasks.enter_async_context(running(watch))
                stack.enter_context(watch.watching(made))
            for watch in watches:
                assert await asyncio.wait_for(watch.ended(made.hash), 4) is EndReason.IDLE
        for watch in watches:
            await asyncio.gather(*watch._burying)
    ends = [record.getMessage() for record in caplog.records if "event=end" in record.getMessage()]
    assert len(ends) == 1
    assert "outcome=idle" in ends[0]
    assert made.fingerprint in ends[0]


async def test_idle_and_age_with_the_store(store, keys):
    """With a real store: a session that runs out ends for idleness, one at its longest age for its age."""
    for limits, reason in (
        (Limits(idle=1, longest=3600), EndReason.IDLE),
        (Limits(idle=3600, longest=1), EndReason.AGE),
    ):
        sessions = Sessions(store, keys, None, limits)
        watch = Watch(sessions)
        made = await sessions.create(TOKEN, **WHERE)
        async with running(watch):
            with watch.watching(made):
                assert await asyncio.wait_for(watch.ended(made.hash), 4) is reason
        await until_noted(store, made, reason)
