"""The end of a session: everywhere, for good, told once."""

import logging

import pytest

from services.errors import EndReason, StoreUnavailable
from services.sessions import Life, Sessions
from services.sessions.graveyard import Graveyard
from services.sessions.sessions import ENDED_CHANNEL
from services.store.connection import Store
from tests.session_kit import (
    LIMITS,
    WHERE,
    Pve,
    alive,
    begun,
    ended,
    ended_key,
    lend,
    raw,
    record_key,
    ticket,
)


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, LIMITS)


@pytest.mark.parametrize("reason", list(EndReason))
async def test_ended_session_is_over(sessions, store, reason):
    """A session that was ended is over at once, and says why."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, reason)
    with ended(reason):
        await sessions.read(made.id)
    assert await sessions.confirm([made]) == {made.hash: Life(reason=reason, buried=True)}
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_first_reason_stays(sessions):
    """A session ended once keeps its reason, whoever else wants to end it afterwards."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, EndReason.ENDED)
    await sessions.end(made, EndReason.SIGNED_OUT)
    with ended(EndReason.ENDED):
        await sessions.read(made.id)


async def test_end_by_list(sessions):
    """A session is ended by what the list shows of it, without its id."""
    made = await sessions.create(ticket(), **WHERE)
    (listed,) = await sessions.list("alice@pve")
    await sessions.end(listed, EndReason.ENDED)
    with ended(EndReason.ENDED):
        await sessions.read(made.id)
    assert await sessions.list("alice@pve") == ()


async def test_end_leaves_others(sessions):
    """Ending one session leaves its owner's others alone."""
    first, second = [await sessions.create(ticket(), **WHERE) for _ in range(2)]
    await sessions.end(first, EndReason.SIGNED_OUT)
    assert await sessions.read(second.id)


async def test_end_all(sessions):
    """Ending all ends every session of the account, says how many, and touches nobody else's."""
    mine = [await sessions.create(ticket(), **WHERE) for _ in range(5)]
    other = await sessions.create(ticket("bob@pve"), **WHERE)
    assert await sessions.end_all("alice@pve") == 5
    for session in mine:
        with ended(EndReason.ENDED):
            await sessions.read(session.id)
    assert await sessions.read(other.id)
    assert await sessions.end_all("alice@pve") == 0


async def test_end_others(sessions):
    """Ending the others ends every session of the account but this one, says how many, and touches nobody else's."""
    mine = [await sessions.create(ticket(), **WHERE) for _ in range(5)]
    other = await sessions.create(ticket("bob@pve"), **WHERE)
    assert await sessions.end_others(mine[2]) == 4
    for session in (*mine[:2], *mine[3:]):
        with ended(EndReason.ENDED):
            await sessions.read(session.id)
    assert await alive(sessions, [*mine, other]) == [mine[2], other]
    assert [one.hash for one in await sessions.list("alice@pve")] == [mine[2].hash]
    assert await sessions.end_others(mine[2]) == 0


async def test_end_others_ends_what_it_cannot_describe(sessions, store):
    """Ending the others ends those too whose index entries cannot be read, and leaves this one whatever its entry."""
    made, other = [await sessions.create(ticket(), **WHERE) for _ in range(2)]
    for one in (made, other):
        await raw(store, "HSET", sessions._index.key("alice@pve"), one.hash, b"garbage")
    await sessions.end_others(made)
    assert await alive(sessions, [made, other]) == [made]


# ------------------------------------------------------------------------------------------------- ended for good


async def restore(store, session, copy):
    """Put a session back as it was before its end, as a replica does that was promoted without having heard of it."""
    await raw(store, "DEL", ended_key(store, session))
    await raw(store, "RESTORE", record_key(store, session), 600_000, copy, "REPLACE")


async def test_restored_record_opens_nothing(sessions, keys, pve, store):
    """A session that was ended stays ended on every replica when its record alone is put back."""
    made = await sessions.create(ticket(), **WHERE)
    copy = await raw(store, "DUMP", record_key(store, made))
    await sessions.end(made, EndReason.SIGNED_OUT)
    await raw(store, "RESTORE", record_key(store, made), 600_000, copy)
    for one in (sessions, Sessions(store, keys, pve, LIMITS)):
        with ended(EndReason.SIGNED_OUT):
            await one.read(made.id)
        with ended(EndReason.SIGNED_OUT):
            await lend(one, made)
        assert (await one.confirm([made]))[made.hash].reason is EndReason.SIGNED_OUT


