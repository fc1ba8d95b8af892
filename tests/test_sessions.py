"""The life of a session in a real store: created, read, confirmed; and what becomes of the unreadable."""

import asyncio
import hashlib
import json
import logging
import math
import os
import time

import pytest
from pydantic import SecretStr

from services.errors import EndReason, SessionEnded, StoreUnavailable
from services.keys import KeyRing
from services.proxmox.clock import TICKET_SECONDS
from services.sessions import Life, Limits, Session, Sessions, beginning, new_id, questions
from services.sessions.questions import _AT_ONCE
from services.sessions.record import hash_id
from services.store.connection import Store
from tests.session_kit import (
    LIMITS,
    NEW,
    OLD,
    SECRETS,
    TOKEN,
    WHERE,
    Pve,
    alive,
    begun,
    count_trips,
    ended,
    ended_key,
    lend,
    names,
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


# ------------------------------------------------------------------------------------------------------------- create


async def test_created_session_is_read(sessions):
    """A session that was created is read by its id, with its principal, its birth and its end."""
    before, started = time.time(), time.monotonic()
    made = await sessions.create(ticket(), **WHERE)
    read = await sessions.read(made.id)
    assert read == made
    assert read.principal == "alice@pve"
    assert before <= read.created <= time.time()
    for one in (made, read):
        assert started + LIMITS.longest <= one.deadline <= time.monotonic() + LIMITS.longest


async def test_every_session_has_a_new_id(sessions):
    """Twenty sign-ins of one account make twenty ids."""
    made = await asyncio.gather(*(sessions.create(ticket(), **WHERE) for _ in range(20)))
    assert len({session.id for session in made}) == 20


async def test_store_learns_no_id_and_no_secret(sessions, store):
    """Neither a key nor a value in the store holds the id, the credential or the account's name."""
    made = await sessions.create(ticket(), browser="BROWSERID", **WHERE)
    await sessions.create(TOKEN, **WHERE)
    held = b""
    for name in await names(store):
        held += name.encode() + b" " + await raw(store, "DUMP", name)
    for word in (made.id, *SECRETS, "alice", "Firefox", "192.0.2.7", "BROWSERID"):
        assert word.encode() not in held
    assert hash_id(made.id).encode() in held


async def test_keys_of_a_session_share_a_slot(sessions, store, pve):
    """A session's own keys have its hash in braces, so that a Cluster keeps them together."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    other = await sessions.create(ticket(), **WHERE)
    await sessions.end(other, EndReason.ENDED)
    pve.go.clear()
    asking = asyncio.create_task(lend(sessions, made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    own = {name for name in await names(store) if name.split(":")[1] in {"session", "ended", "renewing"}}
    assert own == {
        store.key("session", f"{{{made.hash}}}"),
        store.key("renewing", f"{{{made.hash}}}"),
        store.key("ended", f"{{{other.hash}}}"),
    }
    pve.go.set()
    await asking


async def test_every_key_ends(sessions, store):
    """No key of ours lies in the store without an end."""
    made = await sessions.create(ticket(age=1800), browser=new_id(), **WHERE)
    await sessions.create(ticket(), browser=new_id(), **WHERE)
    async with sessions.credentials(made):
        pass
    await sessions.end(made, EndReason.ENDED)
    assert {await raw(store, "TTL", name) for name in await names(store)}.isdisjoint({-1})


async def test_principals_of_tokens_are_their_own(sessions):
    """A token's session belongs to the token and not to its owner."""
    await sessions.create(TOKEN, **WHERE)
    assert await sessions.list("alice@pve") == ()
    assert len(await sessions.list("alice@pve!ci")) == 1


async def test_browser_keeps_one_session(sessions):
    """However many sign-ins one browser starts at once, one session is left of them."""
    browser = new_id()
    made = await asyncio.gather(*(sessions.create(ticket(), browser=browser, **WHERE) for _ in range(20)))
    assert len(await alive(sessions, made)) == 1
    assert len(await sessions.list("alice@pve")) == 1


async def test_begins_in_one_question(sessions, store):
    """Beside the clock, and whether the browser's session before still lives, one question to the store begins it."""
    browser = new_id()
    trips = [await count_trips(store, lambda: sessions.create(ticket(), browser=browser, **WHERE))]
    await sessions.end((await sessions.list("alice@pve"))[0], EndReason.SIGNED_OUT)
    trips.append(await count_trips(store, lambda: sessions.create(ticket(), browser=browser, **WHERE)))
    assert trips == [2, 3]


async def test_other_browsers_keep_theirs(sessions):
    """A sign-in ends no session of another browser."""
    first = await sessions.create(ticket(), browser=new_id(), **WHERE)
    await sessions.create(ticket(), browser=new_id(), **WHERE)
    await sessions.create(ticket(), **WHERE)
    assert await sessions.read(first.id)


async def test_browser_changes_hands(sessions):
    """Another account's sign-in from the same browser ends the session before, in its own principal's list too."""
    browser = new_id()
    first = await sessions.create(ticket("alice@pve"), browser=browser, **WHERE)
    await sessions.create(ticket("bob@pve"), browser=browser, **WHERE)
    with ended(EndReason.SIGNED_OUT):
        await sessions.read(first.id)
    assert await sessions.list("alice@pve") == ()


# --------------------------------------------------------------------------------------------------------------- read


async def test_unknown_id(sessions):
    """An id that was never given opens nothing."""
    with ended(EndReason.IDLE):
        await sessions.read(new_id())


async def test_read_moves_the_idle_limit(sessions, store):
    """Reading a session moves its idle limit."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    await sessions.read(made.id)
    assert await raw(store, "TTL", record_key(store, made)) > 590


async def test_reading_without_touch(sessions, store):
    """Read without a touch, or for its credentials, a session's idle limit stays where it was."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    await sessions.read(made.id, touch=False)
    async with sessions.credentials(made):
        pass
    assert await raw(store, "TTL", record_key(store, made)) <= 100


async def test_read_is_two_round_trips(sessions, store):
    """Reading and touching a session asks the store once, and once whether its owner's list has it."""
    made = await sessions.create(ticket(), **WHERE)
    assert await count_trips(store, lambda: sessions.read(made.id)) == 2


async def test_read_again_is_one_round_trip(sessions, store):
    """Of a session that it has read before, this process knows which list to ask along."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.read(made.id)
    assert await count_trips(store, lambda: sessions.read(made.id)) == 1


@pytest.mark.parametrize("spoilt", ["DEL", "SET"])
async def test_unlisted_session_that_was_read_before_opens_nothing(sessions, store, spoilt):
    """What the list says is asked each time, also in one question with the rest; no list at all lists nobody."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.read(made.id)
    for index in await names(store, "index"):
        await raw(store, "DEL", index)
        if spoilt == "SET":
            await raw(store, "SET", index, "none of ours")
    with ended(EndReason.ENDED):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_no_more_is_remembered_than_that(sessions, monkeypatch):
    """Of more sessions than a process remembers, those that came last are known."""
    monkeypatch.setattr("services.sessions.sessions.MOST_KNOWN", 2)
    made = [await sessions.create(ticket(), **WHERE) for _ in range(3)]
    for one in (made[0], made[1], made[0], made[2]):
        await sessions.read(one.id)
    assert set(sessions._known) == {made[0].hash, made[2].hash}
    await sessions.end(made[2], EndReason.ENDED)
    assert set(sessions._known) == {made[0].hash}


async def test_unlisted_session_opens_nothing(sessions, store):
    """A session that its owner could not find on the list opens nothing, and is ended for good."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "DEL", *await names(store, "index"))
    with ended(EndReason.ENDED):
        async with sessions.credentials(made):
            pass
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_reading_does_not_write_the_record(sessions, store):
    """A read leaves the record as it is, byte for byte."""
    made = await sessions.create(ticket(), **WHERE)
    before = await raw(store, "GET", record_key(store, made))
    await sessions.read(made.id)
    async with sessions.credentials(made):
        pass
    assert await raw(store, "GET", record_key(store, made)) == before


async def test_idle_session_ends(store, keys, pve):
    """A session that is not used for its idle limit is over, for idleness."""
    sessions = Sessions(store, keys, pve, Limits(idle=1, longest=3600))
    made = await sessions.create(ticket(), **WHERE)
    await until_ended(sessions, made.id, touch=False)
    with ended(EndReason.IDLE):
        await sessions.read(made.id)


async def until_ended(sessions, id, **how):
    """Read until the session is over; fails when it lives for five seconds more."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            await sessions.read(id, **how)
        except SessionEnded:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the session does not end")


async def test_used_session_lives_on(store, keys, pve):
    """A session that is used outlives its idle limit."""
    sessions = Sessions(store, keys, pve, Limits(idle=1, longest=3600))
    made = await sessions.create(ticket(), **WHERE)
    until = time.monotonic() + 1.6
    while time.monotonic() < until:
        await sessions.read(made.id)
        await asyncio.sleep(0.1)
    assert await sessions.read(made.id)


async def test_under_its_longest_age(sessions):
    """A session just under its longest age lives, and its deadline is what is left of it."""
    made = await begun(sessions, ago=LIMITS.longest - 60)
    read = await sessions.read(made.id)
    assert read == made
    assert 0 < read.deadline - time.monotonic() <= 60


@pytest.mark.parametrize("ago", [LIMITS.longest, LIMITS.longest + 0.5, 10 * LIMITS.longest])
async def test_longest_age(sessions, store, ago):
    """A session ends at its longest age, however long its record has left, for that reason, and its record goes."""
    made = await begun(sessions, ago=ago)
    assert await raw(store, "TTL", record_key(store, made)) > 590
    with ended(EndReason.AGE):
        await sessions.read(made.id)
    with ended(EndReason.AGE):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_used_session_ages(store, keys, pve):
    """A session that is used all the time ends at its longest age, and not before."""
    sessions = Sessions(store, keys, pve, Limits(idle=600, longest=2))
    started = time.monotonic()
    made = await sessions.create(ticket(), **WHERE)
    await until_ended(sessions, made.id)
    assert time.monotonic() - started > 1.9
    with ended(EndReason.AGE):
        await sessions.read(made.id)


async def test_persisted_record_ages(sessions, store):
    """Whoever takes the time limit off a record in the store does not prolong the session."""
    made = await begun(sessions, ago=LIMITS.longest)
    await raw(store, "PERSIST", record_key(store, made))
    with ended(EndReason.AGE):
        await sessions.read(made.id, touch=False)


async def test_persisted_session_is_still_listed_and_ended(sessions, store):
    """Whoever takes the time limit off a record hides the session neither from its owner's list nor from ending all."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "PERSIST", record_key(store, made))
    assert [one.hash for one in await sessions.list("alice@pve")] == [made.hash]
    await sessions.end_all("alice@pve")
    with ended(EndReason.ENDED):
        await sessions.read(made.id)


async def test_old_age_is_no_idleness(store, keys, pve):
    """A session whose longest age is under its idle limit ends for its age, even if it was never used."""
    sessions = Sessions(store, keys, pve, Limits(idle=600, longest=1))
    made = await sessions.create(ticket(), **WHERE)
    await until_ended(sessions, made.id, touch=False)
    await until_gone(store, made)
    with ended(EndReason.AGE):
        await sessions.read(made.id)


async def until_gone(store, session):
    """Wait until the record has left the store."""
    deadline = time.monotonic() + 5
    while await raw(store, "EXISTS", record_key(store, session)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_credentials_are_not_lent_past_the_age(sessions):
    """A session past its longest age lends no client."""
    made = await begun(sessions, ago=LIMITS.longest)
    with ended(EndReason.AGE):
        async with sessions.credentials(made):
            raise AssertionError("a client was lent")


async def test_ticket_outlived_unused_is_idleness(store, keys, pve):
    """A session whose ticket has outlived its two hours, and that nobody used meanwhile, ends as idle."""
    sessions = Sessions(store, keys, pve, Limits(idle=10_000, longest=43_200))
    made = await begun(sessions, ago=8000, credential=ticket(age=TICKET_SECONDS + 1), idle=10_000 - 5401)
    with ended(EndReason.IDLE):
        await sessions.read(made.id, touch=False)


async def test_ticket_outlived_in_use_is_rejection(store, keys, pve):
    """A session used lately whose ticket has outlived its two hours, as no renewal succeeded, ends as rejected."""
    sessions = Sessions(store, keys, pve, Limits(idle=10_000, longest=43_200))
    made = await begun(sessions, ago=8000, credential=ticket(age=TICKET_SECONDS + 1), idle=10_000 - 5300)
    with ended(EndReason.REJECTED):
        await sessions.read(made.id)
    with ended(EndReason.REJECTED):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_ticket_just_within_its_two_hours(store, keys, pve):
    """A ticket just under two hours old ends nothing, and a token is never too old."""
    sessions = Sessions(store, keys, pve, Limits(idle=10_000, longest=43_200))
    for credential in (ticket(age=TICKET_SECONDS - 60), TOKEN):
        made = await begun(sessions, ago=20_000, credential=credential)
        assert await sessions.read(made.id) == made


# --------------------------------------------------------------------------------------- what cannot be read

DAMAGE = {
    "empty": lambda value: b"",
    "garbage": lambda value: os.urandom(200),
    "text": lambda value: b"hello",
    "json": lambda value: json.dumps({"principal": "root@pam"}).encode(),
    "cut": lambda value: value[:-1],
    "header only": lambda value: value[:9],
    "other version": lambda value: b"\x7f" + value[1:],
    "other key": lambda value: value[:1] + KeyRing(SecretStr(OLD)).first.id + value[9:],
    "one bit": lambda value: value[:-1] + bytes([value[-1] ^ 1]),
    "more": lambda value: value + b"\0",
    "huge": lambda value: value * 20_000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_unreadable_record_is_dropped(store, pve, caplog, damage):
    """A record that we did not write so is never trusted: the session is over, the record gone, the log says it."""
    sessions = Sessions(store, KeyRing(SecretStr(f"{NEW},{OLD}")), pve, LIMITS)
    made = await sessions.create(ticket(), **WHERE)
    key = record_key(store, made)
    await raw(store, "SET", key, damage(await raw(store, "GET", key)), "KEEPTTL")
    with caplog.at_level(logging.ERROR), ended():
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", key) == 0
    assert made.fingerprint in caplog.text
    assert made.id not in caplog.text
    assert made.hash not in caplog.text


TYPES = {
    "list": ("LPUSH", "x"),
    "hash": ("HSET", "x", "y"),
    "set": ("SADD", "x"),
    "sorted set": ("ZADD", "1", "x"),
    "stream": ("XADD", "*", "x", "y"),
}


@pytest.mark.parametrize("command", TYPES.values(), ids=TYPES.keys())
async def test_record_of_another_type_is_dropped(sessions, store, caplog, command):
    """A record that is no string any more is dropped and logged like any other damage, and is no outage."""
    made = await sessions.create(ticket(), **WHERE)
    key = record_key(store, made)
    await raw(store, "DEL", key)
    await raw(store, command[0], key, *command[1:])
    with caplog.at_level(logging.ERROR), ended():
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", key) == 0
    assert made.fingerprint in caplog.text


async def test_tombstone_of_another_type_opens_nothing(sessions, store):
    """A reason that is no string any more does not open the session beside it, now or later."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "LPUSH", ended_key(store, made), "x")
    for _ in range(2):
        with ended():
            await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_other_sessions_record_is_not_trusted(sessions, store):
    """An administrator's record copied over a guest's session opens neither for the guest."""
    guest = await sessions.create(ticket("guest@pve"), **WHERE)
    admin = await sessions.create(ticket("root@pam"), **WHERE)
    await raw(store, "COPY", record_key(store, admin), record_key(store, guest), "REPLACE")
    with ended():
        await sessions.read(guest.id)
    assert (await sessions.read(admin.id)).principal == "root@pam"


async def test_damage_while_lending(sessions, store):
    """A damaged record lends no client."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "SET", record_key(store, made), b"x")
    with ended():
        async with sessions.credentials(made):
            raise AssertionError("a client was lent")


async def test_garbage_reason(store, keys, pve, sessions):
    """A reason that we did not write reads as: ended; who ended the session knows better."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, EndReason.IDLE)
    elsewhere = Sessions(store, keys, pve, LIMITS)  # who has not heard of the end
    for value in (b"because", b"\xff\xfe", b" "):
        await raw(store, "SET", ended_key(store, made), value)
        with ended(EndReason.ENDED):
            await elsewhere.read(made.id)
        with ended(EndReason.IDLE):
            await sessions.read(made.id)


async def test_one_poisoned_reason_blinds_nobody(sessions, store):
    """A reason of a wrong type in the store keeps nobody from knowing which other sessions live."""
    good = await sessions.create(ticket(), **WHERE)
    poisoned = await sessions.create(ticket(), **WHERE)
    await raw(store, "LPUSH", ended_key(store, poisoned), "x")
    answers = await sessions.confirm([poisoned, good])
    assert answers[good.hash].reason is None
    assert answers[poisoned.hash].reason is EndReason.ENDED


# ------------------------------------------------------------------------------------------------------------- confirm


async def test_confirm(sessions):
    """Of several sessions each is confirmed with what it has left, or its reason told; none asked, none answered."""
    living, gone, left = [await sessions.create(ticket(), **WHERE) for _ in range(3)]
    unknown = Session(id=new_id(), principal="alice@pve", created=0, deadline=math.inf)
    await sessions.end(gone, EndReason.ENDED)
    await sessions.end(left, EndReason.SIGNED_OUT)
    answers = await sessions.confirm([living, gone, left, unknown])
    assert list(answers) == [living.hash, gone.hash, left.hash, unknown.hash]
    assert answers[living.hash].reason is None
    assert 590 < answers[living.hash].left <= 600
    assert answers[gone.hash] == Life(reason=EndReason.ENDED, buried=True)
    assert answers[left.hash] == Life(reason=EndReason.SIGNED_OUT, buried=True)
    assert answers[unknown.hash] == Life(reason=EndReason.IDLE, buried=False)
    assert await sessions.confirm([]) == {}


async def test_confirm_of_many(sessions, store):
    """More sessions than the store is asked about at once are told apart as a few are."""
    made = [await sessions.create(ticket(f"user{number}@pve"), **WHERE) for number in range(2 * _AT_ONCE + 3)]
    gone = made[::7]
    for one in gone:
        await sessions.end(one, EndReason.ENDED)
    answers = await sessions.confirm(made)
    assert [one for one in made if answers[one.hash].reason] == gone


async def test_confirm_of_accounts_that_alternate(sessions, store):
    """Sessions are told apart in whatever order their accounts come; one list that is none ends its own alone."""
    made = [await sessions.create(ticket(f"user{number % 3}@pve"), **WHERE) for number in range(9)]
    await sessions.end(made[4], EndReason.REJECTED)
    await raw(store, "HDEL", _index_key(store, "user2@pve"), made[5].hash)
    await raw(store, "DEL", _index_key(store, "user0@pve"))
    await raw(store, "LPUSH", _index_key(store, "user0@pve"), "x")
    answers = await sessions.confirm(made)
    assert list(answers) == [one.hash for one in made]
    ended, none = EndReason.ENDED, None
    told = [answers[one.hash].reason for one in made]
    assert told == [ended, none, none, ended, EndReason.REJECTED, ended, ended, none, none]


def _index_key(store, principal):
    """Where the list of an account's sessions lies."""
    return store.key("index", hashlib.sha256(principal.encode()).hexdigest())


SEVERAL_SLOTS = "redis.error_reply('CROSSSLOT Keys in request do not hash to one slot')"


async def test_confirm_where_several_servers_pass_for_one(sessions, store):
    """A store that takes no script over keys of several slots is asked about each by itself, from then on."""
    living, gone = [await sessions.create(ticket(), **WHERE) for _ in range(2)]
    await sessions.end(gone, EndReason.ENDED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "_ASK", f"return {SEVERAL_SLOTS}")
        for _ in range(2):
            answers = await sessions.confirm([living, gone])
            assert [answers[one.hash].reason for one in (living, gone)] == [None, EndReason.ENDED]
            patch.setattr(questions, "_ASK", "return redis.error_reply('ERR this is not asked again')")


async def test_create_where_several_servers_pass_for_one(sessions, store):
    """There a session begins step by step, with its record, its place in the list and its browser noted as anywhere."""
    browser = new_id()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beginning, "_BEGIN", f"return {SEVERAL_SLOTS}")
        first = await sessions.create(ticket(), browser=browser, **WHERE)
        patch.setattr(beginning, "_BEGIN", "return redis.error_reply('ERR this is not asked again')")
        second = await sessions.create(ticket(), browser=browser, **WHERE)
    assert await alive(sessions, [first, second]) == [second]
    assert [one.hash for one in await sessions.list("alice@pve")] == [second.hash]


