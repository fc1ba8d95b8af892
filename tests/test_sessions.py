"""The life of a session in a real store: created, read, renewed, ended, listed; and what becomes of the unreadable."""

import asyncio
import contextlib
import json
import logging
import math
import os
import time
from dataclasses import replace

import pytest
import time_machine
from pydantic import SecretStr

from services.errors import (
    BadAnswer,
    ClockOff,
    EndReason,
    ProxgateError,
    RequestRefused,
    SessionEnded,
    StoreUnavailable,
    TicketRejected,
    Unreachable,
)
from services.keys import KeyRing
from services.proxmox import ApiToken, Proxmox, Ticket, Trust
from services.sessions import Limits, Sessions, new_id
from services.sessions.record import hash_id, unseal
from services.simulator import Simulator
from services.store.connection import Store

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
        self.go = asyncio.Event()
        self.go.set()
        self.asked = asyncio.Event()

    async def renew(self, old):
        self.renewals += 1
        self.asked.set()
        await self.go.wait()
        if self.trouble:
            raise self.trouble
        return replace(ticket(old.userid, 100 + self.renewals), issued=time.time())

    def signed_in(self, credential):
        return credential


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, LIMITS)


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

    async def counting(operation):
        nonlocal trips
        trips += 1
        return await run(operation)

    store.run = counting
    try:
        await work()
    finally:
        del store.run
    return trips


def record_key(store, session):
    return store.key("session", session.hash)


# ------------------------------------------------------------------------------------------------------------- create


async def test_created_session_is_read(sessions):
    """A session that was created is read by its id, with its principal, its birth and its end."""
    before = time.time()
    made = await sessions.create(ticket(), **WHERE)
    read = await sessions.read(made.id)
    assert read == made
    assert read.principal == "alice@pve"
    assert before <= read.created <= time.time()
    assert read.ends == read.created + LIMITS.longest


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
    alive = [one for one, reason in (await sessions.confirm(s.hash for s in made)).items() if reason is None]
    assert len(alive) == 1
    assert len(await sessions.list("alice@pve")) == 1


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


async def test_index_does_not_grow_for_ever(sessions, store):
    """An account that signs in again and again, its list never looked at, leaves no trail of dead entries."""
    for _ in range(300):
        made = await sessions.create(ticket(), **WHERE)
        await raw(store, "DEL", record_key(store, made))  # as if it had run out
    (index,) = await names(store, "index")
    assert await raw(store, "HLEN", index) < 200


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


async def test_read_is_one_round_trip(sessions, store):
    """Reading and touching a session asks the store once."""
    made = await sessions.create(ticket(), **WHERE)
    assert await count_trips(store, lambda: sessions.read(made.id)) == 1


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


async def test_longest_age(sessions, store):
    """A session ends at its longest age, however much it is used, for that reason, and its record goes."""
    made = await sessions.create(ticket(), **WHERE)
    with time_machine.travel(made.ends - 1, tick=False):
        assert await sessions.read(made.id)
    with time_machine.travel(made.ends, tick=False), ended(EndReason.AGE):
        await sessions.read(made.id)
    with ended(EndReason.AGE):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_persisted_record_ages(sessions, store):
    """Whoever takes the time limit off a record in the store does not prolong the session."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "PERSIST", record_key(store, made))
    with time_machine.travel(made.ends, tick=False), ended(EndReason.AGE):
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
    made = await sessions.create(ticket(), **WHERE)
    with time_machine.travel(made.ends + 1, tick=False), ended(EndReason.AGE):
        async with sessions.credentials(made):
            raise AssertionError("a client was lent")


# --------------------------------------------------------------------------------------- what cannot be read

DAMAGE = {
    "empty": lambda value: b"",
    "garbage": lambda value: os.urandom(200),
    "text": lambda value: b"hello",
    "json": lambda value: json.dumps({"principal": "root@pam"}).encode(),
    "cut": lambda value: value[:-1],
    "header only": lambda value: value[:9],
    "other version": lambda value: b"\x7f" + value[1:],
    "other key": lambda value: value[:1] + b"12345678" + value[9:],
    "one bit": lambda value: value[:-1] + bytes([value[-1] ^ 1]),
    "more": lambda value: value + b"\0",
    "huge": lambda value: value * 20_000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_unreadable_record_is_dropped(sessions, store, caplog, damage):
    """A record that we did not write so is never trusted: the session is over, the record gone, the log says it."""
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


async def test_garbage_reason(sessions, store):
    """A reason that we did not write reads as: ended."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, EndReason.IDLE)
    for value in (b"because", b"\xff\xfe", b" "):
        await raw(store, "SET", store.key("ended", made.hash), value)
        with ended(EndReason.ENDED):
            await sessions.read(made.id)


