"""The list of an account's sessions, and the most that it may have."""

import asyncio
import contextlib
import logging
import time

import pytest
from pydantic import SecretStr

from services.errors import EndReason
from services.sessions import Sessions, new_id
from services.sessions import sessions as module
from services.sessions.index import SPARE_SECONDS
from services.sessions.limits import MOST_SESSIONS
from services.store.connection import Store
from tests.session_kit import LIMITS, TOKEN, WHERE, Pve, alive, begun, ended, names, raw, record_key, ticket


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, LIMITS)


async def test_list_shows_what_it_knows(sessions):
    """The list shows start, address, agent and fingerprint of each session, the newest first."""
    first = await sessions.create(ticket(), address="192.0.2.1", agent="one")
    second = await sessions.create(ticket(), address="2001:db8::2", agent="two")
    listed = await sessions.list("alice@pve")
    assert [(one.hash, one.address, one.agent) for one in listed] == [
        (second.hash, "2001:db8::2", "two"),
        (first.hash, "192.0.2.1", "one"),
    ]
    assert [one.started for one in listed] == [second.created, first.created]
    assert {one.fingerprint for one in listed} == {first.fingerprint, second.fingerprint}
    assert all(len(one.fingerprint) == 12 for one in listed)


async def test_list_knows_the_last_use(sessions, store):
    """The list tells when a session was last used, to the second, from the time that its record has left."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 500)
    (one,) = await sessions.list("alice@pve")
    assert one.last_used == one.started  # it began just now, so it cannot have been used before
    aged = await begun(sessions, ago=1000, idle=500)
    (_, one) = await sessions.list("alice@pve")
    assert one.hash == aged.hash
    assert one.last_used == pytest.approx(time.time() - 100, abs=5)


async def test_list_forgets_what_ran_out(sessions, store):
    """A session that ran out leaves the list, and its entry the index."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "DEL", record_key(store, made))
    assert await sessions.list("alice@pve") == ()
    assert await names(store, "index") == []


async def test_list_shows_none_past_its_age(sessions, store):
    """A session past its longest age is not listed as live, though its record still lies in the store."""
    made = await begun(sessions, ago=LIMITS.longest + 1)
    assert await raw(store, "EXISTS", record_key(store, made)) == 1
    assert await sessions.list("alice@pve") == ()
    assert await sessions.list_all() == ()
    young = await begun(sessions, ago=LIMITS.longest - 60)
    assert [one.hash for one in await sessions.list("alice@pve")] == [young.hash]


async def test_list_is_the_principals_own(sessions):
    """Nobody is shown another's sessions, however alike the names."""
    await sessions.create(ticket("alice@pve"), **WHERE)
    for other in ("Alice@pve", "alice@pam", "alice@pve!ci", "alice", "*", ""):
        assert await sessions.list(other) == ()


async def test_list_all(sessions):
    """The administrator sees every session, by account, the newest of each first."""
    a1 = await sessions.create(ticket("a@pve"), **WHERE)
    b = await sessions.create(ticket("b@pve"), **WHERE)
    a2 = await sessions.create(ticket("a@pve"), **WHERE)
    assert [one.hash for one in await sessions.list_all()] == [a2.hash, a1.hash, b.hash]


async def test_list_all_stays_under_its_prefix(sessions, store, keys, pve):
    """Another installation's sessions in the same store are not seen."""
    beside = Sessions(Store(store._client, store.key("x:")), keys, pve, LIMITS)
    await beside.create(ticket(), **WHERE)
    assert await sessions.list_all() == ()
    assert len(await beside.list_all()) == 1


async def test_hundreds_of_sessions(sessions, monkeypatch):
    """An account with five hundred sessions, were they allowed, is listed and ended within the store's deadline."""
    monkeypatch.setattr(module, "MOST_SESSIONS", 500)
    for _ in range(25):
        await asyncio.gather(*(sessions.create(ticket(), **WHERE) for _ in range(20)))
    assert len(await sessions.list("alice@pve")) == 500
    assert await sessions.end_all("alice@pve") == 500


