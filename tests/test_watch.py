"""The watch: alive means confirmed less than a second ago; silence is neither life nor death; an end has its reason."""

import asyncio
import contextlib
import time

import pytest
import time_machine
from pydantic import SecretStr

from services.errors import EndReason, SessionEnded, StoreUnavailable
from services.proxmox import ApiToken
from services.sessions import Limits, Session, Sessions, new_id
from services.sessions.watch import FRESH, Watch

TOKEN = ApiToken(tokenid="alice@pve!ci", secret=SecretStr("SECRETTOKEN"))
WHERE = {"address": "192.0.2.7", "agent": "Firefox"}


class Book:
    """Stands in for the sessions: answers from a book, late or not at all when told so."""

    def __init__(self):
        self.reasons = {}
        self.trouble = None
        self.delay = 0.0
        self.asked = 0

    async def confirm(self, hashes):
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.trouble:
            raise self.trouble
        return {hash: self.reasons.get(hash) for hash in hashes}


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def watch(book):
    return Watch(book)


def session(longest=3600.0):
    """A session that was read just now."""
    now = time.time()
    return Session(id=new_id(), principal="alice@pve", created=now, ends=now + longest)


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
        book.reasons[one.hash] = reason
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
        book.reasons[one.hash] = EndReason.ENDED
        await watch.check()
        await watch.check()
    assert ends == others == [(one.hash, EndReason.ENDED)]


async def test_end_is_known_soon(watch, book):
    """An end is known within a second."""
    one = session()
    async with running(watch):
        with watch.watching(one):
            await watch.check()
            book.reasons[one.hash] = EndReason.SIGNED_OUT
            assert await until(lambda: not watch.alive(one.hash)) < 1.0


async def test_dead_stay_dead(watch, book):
    """A session found ended does not come back to life, whatever the store says later."""
    one = session()
    with watch.watching(one):
        book.reasons[one.hash] = EndReason.ENDED
        await watch.check()
        del book.reasons[one.hash]
        await watch.check()
        with watch.watching(one):
            assert not watch.alive(one.hash)


async def test_longest_age_without_the_store(watch, book):
    """A session at its longest age is not alive from that moment on, and ends for its age with the next answer."""
    one = session(longest=10)
    with watch.watching(one), time_machine.travel(one.ends, tick=False):
        assert not watch.alive(one.hash)
        await watch.check()
        assert await asyncio.wait_for(watch.ended(one.hash), 1) is EndReason.AGE


async def test_one_of_many_ends(watch, book):
    """The end of one session leaves the others alive."""
    one, other = session(), session()
    with watch.watching(one), watch.watching(other):
        book.reasons[one.hash] = EndReason.ENDED
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
            book.reasons = {one.hash: EndReason.ENDED, other.hash: EndReason.ENDED}
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
