"""The ticket of a session: renewed once however many ask, and everybody gets the new one."""

import asyncio
import logging
import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from services.errors import (
    BadAnswer,
    ClockOff,
    EndReason,
    RequestRefused,
    SessionEnded,
    StoreUnavailable,
    TicketRejected,
    Unreachable,
)
from services.keys import KeyRing
from services.proxmox import Proxmox, Trust
from services.sessions import Limits, Sessions
from services.sessions import renewal as module
from services.sessions.record import unseal
from services.simulator import Simulator
from services.store.connection import Store
from tests.session_kit import (
    LIMITS,
    NEW,
    OLD,
    SECRETS,
    TOKEN,
    WHERE,
    Pve,
    begun,
    ended,
    ended_key,
    lend,
    lock_key,
    raw,
    record_key,
    ticket,
    until,
)


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, LIMITS)


def number_of(lent):
    """Which ticket it is; those that were renewed count from 101."""
    return int(lent.ticket.get_secret_value().split(":")[2])


def replicas(store, keys, pve, count=2):
    """So many programs on one store, with one Proxmox."""
    return [Sessions(Store(store._client, store.key()), keys, pve, LIMITS) for _ in range(count)]


async def test_lends_its_credential(sessions):
    """A session lends a client signed in with the credential it was created for, ticket or token."""
    for credential in (ticket(), TOKEN):
        made = await sessions.create(credential, **WHERE)
        lent = await lend(sessions, made)
        if credential is TOKEN:
            assert lent == TOKEN
        else:  # its age is told by the store's clock
            assert lent.issued == pytest.approx(credential.issued, abs=0.5)
            assert replace(lent, issued=credential.issued) == credential


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
    assert first.ticket == second.ticket
    assert "101" in first.ticket.get_secret_value()
    assert pve.renewals == 1