# -------------------------------------------------------------------------------------------------- the most of them


async def test_one_session_more_ends_the_longest_idle(sessions):
    """With one session more than an account may have, the one idle for longest ends, and not the oldest."""
    made = [await begun(sessions, ago=1000 - number, idle=400 + (number - 7) ** 2) for number in range(MOST_SESSIONS)]
    newest = await sessions.create(ticket(), **WHERE)
    assert await alive(sessions, [*made, newest]) == [*made[:7], *made[8:], newest]
    with ended(EndReason.ENDED):
        await sessions.read(made[7].id)
    assert len(await sessions.list("alice@pve")) == MOST_SESSIONS


async def test_as_many_as_allowed_live(sessions):
    """As many sessions as an account may have live side by side."""
    made = [await sessions.create(ticket(), **WHERE) for _ in range(MOST_SESSIONS)]
    assert await alive(sessions, made) == made


async def test_a_used_session_is_kept(sessions):
    """The oldest session of all is kept while it is used, however many sign-ins follow."""
    used = await sessions.create(ticket(), **WHERE)
    made = []
    for _ in range(2 * MOST_SESSIONS):
        made.append(await sessions.create(ticket(), **WHERE))
        await sessions.read(used.id)
    assert await alive(sessions, [used, *made]) == [used, *made[-MOST_SESSIONS + 1 :]]


async def test_others_have_their_own_most(sessions):
    """One account's many sign-ins end nobody else's sessions, not even those of its own token."""
    others = [await sessions.create(credential, **WHERE) for credential in (ticket("bob@pve"), TOKEN)]
    for _ in range(MOST_SESSIONS + 5):
        await sessions.create(ticket(), **WHERE)
    assert await alive(sessions, others) == others


async def test_far_too_many(sessions, monkeypatch):
    """Whatever number of sessions an account had, one sign-in brings them down to the most, itself among them."""
    monkeypatch.setattr(module, "MOST_SESSIONS", 60)
    made = [await sessions.create(ticket(), **WHERE) for _ in range(60)]
    monkeypatch.undo()
    newest = await sessions.create(ticket(), **WHERE)
    living = await alive(sessions, [*made, newest])
    assert len(living) == MOST_SESSIONS
    assert newest in living


async def test_concurrent_sign_ins(store, keys, pve, valkey_url):
    """However many sign-ins come at the same moment, at however many replicas, no more live than may."""
    async with contextlib.AsyncExitStack() as stack:
        stores = [Store.open(SecretStr(valkey_url), store.key()) for _ in range(3)]
        for one in stores:
            stack.push_async_callback(one.aclose)
        replicas = [Sessions(one, keys, pve, LIMITS) for one in stores]
        first = [await replicas[0].create(ticket(), **WHERE) for _ in range(MOST_SESSIONS - 2)]
        second = await asyncio.gather(*(replicas[n % 3].create(ticket(), **WHERE) for n in range(12)))
        living = await alive(Sessions(store, keys, pve, LIMITS), [*first, *second])
        assert 0 < len(living) <= MOST_SESSIONS
        assert {one.hash for one in living} == {one.hash for one in await replicas[0].list("alice@pve")}


async def test_dead_entries_make_no_room_needed(sessions, store):
    """Sessions that ran out do not count: nobody is ended for them, and their entries leave the index."""
    kept = await sessions.create(ticket(), **WHERE)
    for _ in range(300):
        made = await sessions.create(ticket(), **WHERE)
        await raw(store, "DEL", record_key(store, made))  # as if it had run out
    assert await alive(sessions, [kept]) == [kept]
    (index,) = await names(store, "index")
    assert await raw(store, "HLEN", index) <= MOST_SESSIONS + 1


# ------------------------------------------------------------------------------------------- what cannot be read


