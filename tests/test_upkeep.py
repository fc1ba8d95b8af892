"""The upkeep of the sessions in use here: tickets renewed under open tabs, and ends heard of from other replicas."""

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

import pytest

from services.errors import EndReason, StoreUnavailable, TicketRejected, Unreachable
from services.sessions import Sessions
from services.sessions import upkeep as module
from services.sessions.upkeep import keep_fresh, listen
from services.sessions.watch import Watch
from tests.session_kit import LIMITS, TOKEN, WHERE, Pve, alive, begun, ended, lend, raw, record_key, ticket, until

QUICK = replace(LIMITS, renew_ticket=1)


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, QUICK)


@pytest.fixture
def watch(sessions):
    return Watch(sessions)


@contextlib.asynccontextmanager
async def running(work):
    """It at work in the background, which it must not end by itself."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)


# -------------------------------------------------------------------------------------------------------- keep fresh


async def test_tickets_of_open_tabs_are_renewed(sessions, watch, pve):
    """The ticket of a watched session is renewed again and again, though nobody asks for it."""
    made = await sessions.create(ticket(age=1), **WHERE)
    async with running(keep_fresh(sessions, watch)):
        with watch.watching(made):
            await until(lambda: pve.renewals >= 2, 15)
    found = await sessions._found(made)
    assert int(found.record.credential.ticket.get_secret_value().split(":")[2]) > 100


async def test_unwatched_tickets_are_left_alone(sessions, watch, pve):
    """A session without an open tab, or whose last one was closed, is not kept fresh: its ticket may grow old."""
    unwatched, closed, open_one = [await sessions.create(ticket(f"{name}@pve", age=1), **WHERE) for name in "abc"]
    asked = []
    pve.renew = lambda old: asked.append(old.userid) or Pve.renew(pve, old)
    with watch.watching(closed):
        pass
    async with running(keep_fresh(sessions, watch)):
        with watch.watching(open_one):
            await until(lambda: len(asked) >= 2, 15)
    assert set(asked) == {"c@pve"}
    assert await alive(sessions, [unwatched, closed]) == [unwatched, closed]


async def test_young_tickets_are_left_alone(store, keys, pve):
    """A ticket that is not due is not renewed, and a token never."""
    sessions = Sessions(store, keys, pve, replace(LIMITS, renew_ticket=2))
    watch = Watch(sessions)
    young = await sessions.create(ticket(), **WHERE)
    token = await begun(sessions, ago=1000, credential=TOKEN)
    started = time.monotonic()
    async with running(keep_fresh(sessions, watch)):
        with watch.watching(young), watch.watching(token):
            await until(lambda: pve.renewals, 15)
    assert time.monotonic() - started >= 1.9
    assert pve.renewals == 1


async def test_no_use_of_the_session(sessions, watch, store, pve):
    """Keeping a ticket fresh does not move the idle limit: a tab that nobody uses falls idle."""
    made = await sessions.create(ticket(age=1), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    async with running(keep_fresh(sessions, watch)):
        with watch.watching(made):
            await until(lambda: pve.renewals, 15)
            await until(lambda: not sessions._renewals._under_way)
    assert 0 < await raw(store, "TTL", record_key(store, made)) <= 100


@pytest.mark.parametrize("trouble", [Unreachable(), TicketRejected(), RuntimeError("a mistake of ours")], ids=repr)
async def test_one_that_fails_keeps_no_other_from_it(sessions, watch, pve, trouble):
    """Whatever goes wrong with one ticket, the others are renewed, in the same round and the next."""
    bad, gone = [await sessions.create(ticket(f"{name}@pve", age=1), **WHERE) for name in ("bad", "gone")]
    good = await sessions.create(ticket("good@pve", age=1), **WHERE)
    await sessions.end(gone, EndReason.ENDED)
    pve.troubles = {"bad@pve": trouble}
    renewed = []
    renew = pve.renew

    async def noted(old):
        answer = await renew(old)
        renewed.append(old.userid)
        return answer

    pve.renew = noted
    async with running(keep_fresh(sessions, watch)):
        with watch.watching(gone), watch.watching(bad), watch.watching(good):
            await until(lambda: renewed.count("good@pve") >= 2, 15)
    assert set(renewed) == {"good@pve"}


async def test_rejected_ticket_ends_the_session(sessions, watch, pve):
    """A ticket that Proxmox refuses to renew under an open tab ends the session, for that reason."""
    made = await sessions.create(ticket(age=1), **WHERE)
    pve.trouble = TicketRejected()
    async with running(keep_fresh(sessions, watch)), running(watch.run()):
        with watch.watching(made):
            assert await asyncio.wait_for(watch.ended(made.hash), 15) is EndReason.REJECTED
    with ended(EndReason.REJECTED):
        await lend(sessions, made)


async def test_store_away_while_keeping_fresh(sessions, watch, store, pve, monkeypatch):
    """While the store is away nothing is renewed and nothing ends; afterwards the tickets are renewed."""
    made = await sessions.create(ticket(age=1), **WHERE)
    tries = []

    async def down(_, **_how):
        tries.append(1)
        raise StoreUnavailable

    monkeypatch.setattr(store, "run", down)
    async with running(keep_fresh(sessions, watch)):
        with watch.watching(made):
            await until(lambda: tries, 15)
            assert pve.renewals == 0
            monkeypatch.undo()
            await until(lambda: pve.renewals, 15)
    assert await alive(sessions, [made]) == [made]


# ------------------------------------------------------------------------------------------------------------ listen


class Channel:
    """Stands in for the store: tells what it is given, breaks when told so, and counts its listeners."""

    def __init__(self):
        self.messages = asyncio.Queue()
        self.channels = []

    async def listen(self, channel):
        self.channels.append(channel)
        while True:
            message = await self.messages.get()
            if message is None:
                return
            if isinstance(message, Exception):
                raise message
            yield message


@pytest.fixture
def channel(monkeypatch):
    monkeypatch.setattr(module, "_RECONNECT_SECONDS", 0.05)
    return Channel()


async def test_ends_are_passed_on(sessions, watch, channel):
    """An end on another replica reaches the tabs here without asking the store, and this process remembers it."""
    one, other = [await sessions.create(ticket(), **WHERE) for _ in range(2)]
    ends = []
    watch.on_end(lambda *end: ends.append(end))
    async with running(listen(sessions, watch, channel)):
        with watch.watching(one), watch.watching(other):
            channel.messages.put_nowait(f"{one.hash} signed-out".encode())
            assert await asyncio.wait_for(watch.ended(one.hash), 5) is EndReason.SIGNED_OUT
            assert set(watch.sessions()) == {other}
    assert ends == [(one.hash, EndReason.SIGNED_OUT)]
    assert channel.channels == ["ended"]
    with ended(EndReason.SIGNED_OUT):
        await sessions.read(one.id)
    assert await sessions.read(other.id) == other


@pytest.mark.parametrize(
    "trouble", [StoreUnavailable(), RuntimeError("a mistake of ours"), None], ids=["away", "mistake", "hung up"]
)
async def test_hearing_survives(sessions, watch, channel, trouble, caplog):
    """Whatever breaks the hearing, it is taken up again; a store that is away is no news for the log."""
    made = await sessions.create(ticket(), **WHERE)
    with caplog.at_level(logging.ERROR):
        async with running(listen(sessions, watch, channel)):
            with watch.watching(made):
                for _ in range(3):
                    channel.messages.put_nowait(trouble)
                channel.messages.put_nowait(f"{made.hash} ended".encode())
                assert await asyncio.wait_for(watch.ended(made.hash), 5) is EndReason.ENDED
    assert len(channel.channels) == 4
    assert bool(caplog.records) == isinstance(trouble, RuntimeError)


async def test_strange_words_are_heard_out(sessions, watch, channel):
    """Words that we did not send end nobody, and do not keep the next ones from being heard."""
    one, other = [await sessions.create(ticket(), **WHERE) for _ in range(2)]
    async with running(listen(sessions, watch, channel)):
        with watch.watching(one), watch.watching(other):
            for words in (b"", b" ", b"\xff\xfe\x00", b"x" * 100_000, one.hash[:12].encode() + b" ended"):
                channel.messages.put_nowait(words)
            channel.messages.put_nowait(f"{other.hash} idle".encode())
            assert await asyncio.wait_for(watch.ended(other.hash), 5) is EndReason.IDLE
            assert set(watch.sessions()) == {one}
    assert len(channel.channels) == 1
    assert await sessions.read(one.id) == one
