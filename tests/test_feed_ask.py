"""What pages ask besides: one question for all of an account that want the same, kept while it is fresh."""

import asyncio
import contextlib
import gc
import time
import weakref

import pytest

from services.errors import EndReason, PrivilegeMissing, SessionEnded, StoreUnavailable, TicketRejected, Unreachable
from services.feed import Feed, desk
from services.sessions import Session, new_id


def session(principal="alice@pve"):
    return Session(id=new_id(), principal=principal, created=time.time(), deadline=time.monotonic() + 3600)


class Sessions:
    """Stands in for the sessions: lends itself to whoever is alive."""

    def __init__(self):
        self.lent = []
        self.ended = set()
        self.trouble = None

    @contextlib.asynccontextmanager
    async def credentials(self, session):
        await asyncio.sleep(0)
        if session.hash in self.ended:
            raise SessionEnded(EndReason.ENDED)
        if self.trouble:
            raise self.trouble
        self.lent.append(session)
        yield self


class Question:
    """A question that takes a while, and answers with its number."""

    def __init__(self, trouble=None, seconds=0.02):
        self.asked = self.under_way = 0
        self.trouble = trouble
        self.seconds = seconds
        self.clients = []

    async def __call__(self, client):
        self.asked += 1
        self.under_way += 1
        self.clients.append(client)
        try:
            await asyncio.sleep(self.seconds)
            if self.trouble:
                raise self.trouble
            return self.asked
        finally:
            self.under_way -= 1


@pytest.fixture
def sessions():
    return Sessions()


@pytest.fixture
def clock(monkeypatch):
    """The desk's clock, which a test may put forward, so that freshness is no matter of the machine's speed."""

    class Clock:
        ahead = 0.0

        def later(self, seconds):
            self.ahead += seconds

        def monotonic(self):
            return time.monotonic() + self.ahead

    made = Clock()
    monkeypatch.setattr(desk, "time", made)
    return made


@pytest.fixture
async def feed(sessions):
    made = Feed(sessions, None)
    yield made
    await made.aclose()


async def test_one_question_for_all(feed, sessions):
    """A hundred tabs of ten sessions that want the same at once are one question, by one session's client."""
    question, ten = Question(), [session() for _ in range(10)]
    asks = (feed.ask(ten[number % 10], "key", question, 60) for number in range(100))
    assert await asyncio.gather(*asks) == [1] * 100
    assert (question.clients, sessions.lent) == ([sessions], ten[:1])


async def test_fresh(feed, clock):
    """While it is fresh an answer is given again without a question; afterwards it is asked anew."""
    question, mine = Question(), session()
    assert [await feed.ask(mine, "key", question, 1000) for _ in range(3)] == [1, 1, 1]
    clock.later(999)
    assert await feed.ask(mine, "key", question, 1000) == 1
    clock.later(1000)
    assert await feed.ask(mine, "key", question, 1000) == 2


async def test_how_long_is_for_the_answer(feed, clock):
    """Freshness is reckoned from the answer, not from the question."""
    mine, asked = session(), []

    async def question(_):
        asked.append(True)
        clock.later(2000)

    for _ in range(2):
        await feed.ask(mine, "key", question, 1000)
    assert len(asked) == 1


async def test_keys_do_not_mix(feed):
    """Each key is a question of its own."""
    question, mine = Question(), session()
    asks = [feed.ask(mine, ("curves", name), question, 60) for name in ("pve1", "pve2")]
    assert sorted(await asyncio.gather(*asks)) == [2, 2]
    assert question.asked == 2


async def test_accounts_do_not_share(feed):
    """No account is given what another was told, nor a token what its owner was."""
    question = Question()
    for principal in ("alice@pve", "bob@pve", "alice@pve!ci"):
        await feed.ask(session(principal), "key", question, 60)
    assert question.asked == 3


@pytest.mark.parametrize("trouble", [Unreachable(), PrivilegeMissing("/", "Sys.Audit")], ids=repr)
async def test_trouble_is_everybodys(feed, trouble):
    """A question that fails fails for all that wait for it, and is not asked again for a moment, whoever comes."""
    question, mine = Question(trouble), session()
    asks = (feed.ask(mine, "key", question, 60) for _ in range(10))
    assert await asyncio.gather(*asks, return_exceptions=True) == [trouble] * 10
    with pytest.raises(type(trouble)):
        await feed.ask(session(), "key", question, 60)
    assert question.asked == 1