async def test_unreadable_index_entry(sessions, store, caplog):
    """An index entry that cannot be read is logged and left out, and hides no other."""
    good = await sessions.create(ticket(), **WHERE)
    bad = await sessions.create(ticket(), **WHERE)
    (index,) = await names(store, "index")
    await raw(store, "HSET", index, bad.hash, b"garbage")
    assert [one.hash for one in await sessions.list("alice@pve")] == [good.hash]
    assert bad.fingerprint in caplog.text


async def test_end_all_ends_what_it_cannot_describe(sessions, store):
    """Ending all of an account's sessions ends those too whose index entries cannot be read."""
    made = await sessions.create(ticket(), **WHERE)
    (index,) = await names(store, "index")
    await raw(store, "HSET", index, made.hash, b"garbage")
    await sessions.end_all("alice@pve")
    with ended(EndReason.ENDED):
        await sessions.read(made.id)


async def test_swapped_index_entries(sessions, store):
    """An entry moved to another session's field, or to another account's index, is not believed."""
    mine = await sessions.create(ticket("alice@pve"), address="192.0.2.1", agent="mine")
    theirs = await sessions.create(ticket("bob@pve"), address="192.0.2.2", agent="theirs")
    my_index, their_index = sessions._index.key("alice@pve"), sessions._index.key("bob@pve")
    await raw(store, "HSET", my_index, mine.hash, await raw(store, "HGET", their_index, theirs.hash))
    await raw(store, "HSET", my_index, theirs.hash, await raw(store, "HGET", their_index, theirs.hash))
    assert await sessions.list("alice@pve") == ()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"short", b"", b"x" * 1000])
async def test_strange_field_in_the_index(sessions, store, name):
    """A field that we did not write into an index does not hide the sessions in it."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "HSET", sessions._index.key("alice@pve"), name, b"x")
    assert [one.hash for one in await sessions.list("alice@pve")] == [made.hash]


@pytest.mark.parametrize("verb", ["list", "end_all", "list_all"])
async def test_index_of_another_type_lists_nothing(sessions, store, caplog, verb):
    """An index of a wrong type is dropped and logged, and the list is empty instead of failing."""
    await raw(store, "SET", sessions._index.key("alice@pve"), b"x")
    found = await (sessions.list_all() if verb == "list_all" else getattr(sessions, verb)("alice@pve"))
    assert not found
    assert any(record.levelno >= logging.ERROR for record in caplog.records)


async def test_index_of_another_type_keeps_nobody_out(sessions, store):
    """An index of a wrong type keeps its account from nothing: the next sign-in replaces it."""
    await raw(store, "SET", sessions._index.key("alice@pve"), b"x")
    made = await sessions.create(ticket(), browser=new_id(), **WHERE)
    assert [one.hash for one in await sessions.list("alice@pve")] == [made.hash]
    assert await alive(sessions, [made]) == [made]
    assert 0 < await raw(store, "TTL", sessions._index.key("alice@pve")) <= LIMITS.longest + SPARE_SECONDS


async def test_index_of_another_type_keeps_nobody_in(sessions, store):
    """An index of a wrong type does not keep a session from being ended."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "DEL", sessions._index.key("alice@pve"))
    await raw(store, "SET", sessions._index.key("alice@pve"), b"x")
    await sessions.end(made, EndReason.SIGNED_OUT)
    with ended(EndReason.SIGNED_OUT):
        await sessions.read(made.id)


@pytest.mark.parametrize("value", ["a list", "garbage"])
async def test_unreadable_browser_keeps_nobody_out(sessions, store, value):
    """What is noted of a browser, and cannot be read, keeps nobody from signing in with it, and is replaced."""
    browser = new_id()
    first = await sessions.create(ticket(), browser=browser, **WHERE)
    (key,) = await names(store, "browser")
    await raw(store, "DEL", key)
    await raw(store, *(("LPUSH", key, "x") if value == "a list" else ("SET", key, b"garbage")))
    second = await sessions.create(ticket(), browser=browser, **WHERE)
    third = await sessions.create(ticket(), browser=browser, **WHERE)
    assert await alive(sessions, [first, second, third]) == [first, third]