async def test_read_where_several_servers_pass_for_one(sessions, store):
    """There a session's list is asked by itself."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.read(made.id)
    apart = f"if KEYS[3] ~= KEYS[1] then return {SEVERAL_SLOTS} end"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "_READ", apart + questions._READ)
        for _ in range(2):
            assert (await sessions.read(made.id)).hash == made.hash
    assert await count_trips(store, lambda: sessions.read(made.id)) == 2


async def test_those_read_at_once_are_told_apart(sessions, store):
    """Sessions that are asked for in one moment are one question, and each has its own answer, whatever the others'."""
    made = [await sessions.create(ticket(f"user{number}@pve"), **WHERE) for number in range(6)]
    await sessions.end(made[1], EndReason.REJECTED)
    await raw(store, "DEL", record_key(store, made[2]))
    await raw(store, "DEL", record_key(store, made[3]))
    await raw(store, "HSET", record_key(store, made[3]), "what", "else")
    await raw(store, "PEXPIRE", record_key(store, made[4]), 60_000)
    await raw(store, "PEXPIRE", record_key(store, made[5]), 60_000)
    for one in (made[0], made[5]):
        await sessions.read(one.id, touch=False)  # whose lists are asked along from here on

    async def read_all():
        told = (sessions.read(one.id, touch=one is not made[5]) for one in made)
        return await asyncio.gather(*told, return_exceptions=True)

    answers = await read_all()
    reasons = [one.reason if isinstance(one, SessionEnded) else one.principal for one in answers]
    assert reasons == [
        "user0@pve", EndReason.REJECTED, EndReason.IDLE, EndReason.ENDED, "user4@pve", "user5@pve"
    ]  # fmt: skip
    left = [await raw(store, "PTTL", record_key(store, one)) for one in made[4:]]
    assert left[0] > 60_000 >= left[1], "only one of them was to be touched"
    alive = [made[0], made[5], made[0]]
    trips = await count_trips(store, lambda: asyncio.gather(*(sessions.read(one.id) for one in alive)))
    assert trips == 1