async def test_trouble_passes(feed, clock):
    """After that moment a question that failed is asked again, long before an answer would have been."""
    question, mine = Question(Unreachable()), session()
    with pytest.raises(Unreachable):
        await feed.ask(mine, "key", question, 60)
    question.trouble = None
    clock.later(desk.REPENT)
    assert await feed.ask(mine, "key", question, 60) == 2


async def test_trouble_from_before_is_forgiven(feed):
    """Once Proxmox is back what failed is asked again at once, and so is what was under way then and fails yet."""
    failed, hanging, mine = Question(Unreachable()), Question(Unreachable()), session()
    with pytest.raises(Unreachable):
        await feed.ask(mine, "failed", failed, 60)
    late = asyncio.create_task(feed.ask(mine, "hanging", hanging, 60))
    await asyncio.sleep(0)
    feed._desk.forgive(mine.principal)
    with pytest.raises(Unreachable):
        await late
    failed.trouble = hanging.trouble = None
    assert await feed.ask(mine, "failed", failed, 60) == 2
    await asyncio.sleep(0.01)  # what failed is dropped in the loop's next turn
    assert await feed.ask(mine, "hanging", hanging, 60) == 2


async def test_another_accounts_trouble_is_not_forgiven(feed):
    """Proxmox may answer one account and not another."""
    question, mine = Question(Unreachable()), session()
    for _ in range(2):
        with pytest.raises(Unreachable):
            await feed.ask(mine, "key", question, 60)
        feed._desk.forgive("bob@pve")
    assert question.asked == 1


async def test_trouble_is_no_longer_fresh_than_an_answer(feed):
    """What is wanted anew each time is, after trouble too."""
    question, mine = Question(Unreachable()), session()
    for _ in range(2):
        with pytest.raises(Unreachable):
            await feed.ask(mine, "key", question, 0)
    assert question.asked == 2


async def test_store_trouble_is_told(feed, sessions):
    """A store that does not lend is told as it is."""
    sessions.trouble = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await feed.ask(session(), "key", Question(), 60)


async def test_the_end_of_a_session_is_its_own(feed, sessions):
    """When the session that asks has ended only its own tabs are told so; the others' question is asked by another."""
    over, mine, question = session(), session(), Question()
    sessions.ended.add(over.hash)
    asks = [feed.ask(over, "key", question, 60), feed.ask(over, "key", question, 60)]
    asks += [feed.ask(mine, "key", question, 60) for _ in range(5)]
    told = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(one) for one in told[:2]] == [SessionEnded] * 2
    assert told[2:] == [1] * 5
    assert sessions.lent == [mine]


async def test_an_ended_session_is_not_remembered(feed, sessions, monkeypatch):
    """That a session has ended is not kept for whoever asks next."""
    monkeypatch.setattr(desk, "REPENT", 3600)
    over = session()
    sessions.ended.add(over.hash)
    with pytest.raises(SessionEnded):
        await feed.ask(over, "key", Question(), 60)
    assert await feed.ask(session(), "key", Question(), 60) == 1


async def test_a_ticket_renewed_on_the_way(feed, sessions):
    """A ticket that is refused because another has renewed it meanwhile is borrowed anew, once."""
    question, mine = Question(), session()

    async def refuse_once(client):
        if not question.asked:
            question.asked += 1
            raise TicketRejected
        return await question(client)

    assert await feed.ask(mine, "key", refuse_once, 60) == 2
    assert sessions.lent == [mine, mine]
    question = Question(TicketRejected())
    with pytest.raises(TicketRejected):
        await feed.ask(mine, "other", question, 60)
    assert question.asked == 2


async def test_who_leaves_takes_nothing_along(feed):
    """Who waits no longer does not end the question for the others."""
    question = Question(seconds=0.1)
    gone = asyncio.create_task(feed.ask(session(), "key", question, 60))
    while not question.under_way:
        await asyncio.sleep(0)
    stays = asyncio.create_task(feed.ask(session(), "key", question, 60))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 1


async def test_nothing_is_kept_for_good(feed):
    """What is no longer fresh is not kept in memory, though nobody asks again."""

    class Large:
        pass

    async def question(_):
        return Large()

    kept = weakref.ref(await feed.ask(session(), "key", question, 0.5))
    assert kept() is not None
    while kept() is not None:
        await asyncio.sleep(0.05)
        gc.collect()


async def test_close_ends_what_is_under_way(feed):
    """Closing ends questions under way."""
    question = Question(seconds=30)
    waiting = asyncio.create_task(feed.ask(session(), "key", question, 60))
    while not question.under_way:
        await asyncio.sleep(0.005)
    await feed.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not question.under_way