@pytest.mark.parametrize("reason", list(EndReason))
async def test_store_that_forgot_an_end(sessions, store, reason):
    """A session that this process ended opens nothing though the store has forgotten the end, and is buried again."""
    made = await sessions.create(ticket(), **WHERE)
    copy = await raw(store, "DUMP", record_key(store, made))
    await sessions.end(made, reason)
    await restore(store, made, copy)
    assert await sessions.confirm([made]) == {made.hash: Life(reason=reason, buried=False)}
    with ended(reason):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0
    assert (await raw(store, "GET", ended_key(store, made))).split()[0] == reason.value.encode()


@pytest.mark.parametrize("verb", ["read", "read without touch", "credentials", "keep fresh"])
async def test_no_way_into_a_restored_session(sessions, store, pve, verb):
    """By no way does a session open that this process ended and the store brings back, list and all."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    copy = await raw(store, "DUMP", record_key(store, made))
    index = sessions._index.key("alice@pve")
    listed = await raw(store, "DUMP", index)
    await sessions.end(made, EndReason.ENDED)
    await restore(store, made, copy)
    await raw(store, "RESTORE", index, 600_000, listed, "REPLACE")
    verbs = {
        "read": lambda: sessions.read(made.id),
        "read without touch": lambda: sessions.read(made.id, touch=False),
        "credentials": lambda: lend(sessions, made),
        "keep fresh": lambda: sessions.keep_fresh(made),
    }
    with ended(EndReason.ENDED):
        await verbs[verb]()
    assert pve.renewals == 0
    assert await raw(store, "EXISTS", record_key(store, made)) == 0
    assert await sessions.list("alice@pve") == ()


async def test_heard_of_an_end(store, keys, pve):
    """A replica that has heard of an end knows of it as well as the one that ended the session."""
    one, other = Sessions(store, keys, pve, LIMITS), Sessions(store, keys, pve, LIMITS)
    made = await one.create(ticket(), **WHERE)
    assert other.heard_of_end(f"{made.hash} signed-out".encode()) == (made.hash, EndReason.SIGNED_OUT)
    assert await other.confirm([made]) == {made.hash: Life(reason=EndReason.SIGNED_OUT, buried=False)}
    with ended(EndReason.SIGNED_OUT):
        await other.read(made.id)
    with ended(EndReason.SIGNED_OUT):
        await one.read(made.id)


@pytest.mark.parametrize(
    ("message", "hash"),
    [
        (b"", ""),
        (b"abc", "abc"),
        (b"abc because", "abc"),
        (b"abc ended ended", "abc"),
        (b"\xff\xfe idle", "\ufffd\ufffd"),
    ],
)
async def test_strange_word_of_an_end(sessions, message, hash):
    """Whatever the channel says ends nobody but whom it names, and a reason that we did not write reads as: ended."""
    made = await sessions.create(ticket(), **WHERE)
    reason = EndReason.IDLE if message.endswith(b" idle") else EndReason.ENDED
    assert sessions.heard_of_end(message) == (hash, reason)
    assert await sessions.read(made.id) == made


async def test_ends_are_told(sessions, store, monkeypatch):
    """An end is told to the other replicas, in words that they understand; a second end of the same session is not."""
    told = []

    async def publish(channel, message):
        told.append((channel, message))

    monkeypatch.setattr(store, "publish", publish)
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, EndReason.SIGNED_OUT)
    await sessions.end(made, EndReason.ENDED)
    ((channel, message),) = told
    assert channel == ENDED_CHANNEL
    assert sessions.heard_of_end(message) == (made.hash, EndReason.SIGNED_OUT)


async def test_end_that_cannot_be_told(sessions, store, monkeypatch, caplog):
    """An end that cannot be told to the others counts all the same, and is noted: they find out by themselves."""
    caplog.set_level(logging.INFO)

    async def publish(channel, message):
        raise StoreUnavailable

    monkeypatch.setattr(store, "publish", publish)
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, EndReason.SIGNED_OUT)
    with ended(EndReason.SIGNED_OUT):
        await sessions.read(made.id)
    assert len(events(caplog)) == 1


async def test_end_that_the_store_did_not_take(sessions, store, monkeypatch):
    """An end that the store did not take is told as failed, and is not remembered as if it had been."""
    made = await sessions.create(ticket(), **WHERE)

    async def down(_, **_how):
        raise StoreUnavailable

    monkeypatch.setattr(store, "run", down)
    with pytest.raises(StoreUnavailable):
        await sessions.end(made, EndReason.SIGNED_OUT)
    monkeypatch.undo()
    assert await sessions.read(made.id) == made


def test_graveyard_remembers(monkeypatch):
    """A graveyard remembers the first reason for as long as a session could have lived, and no longer."""
    now = 1000.0
    monkeypatch.setattr("services.sessions.graveyard.time.monotonic", lambda: now)
    graves = Graveyard(60)
    assert graves.reason("a") is None
    assert graves.add("a", EndReason.SIGNED_OUT)
    assert not graves.add("a", EndReason.ENDED)
    now = 1059.9
    assert graves.reason("a") is EndReason.SIGNED_OUT
    assert graves.reason("b") is None
    now = 1060.1
    assert graves.reason("a") is None
    assert graves.add("a", EndReason.ENDED)
    assert graves.reason("a") is EndReason.ENDED


def test_graveyard_has_bounds(monkeypatch):
    """A graveyard keeps only so many, the latest, and those that are over leave it."""
    now = 0.0
    monkeypatch.setattr("services.sessions.graveyard.time.monotonic", lambda: now)
    monkeypatch.setattr("services.sessions.graveyard.MOST", 10)
    graves = Graveyard(60)
    for number in range(25):
        graves.add(str(number), EndReason.ENDED)
    assert [number for number in range(25) if graves.reason(str(number))] == list(range(15, 25))
    now = 61
    graves.add("new", EndReason.ENDED)
    assert list(graves._ended) == ["new"]


# ------------------------------------------------------------------------------------------------------ the audit


def events(caplog):
    """The audit's events of ends, as they stand in the log."""
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if "event=end" in line or "event=sign-out" in line]