async def test_who_gives_up_takes_nobody_along(sessions):
    """Of those who ask at once one that is cancelled leaves the others their answers."""
    made = [await sessions.create(ticket(f"user{number}@pve"), **WHERE) for number in range(3)]
    asking = [asyncio.create_task(sessions.read(one.id)) for one in made]
    await asyncio.sleep(0)
    asking[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    assert [(await one).principal for one in asking[1:]] == ["user1@pve", "user2@pve"]


async def test_confirm_without_an_idle_end(sessions, store):
    """A session whose time limit somebody took off is confirmed as one that never falls idle."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "PERSIST", record_key(store, made))
    life = (await sessions.confirm([made]))[made.hash]
    assert (life.reason, life.left) == (None, math.inf)


@pytest.mark.parametrize("how", ["taken out", "index gone", "index of another type", "in another's"])
async def test_unlisted_session_is_none(sessions, store, how):
    """A live record that is not in its principal's index is confirmed as ended, by nobody yet."""
    made = await sessions.create(ticket(), **WHERE)
    index = sessions._index.key("alice@pve")
    if how == "taken out":
        await raw(store, "HDEL", index, made.hash)
    elif how == "in another's":
        await raw(store, "RENAME", index, sessions._index.key("bob@pve"))
    else:
        await raw(store, "DEL", index)
    if how == "index of another type":
        await raw(store, "SET", index, b"x")
    assert await sessions.confirm([made]) == {made.hash: Life(reason=EndReason.ENDED, buried=False)}


async def test_confirm_is_one_round_trip(sessions, store):
    """A hundred sessions are confirmed by one question."""
    many = [Session(id=new_id(), principal=f"a{n}@pve", created=0, deadline=math.inf) for n in range(100)]
    assert await count_trips(store, lambda: sessions.confirm(many)) == 1


async def test_confirm_does_not_touch(sessions, store):
    """Confirming a session does not keep it from falling idle."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    assert (await sessions.confirm([made]))[made.hash].left <= 100
    assert await raw(store, "TTL", record_key(store, made)) <= 100


@pytest.mark.parametrize("refused", ["pttl", "get", "hexists"])
async def test_refused_question_ends_nobody(store, sessions, keys, valkey_url, refused):
    """A store that answers but refuses a question has said nothing of anybody's end."""
    made = await sessions.create(ticket(), **WHERE)
    user = store.key()[:8]
    await raw(store, "ACL", "SETUSER", user, "on", ">word", "~*", "&*", "+@all", f"-{refused}")
    limited = Store.open(SecretStr(valkey_url.replace("unix://", f"unix://{user}:word@")), store.key())
    try:
        with pytest.raises(StoreUnavailable):
            await Sessions(limited, keys, None, LIMITS).confirm([made])
    finally:
        await limited.aclose()
        await raw(store, "ACL", "DELUSER", user)


# -------------------------------------------------------------------------------------------------------------- reprs


async def test_no_repr_shows_id_or_secret(sessions):
    """Neither a session nor a listed one nor the store's face shows an id or a credential."""
    made = await sessions.create(ticket(), **WHERE)
    listed = await sessions.list("alice@pve")
    shown = f"{made!r} {made} {listed!r} {sessions!r} {sessions.limits!r} {vars(sessions)!r}"
    assert made.id not in shown
    assert not any(word in shown for word in SECRETS)


async def test_store_down_is_never_signed_out(store, keys, pve, sessions, tmp_path):
    """With no store to ask, every verb says that the store is down, and never that a session is over."""
    down = Sessions(Store.open(SecretStr(f"unix://{tmp_path}/none.sock")), keys, pve, LIMITS)
    made = await sessions.create(ticket(age=1800), **WHERE)

    async def use():
        async with down.credentials(made):
            pass

    for verb in (
        lambda: down.create(ticket(), **WHERE),
        lambda: down.read(made.id),
        lambda: down.read(made.id, touch=False),
        lambda: down.keep_fresh(made),
        lambda: down.end_others(made),
        lambda: down.end(made, EndReason.ENDED),
        lambda: down.end_all("alice@pve"),
        lambda: down.list("alice@pve"),
        down.list_all,
        lambda: down.confirm([made]),
        down.ping,
        use,
    ):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await verb()
        assert time.monotonic() - started < 1.5