async def test_one_poisoned_reason_blinds_nobody(sessions, store):
    """A reason of a wrong type in the store keeps nobody from knowing which other sessions live."""
    good = await sessions.create(ticket(), **WHERE)
    poisoned = await sessions.create(ticket(), **WHERE)
    await raw(store, "LPUSH", store.key("ended", poisoned.hash), "x")
    assert (await sessions.confirm([poisoned.hash, good.hash]))[good.hash] is None


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
    """An index of a wrong type does not keep its account from signing in for ever."""
    await raw(store, "SET", sessions._index.key("alice@pve"), b"x")
    with contextlib.suppress(ProxgateError):
        await sessions.create(ticket(), **WHERE)
    made = await sessions.create(ticket(), **WHERE)
    assert [one.hash for one in await sessions.list("alice@pve")].count(made.hash) == 1


# ------------------------------------------------------------------------------------------------------ end, end all


@pytest.mark.parametrize("reason", list(EndReason))
async def test_ended_session_is_over(sessions, store, reason):
    """A session that was ended is over at once, and says why."""
    made = await sessions.create(ticket(), **WHERE)
    await sessions.end(made, reason)
    with ended(reason):
        await sessions.read(made.id)
    assert await sessions.confirm([made.hash]) == {made.hash: reason}
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


async def test_logs_of_the_end_hold_no_id(sessions, caplog):
    """What is logged of an end names the account and the short fingerprint, never the id or its whole hash."""
    made = await sessions.create(ticket(), **WHERE)
    with caplog.at_level(logging.INFO):
        await sessions.end(made, EndReason.SIGNED_OUT)
    assert made.fingerprint in caplog.text
    assert "alice@pve" in caplog.text
    assert made.hash not in caplog.text
    assert made.id not in caplog.text


# ---------------------------------------------------------------------------------------------------------------- list


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
    with time_machine.travel(time.time() + 1000, tick=False):
        (one,) = await sessions.list("alice@pve")
        assert one.last_used == pytest.approx(time.time() - 100, abs=2)


async def test_list_forgets_what_ran_out(sessions, store):
    """A session that ran out leaves the list, and its entry the index."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "DEL", record_key(store, made))
    assert await sessions.list("alice@pve") == ()
    assert await names(store, "index") == []


async def test_list_shows_none_past_its_age(sessions):
    """A session past its longest age is not listed as live, though its record still lies in the store."""
    made = await sessions.create(ticket(), **WHERE)
    with time_machine.travel(made.ends + 1, tick=False):
        assert await sessions.list("alice@pve") == ()
        assert await sessions.list_all() == ()


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


async def test_hundreds_of_sessions(sessions):
    """An account with five hundred sessions is listed and ended within the store's deadline."""
    await asyncio.gather(*(sessions.create(ticket(), **WHERE) for _ in range(500)))
    assert len(await sessions.list("alice@pve")) == 500
    assert await sessions.end_all("alice@pve") == 500


async def test_session_outlives_its_index_entrys_key(store, pve):
    """With the key changed and the old one gone, a session renewed meanwhile can still be ended by its owner."""
    old = Sessions(store, KeyRing(SecretStr(OLD)), pve, LIMITS)
    both = Sessions(store, KeyRing(SecretStr(f"{NEW},{OLD}")), pve, LIMITS)
    new = Sessions(store, KeyRing(SecretStr(NEW)), pve, LIMITS)
    made = await old.create(ticket(age=1800), **WHERE)
    async with both.credentials(made):
        pass
    assert await new.read(made.id)
    await new.end_all("alice@pve")
    with ended():
        await new.read(made.id)


# --------------------------------------------------------------------------------------------------------------- renew


async def lend(sessions, session):
    """The ticket that the session lends now."""
    async with sessions.credentials(session) as proxmox:
        return proxmox


async def test_lends_its_credential(sessions):
    """A session lends a client signed in with the credential it was created for, ticket or token."""
    for credential in (ticket(), TOKEN):
        made = await sessions.create(credential, **WHERE)
        assert await lend(sessions, made) == credential


async def test_young_ticket_is_not_renewed(sessions, pve):
    """A ticket under the renewal age is used as it is."""
    made = await sessions.create(ticket(age=1790), **WHERE)
    await lend(sessions, made)
    assert pve.renewals == 0


async def test_old_ticket_is_renewed_once(sessions, pve):
    """A ticket of the renewal age is renewed at its next use, kept, and not renewed again."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    first = await lend(sessions, made)
    second = await lend(sessions, made)
    assert first == second
    assert "101" in first.ticket.get_secret_value()
    assert pve.renewals == 1


async def test_renewed_once_however_many_ask(sessions, pve):
    """Fifty requests at once renew a ticket once, and none of them waits for it but the one that asks."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asks = [asyncio.create_task(lend(sessions, made)) for _ in range(50)]
    async with asyncio.timeout(5):
        while sum(ask.done() for ask in asks) < 49:
            await asyncio.sleep(0.01)
    pve.go.set()
    tickets = await asyncio.gather(*asks)
    assert pve.renewals == 1
    assert sum("101" in one.ticket.get_secret_value() for one in tickets) == 1