@pytest.mark.parametrize("reason", list(EndReason))
async def test_end_is_one_event(store, keys, pve, caplog, reason):
    """An end is one event of the audit, with account, address and reason, however many replicas note it."""
    caplog.set_level(logging.INFO)
    replicas = [Sessions(Store(store._client, store.key()), keys, pve, LIMITS) for _ in range(3)]
    made = await replicas[0].create(ticket(), **WHERE)
    for sessions in replicas:
        await sessions.end(made, reason, "192.0.2.99")
    await replicas[0].end(made, EndReason.ENDED, "192.0.2.1")
    (event,) = events(caplog)
    kind = "sign-out" if reason is EndReason.SIGNED_OUT else "end"
    for words in (f"event={kind} ", "principal=alice@pve ", "address=192.0.2.99 ", f"session={made.fingerprint} "):
        assert words in event
    assert event.endswith(f"outcome={reason}")


async def test_found_ends_are_events_too(sessions, caplog):
    """An end that is found at a read is one event as well, with nobody's address."""
    caplog.set_level(logging.INFO)
    made = await begun(sessions, ago=LIMITS.longest)
    for _ in range(3):
        with ended(EndReason.AGE):
            await sessions.read(made.id)
    (event,) = events(caplog)
    assert "outcome=age" in event
    assert "address=" not in event


async def test_every_one_of_many_ends_is_an_event(sessions, caplog):
    """Ending the others is one event for each of them, with the address of who did it."""
    caplog.set_level(logging.INFO)
    made = [await sessions.create(ticket(), **WHERE) for _ in range(4)]
    await sessions.end_others(made[0], "192.0.2.99")
    found = events(caplog)
    assert len(found) == 3
    assert all("address=192.0.2.99 " in event for event in found)
    assert all(any(one.fingerprint in event for event in found) for one in made[1:])


async def test_making_room_is_an_event(sessions, caplog, monkeypatch):
    """A session that makes room for another is an event of its account's audit."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("services.sessions.sessions.MOST_SESSIONS", 1)
    first = await sessions.create(ticket(), **WHERE)
    await sessions.create(ticket(), **WHERE)
    (event,) = events(caplog)
    assert first.fingerprint in event
    assert "outcome=ended" in event


async def test_logs_of_the_end_hold_no_id(sessions, caplog):
    """What is logged of an end names the account and the short fingerprint, never the id or its whole hash."""
    made = await sessions.create(ticket(), **WHERE)
    with caplog.at_level(logging.INFO):
        await sessions.end(made, EndReason.SIGNED_OUT)
    assert made.fingerprint in caplog.text
    assert "alice@pve" in caplog.text
    assert made.hash not in caplog.text
    assert made.id not in caplog.text