async def test_renewed_once_however_many_ask(sessions, pve, monkeypatch):
    """Fifty requests at once renew a ticket once, wait for it however long, and all of them get the new one."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0)  # that is for other replicas
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asks = [asyncio.create_task(lend(sessions, made)) for _ in range(50)]
    await asyncio.wait_for(pve.asked.wait(), 5)
    await asyncio.sleep(0.1)
    assert not any(ask.done() for ask in asks)
    pve.go.set()
    tickets = await asyncio.wait_for(asyncio.gather(*asks), 5)
    assert pve.renewals == 1
    assert {number_of(one) for one in tickets} == {101}


async def test_renewed_once_over_replicas(store, keys, pve):
    """Fifty requests at two replicas renew a ticket once, and all of them get the new one."""
    one, other = replicas(store, keys, pve)
    made = await one.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asks = [asyncio.create_task(lend(sessions, made)) for sessions in [one, other] * 25]
    await asyncio.wait_for(pve.asked.wait(), 5)
    await asyncio.sleep(0.1)
    assert not any(ask.done() for ask in asks)
    pve.go.set()
    tickets = await asyncio.wait_for(asyncio.gather(*asks), 5)
    assert pve.renewals == 1
    assert {number_of(one) for one in tickets} == {101}


async def test_renewed_again_when_due_again(sessions, pve):
    """A ticket that was renewed is renewed again when it is of that age, by the same process."""
    sessions = Sessions(sessions._store, sessions._records._keys, pve, replace(LIMITS, renew_ticket=1))
    made = await sessions.create(ticket(age=1), **WHERE)
    assert number_of(await lend(sessions, made)) == 101
    deadline = time.monotonic() + 5
    while number_of(await lend(sessions, made)) == 101:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert number_of(await lend(sessions, made)) == 102


async def test_sessions_do_not_wait_for_each_other(sessions, pve):
    """The renewal of one session's ticket keeps no other session waiting."""
    slow, quick = await sessions.create(ticket(age=1800), **WHERE), await sessions.create(ticket(), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(lend(sessions, slow))
    await asyncio.wait_for(pve.asked.wait(), 5)
    assert number_of(await asyncio.wait_for(lend(sessions, quick), 5)) == 1
    pve.go.set()
    await asking


@pytest.mark.parametrize("leaving", ["the first", "all"])
async def test_hanging_up_does_not_cut_it_short(sessions, pve, monkeypatch, leaving):
    """Whoever asks for a renewal and leaves in the middle of it spoils it for nobody, and it is done all the same."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    waiting, renewed = [], sessions._renewals.renewed

    async def counted(session, found):
        waiting.append(session)
        return await renewed(session, found)

    monkeypatch.setattr(sessions._renewals, "renewed", counted)
    pve.go.clear()
    asks = [asyncio.create_task(lend(sessions, made)) for _ in range(3)]
    await until(lambda: len(waiting) == 3 and pve.asked.is_set())
    for ask in asks if leaving == "all" else asks[:1]:
        ask.cancel()
    await asyncio.sleep(0)
    pve.go.set()
    answers = await asyncio.gather(*asks, return_exceptions=True)
    if leaving == "all":
        assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3
        await until(lambda: not sessions._renewals._under_way)
    else:
        assert isinstance(answers[0], asyncio.CancelledError)
        assert [number_of(one) for one in answers[1:]] == [101, 101]
    assert number_of(await lend(sessions, made)) == 101
    assert pve.renewals == 1


async def test_nobody_left_to_tell(sessions, pve):
    """A renewal that ends the session after everybody has left ends it, and leaves no stray error."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(lend(sessions, made))
    await asyncio.wait_for(pve.asked.wait(), 5)  # so that it waits for nothing but the renewal
    asking.cancel()
    pve.trouble = TicketRejected()
    pve.go.set()
    await until(lambda: not sessions._renewals._under_way)
    with ended(EndReason.REJECTED):
        await sessions.read(made.id)


async def test_other_replicas_lock_is_waited_for_but_not_long(sessions, store, pve, monkeypatch):
    """While another replica renews, a request waits so long and goes on with the old ticket, which is still good."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.3)
    made = await sessions.create(ticket(age=1800), **WHERE)
    await raw(store, "SET", lock_key(store, made), b"", "PX", 60_000)
    started = time.monotonic()
    assert number_of(await asyncio.wait_for(lend(sessions, made), 10)) == 1
    assert time.monotonic() - started >= 0.3
    assert pve.renewals == 0


async def test_waiting_ends_with_the_lock(sessions, store, keys, pve, monkeypatch):
    """Who waits for another replica goes on as soon as that one is done, with the new ticket."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 60)
    made = await sessions.create(ticket(age=1800), **WHERE)
    await raw(store, "SET", lock_key(store, made), b"", "PX", 60_000)
    waiting = asyncio.create_task(lend(sessions, made))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    found = await sessions._found(made)
    renewed = replace(found.record, credential=ticket(number=7))
    assert await sessions._records.rewrite(made.id, renewed)
    await raw(store, "DEL", lock_key(store, made))
    assert number_of(await asyncio.wait_for(waiting, 10)) == 7
    assert pve.renewals == 0


async def test_lock_is_given_back(sessions, store, pve):
    """After a renewal its lock is gone; before, while it lasts, it ends by itself should its process die."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(lend(sessions, made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    assert 0 < await raw(store, "PTTL", lock_key(store, made)) <= module.LOCK_MS
    pve.go.set()
    await asking
    assert await raw(store, "EXISTS", lock_key(store, made)) == 0


async def test_lock_of_a_dead_process(sessions, store, pve):
    """The lock that a killed process left keeps nobody from renewing once it has run out."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    await raw(store, "SET", lock_key(store, made), b"", "PX", 200)
    assert number_of(await asyncio.wait_for(lend(sessions, made), 10)) in {1, 101}
    assert number_of(await asyncio.wait_for(lend(sessions, made), 10)) == 101


async def test_renewed_meanwhile(sessions, store, pve):
    """Who gets the lock after somebody else's renewal sees that, and does not renew again."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    found = await sessions._found(made)
    await sessions._records.rewrite(made.id, replace(found.record, credential=ticket(number=7)))
    renewed = await sessions._renewals.renewed(made, found)  # as asked by who read the record before
    assert number_of(renewed.record.credential) == 7
    assert pve.renewals == 0
    assert await raw(store, "EXISTS", lock_key(store, made)) == 0


async def test_token_is_never_renewed(sessions, pve):
    """A token's session is never renewed, however old, and asked to be, lends its token."""
    made = await begun(sessions, ago=3000, credential=TOKEN)
    assert await lend(sessions, made) == TOKEN
    assert (await sessions.keep_fresh(made)).record.credential == TOKEN
    assert (await sessions._renewals.renewed(made, await sessions._found(made))).record.credential == TOKEN
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
    await lend(sessions, replace(made, created=made.created + 1000, deadline=made.deadline + 1000))
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
    asking = asyncio.create_task(lend(sessions, made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    await raw(store, "DEL", record_key(store, made))
    pve.go.set()
    with ended(EndReason.IDLE):
        await asking
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_ended_elsewhere_while_renewing(store, keys, pve):
    """A session that another replica ends while its ticket is renewed here is not brought back."""
    one, other = replicas(store, keys, pve)
    made = await one.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(lend(one, made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    await other.end(made, EndReason.SIGNED_OUT)
    pve.go.set()
    with ended(EndReason.SIGNED_OUT):
        await asking
    assert await raw(store, "EXISTS", record_key(store, made)) == 0


async def test_refused_renewal_ends_the_session(sessions, store, pve):
    """A ticket that Proxmox refuses to renew ends the session, for that reason, for all who wait."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.trouble = TicketRejected()
    answers = await asyncio.gather(*(lend(sessions, made) for _ in range(20)), return_exceptions=True)
    assert {(type(answer), answer.reason) for answer in answers} == {(SessionEnded, EndReason.REJECTED)}
    assert pve.renewals == 1
    with ended(EndReason.REJECTED):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 0
    assert (await raw(store, "GET", ended_key(store, made))).split()[0] == b"rejected"


TROUBLES = [Unreachable(), BadAnswer(), RequestRefused(400)]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: type(one).__name__)
async def test_trouble_while_renewing_ends_nothing(sessions, pve, caplog, trouble):
    """Any other trouble at the renewal leaves the session its old ticket, and is one audit event without it."""
    caplog.set_level(logging.INFO)
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.trouble = trouble
    tickets = await asyncio.gather(*(lend(sessions, made) for _ in range(20)))
    assert {number_of(one) for one in tickets} == {1}
    assert await sessions.read(made.id) == made
    events = [line for record in caplog.records if "event=renewal-failed" in (line := record.getMessage())]
    assert len(events) == 1
    assert f"outcome={type(trouble).__name__}" in events[0]
    assert "principal=alice@pve" in events[0]
    assert made.fingerprint in events[0]
    assert not any(word in caplog.text for word in (*SECRETS, made.id, made.hash))


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: type(one).__name__)
async def test_trouble_is_not_asked_again_at_once(store, keys, pve, monkeypatch, trouble):
    """While Proxmox cannot renew it is not asked again with every request, on any replica, and nobody waits."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 600)
    one, other = replicas(store, keys, pve)
    made = await one.create(ticket(age=1800), **WHERE)
    pve.trouble = trouble
    async with asyncio.timeout(30):
        for sessions in [one, other] * 10:
            assert number_of(await lend(sessions, made)) == 1
    assert pve.renewals == 1
    assert 0 < await raw(store, "PTTL", lock_key(store, made)) <= module.LOCK_MS


async def test_asked_again_after_the_pause(sessions, store, pve):
    """When the pause after a failed renewal is over the next use renews the ticket."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.trouble = Unreachable()
    await lend(sessions, made)
    pve.trouble = None
    assert number_of(await lend(sessions, made)) == 1
    await raw(store, "DEL", lock_key(store, made))
    assert number_of(await lend(sessions, made)) == 102


async def test_waiting_at_another_replica_ends_with_its_failure(store, keys, pve, monkeypatch):
    """Who waits for another replica's renewal goes on with the old ticket as soon as that has failed."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 600)
    one, other = replicas(store, keys, pve)
    made = await one.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    first = asyncio.create_task(lend(one, made))
    await asyncio.wait_for(pve.asked.wait(), 5)
    second = asyncio.create_task(lend(other, made))
    await asyncio.sleep(0.1)
    assert not second.done()
    pve.trouble = Unreachable()
    pve.go.set()
    lent = await asyncio.wait_for(asyncio.gather(first, second), 10)
    assert {number_of(one) for one in lent} == {1}
    assert pve.renewals == 1


async def test_store_that_goes_away_while_renewing(sessions, store, pve, monkeypatch):
    """A store that goes away in the middle of a renewal is told as that, and the session is there afterwards."""
    made = await sessions.create(ticket(age=1800), **WHERE)
    pve.go.clear()
    asking = asyncio.create_task(lend(sessions, made))
    await asyncio.wait_for(pve.asked.wait(), 5)

    async def down(_, **more):
        raise StoreUnavailable

    monkeypatch.setattr(store, "run", down)
    pve.go.set()
    with pytest.raises(StoreUnavailable):
        await asking
    monkeypatch.undo()
    assert await sessions.read(made.id) == made


async def test_renewed_record_is_sealed_with_the_first_key(store, pve):
    """Renewal seals the record with the newest key."""
    old = Sessions(store, KeyRing(SecretStr(OLD)), pve, LIMITS)
    both = Sessions(store, KeyRing(SecretStr(f"{NEW},{OLD}")), pve, LIMITS)
    made = await old.create(ticket(age=1800), **WHERE)
    await lend(both, made)
    key = record_key(store, made)
    record = unseal(await raw(store, "GET", key), KeyRing(SecretStr(NEW)), made.id, key)
    assert number_of(record.credential) == 101


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