async def test_renewed_once_over_replicas(store, keys, pve):
    """Two replicas renew a ticket once."""
    one, other = [Sessions(Store(store._client, store.key()), keys, pve, LIMITS) for _ in range(2)]
    made = await one.create(ticket(age=1800), **WHERE)
    await asyncio.gather(*(lend(sessions, made) for sessions in [one, other] * 10))
    assert pve.renewals == 1


async def test_token_is_never_renewed(sessions, pve):
    """A token's session is never renewed."""
    made = await sessions.create(TOKEN, **WHERE)
    await sessions.renew(made)
    assert pve.renewals == 0


async def test_renewal_does_not_prolong(sessions, store):
    """Renewal moves neither the idle limit nor the longest age."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    await lend(sessions, made)
    assert await raw(store, "TTL", record_key(store, made)) <= 100
    assert (await sessions.read(made.id)).created == made.created


async def test_renewal_keeps_the_records_age(sessions):
    """Renewal keeps the birth that stands in the record, whatever the caller holds for it."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    await sessions.renew(replace(made, created=made.created + 1000))
    assert (await sessions.read(made.id)).created == made.created


async def test_ended_while_renewing_stays_ended(sessions, store, pve):
    """A session ended while its ticket is renewed is not brought back."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(lend(sessions, made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    await sessions.end(made, EndReason.ENDED)
    pve.go.set()
    with ended(EndReason.ENDED):
        await asking
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_vanished_while_renewing_stays_gone(sessions, store, pve):
    """A session that runs out while its ticket is renewed is not brought back."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(sessions.renew(made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    await raw(store, "DEL", record_key(store, made))
    pve.go.set()
    await asking
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_refused_renewal_ends_the_session(sessions, pve):
    """A ticket that Proxmox refuses to renew ends the session, for that reason."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.trouble = TicketRejected()
    with ended(EndReason.REJECTED):
        await lend(sessions, made)
    with ended(EndReason.REJECTED):
        await sessions.read(made.id)


@pytest.mark.parametrize(
    "trouble", [Unreachable(), BadAnswer(), RequestRefused(400)], ids=lambda one: type(one).__name__
)
async def test_trouble_while_renewing_ends_nothing(sessions, pve, caplog, trouble):
    """Any other trouble at the renewal leaves the session its old ticket, and is logged without it."""
    kept = ticket(age=1800)
    made = await sessions.create(kept, **WHERE)
    pve.trouble = trouble
    assert await lend(sessions, made) == kept
    assert type(trouble).__name__ in caplog.text
    assert not any(word in caplog.text for word in SECRETS)


async def test_trouble_is_not_asked_again_at_once(sessions, pve):
    """While Proxmox cannot renew, it is not asked again with every request."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.trouble = Unreachable()
    for _ in range(20):
        await lend(sessions, made)
    assert pve.renewals == 1


async def test_renewed_record_is_sealed_with_the_first_key(store, pve):
    """Renewal seals the record with the newest key."""
    old = Sessions(store, KeyRing(SecretStr(OLD)), pve, LIMITS)
    both = Sessions(store, KeyRing(SecretStr(f"{NEW},{OLD}")), pve, LIMITS)
    made = await old.create(ticket(age=1800), **WHERE)
    await lend(both, made)
    key = record_key(store, made)
    assert unseal(await raw(store, "GET", key), KeyRing(SecretStr(NEW)), made.id, key).principal == "alice@pve"


async def test_ticket_refused_in_use_ends_the_session(sessions):
    """A ticket that Proxmox refuses while it is used ends the session, for that reason."""
    made = await sessions.create(ticket(), **WHERE)
    with ended(EndReason.REJECTED):
        async with sessions.credentials(made):
            raise TicketRejected
    with ended(EndReason.REJECTED):
        await sessions.read(made.id)


@pytest.mark.parametrize("trouble", [Unreachable(), RuntimeError("ours")])
async def test_other_trouble_in_use_passes_through(sessions, trouble):
    """Any other trouble while a client is used reaches its user and ends nothing."""
    made = await sessions.create(ticket(), **WHERE)
    with pytest.raises(type(trouble)):
        async with sessions.credentials(made):
            raise trouble
    assert await sessions.read(made.id)


async def test_with_proxmox(store, keys, sim):
    """With a Proxmox: a ticket is lent, renewed and lent again, and a disabled account's session ends."""
    sessions_of = Limits(idle=600, longest=3600, renew_ticket=1)
    async with Proxmox([sim.address], Trust(fingerprints=(sim.fingerprint,))) as proxmox:
        sessions = Sessions(store, keys, proxmox, sessions_of)
        first = await proxmox.sign_in("maria@home", SecretStr("demo"))
        made = await sessions.create(replace(first, issued=first.issued - 1), **WHERE)
        async with sessions.credentials(made) as client:
            assert (await client.resources()).nodes
            assert client._credential.issued > first.issued
        sim.disable("maria@home")
        try:
            with ended(EndReason.REJECTED):
                async with sessions.credentials(made) as client:
                    await client.resources()
        finally:
            sim.enable("maria@home")


async def test_renewed_at_a_member(store, keys):
    """With the configured node down a session goes on, ticket renewed, at the cluster's other nodes."""
    async with Simulator(speed=60.0, doors=2) as pve:
        trust = Trust(fingerprints=tuple(pve.fingerprints.values()))
        async with Proxmox([pve.address], trust) as proxmox:
            sessions = Sessions(store, keys, proxmox, Limits(renew_ticket=600))
            first = await proxmox.sign_in("root@pam", SecretStr("demo"))
            await proxmox.signed_in(first).members()
            made = await sessions.create(replace(first, issued=first.issued - 600), **WHERE)
            await pve.close_door(pve.address)
            pve.advance(1)  # two tickets of one second are the same
            pve.requests.clear()
            async with sessions.credentials(made) as client:
                assert (await client.resources()).nodes
                assert client._credential.ticket != first.ticket
        asked = [(one.path, one.door) for one in pve.requests]
    member = pve.addresses[1]
    assert asked == [("/access/ticket", member), ("/cluster/resources", member)]


async def test_neither_a_clock_nor_a_csrf_token_ends_a_session(store, keys):
    """A ticket refused for Proxmox's clock, or a call for its CSRF token, leaves the session alive."""
    async with Simulator(speed=60.0) as pve, Proxmox([pve.address], Trust(fingerprints=(pve.fingerprint,))) as proxmox:
        sessions = Sessions(store, keys, proxmox, Limits(renew_ticket=600))
        given = await proxmox.sign_in("root@pam", SecretStr("demo"))
        made = await sessions.create(
            replace(given, csrf_token=SecretStr("0:wrong"), issued=given.issued - 600), **WHERE
        )
        pve.skew = -400
        with pytest.raises(ClockOff):  # the renewal that is due goes wrong quietly, and the call then says why
            async with sessions.credentials(made) as client:
                await client.version()
        pve.skew = 0
        with pytest.raises(RequestRefused):
            async with sessions.credentials(made) as client:
                await client._ask("POST", "/nodes/pve1/qemu/100/status/stop", cap=1024)
        assert (await sessions.read(made.id)).principal == "root@pam"


# ------------------------------------------------------------------------------------------------------------- confirm


async def test_confirm(sessions):
    """Of several sessions each is confirmed, or its reason told, in one round trip; none asked, none answered."""
    alive, gone, left = [await sessions.create(ticket(), **WHERE) for _ in range(3)]
    await sessions.end(gone, EndReason.ENDED)
    await sessions.end(left, EndReason.SIGNED_OUT)
    assert await sessions.confirm([alive.hash, gone.hash, left.hash, "0" * 64]) == {
        alive.hash: None,
        gone.hash: EndReason.ENDED,
        left.hash: EndReason.SIGNED_OUT,
        "0" * 64: EndReason.IDLE,
    }
    assert await sessions.confirm([]) == {}


async def test_confirm_is_one_round_trip(sessions, store):
    """A hundred sessions are confirmed by one question."""
    assert await count_trips(store, lambda: sessions.confirm([f"{n:064}" for n in range(100)])) == 1


async def test_confirm_does_not_touch(sessions, store):
    """Confirming a session does not keep it from falling idle."""
    made = await sessions.create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    await sessions.confirm([made.hash])
    assert await raw(store, "TTL", record_key(store, made)) <= 100


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
        lambda: down.renew(made),
        lambda: down.end(made, EndReason.ENDED),
        lambda: down.end_all("alice@pve"),
        lambda: down.list("alice@pve"),
        down.list_all,
        lambda: down.confirm([made.hash]),
        down.ping,
        use,
    ):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await verb()
        assert time.monotonic() - started < 1.5
    assert math.isfinite(made.ends)


async def test_a_ticket_that_proxmox_no_longer_takes_ends_as_idleness(sessions):
    """A session whose ticket has outlived its two hours was not used: it ends as that, and not at its next call."""
    sessions = Sessions(sessions._store, sessions._keys, None, Limits(idle=10_000))
    made = await sessions.create(ticket(), **WHERE)
    with time_machine.travel(time.time() + 7201, tick=True), ended(EndReason.IDLE):
        await sessions.read(made.id)
