"""The keys of the sessions: an unknown one opens nothing and costs nothing, and a rotation signs nobody out."""

import logging
from dataclasses import replace

import pytest
from pydantic import SecretStr

from services.errors import EndReason, KeyUnknown, StoreCorrupt, StoreUnavailable
from services.keys import KeyRing
from services.sessions import Sessions
from services.sessions.record import hash_id, sealed_with_first, unseal
from tests import harness
from tests.harness import PAGE
from tests.session_kit import LIMITS, NEW, OLD, WHERE, Pve, alive, ended, lend, names, raw, record_key, ticket


def ring(*secrets):
    return KeyRing(SecretStr(",".join(secrets)))


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def having(store, pve):
    """A program on the test's store that has these secrets."""
    return lambda *secrets: Sessions(store, ring(*secrets), pve, LIMITS)


async def value_of(store, session):
    """The sealed record."""
    return await raw(store, "GET", record_key(store, session))


# ------------------------------------------------------------------------------------------------- a key unknown here


async def test_unknown_key_is_no_damage(having, store, caplog):
    """A record sealed with a secret that we do not hold is refused and logged, and kept for those who hold it."""
    made = await having(OLD).create(ticket(), **WHERE)
    before = await value_of(store, made)
    stranger = having(NEW)
    for work in (
        lambda: stranger.read(made.id),
        lambda: stranger.read(made.id, touch=False),
        lambda: lend(stranger, made),
    ):
        with caplog.at_level(logging.ERROR), ended(EndReason.ENDED):
            await work()
    assert made.fingerprint in caplog.text
    assert made.id not in caplog.text
    assert made.hash not in caplog.text
    assert await value_of(store, made) == before
    assert await names(store, "ended") == []
    assert await having(OLD).read(made.id) == made
    assert await alive(stranger, [made]) == [made]


async def test_unknown_key_id_is_kept(having, store):
    """A record that names a key which nobody has ever had is refused like any unknown one, and not deleted."""
    sessions = having(NEW)
    made = await sessions.create(ticket(), **WHERE)
    value = await value_of(store, made)
    await raw(store, "SET", record_key(store, made), value[:1] + b"12345678" + value[9:], "KEEPTTL")
    with ended(EndReason.ENDED):
        await sessions.read(made.id)
    assert await raw(store, "EXISTS", record_key(store, made)) == 1


async def test_unknown_key_is_told_from_damage(having, store):
    """Sealed with an unknown key and damaged are two errors, and the first is a kind of the second."""
    made = await having(OLD).create(ticket(), **WHERE)
    key, value = record_key(store, made), await value_of(store, made)
    with pytest.raises(KeyUnknown):
        unseal(value, ring(NEW), made.id, key)
    for damaged in (value[:-1], value[:5], b"\x02" + value[1:], b""):
        with pytest.raises(StoreCorrupt) as caught:
            unseal(damaged, ring(NEW, OLD), made.id, key)
        assert type(caught.value) is StoreCorrupt


async def test_session_of_another_key_can_be_ended(having, store):
    """A session that we cannot open can still be ended by what the list's fields say of it."""
    made = await having(OLD).create(ticket(), **WHERE)
    await having(NEW).end_all("alice@pve")
    with ended(EndReason.ENDED):
        await having(OLD).read(made.id)


# ------------------------------------------------------------------------------------------------- sealed anew


async def test_sealed_anew_at_the_next_touch(having, store):
    """A session sealed with the older key is sealed with the first one at its next touch, with its new idle limit."""
    made = await having(OLD).create(ticket(), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    both = having(NEW, OLD)
    assert await both.read(made.id) == made
    assert sealed_with_first(await value_of(store, made), ring(NEW))
    assert 590 < await raw(store, "TTL", record_key(store, made)) <= 600
    assert await having(NEW).read(made.id) == made
    with ended(EndReason.ENDED):
        await having(OLD).read(made.id)


async def test_not_sealed_anew_without_a_touch(having, store):
    """A read without a touch, or for its credentials, leaves the record as it is, byte for byte."""
    made = await having(OLD).create(ticket(), **WHERE)
    before = await value_of(store, made)
    both = having(NEW, OLD)
    await both.read(made.id, touch=False)
    await lend(both, made)
    assert await value_of(store, made) == before


async def test_sealed_anew_once(having, store):
    """What the first key has sealed is not sealed again with every read."""
    made = await having(OLD).create(ticket(), **WHERE)
    both = having(NEW, OLD)
    await both.read(made.id)
    once = await value_of(store, made)
    await both.read(made.id)
    assert await value_of(store, made) == once


async def test_older_key_first_seals_with_it(having, store):
    """With the new secret behind the old one, as replicas learn of it one by one, nothing is sealed with it yet."""
    made = await having(OLD).create(ticket(), **WHERE)
    before = await value_of(store, made)
    await having(OLD, NEW).read(made.id)
    assert await value_of(store, made) == before


async def test_sealed_anew_by_renewal(having, store, pve):
    """A renewal seals the record with the first key, keeps its idle limit, and the new key alone reads it."""
    made = await having(OLD).create(ticket(age=1800), **WHERE)
    await raw(store, "EXPIRE", record_key(store, made), 100)
    await lend(having(NEW, OLD), made)
    assert pve.renewals == 1
    assert await raw(store, "TTL", record_key(store, made)) <= 100
    assert await having(NEW).read(made.id) == made


async def test_sealing_anew_overwrites_nothing(having, store, monkeypatch):
    """A record that was renewed between the read and the sealing anew keeps its new ticket."""
    made = await having(OLD).create(ticket(), **WHERE)
    both = having(NEW, OLD)
    seal_anew = both._records._seal_anew

    async def late(id, before, record):
        await both._records.rewrite(id, replace(record, credential=ticket(number=7)))
        await seal_anew(id, before, record)

    monkeypatch.setattr(both._records, "_seal_anew", late)
    await both.read(made.id)
    assert "7:" in (await lend(both, made)).csrf_token.get_secret_value()


async def test_sealing_anew_brings_nothing_back(having, store, monkeypatch):
    """A session that ended between the read and the sealing anew stays gone, off its list too."""
    old, both = having(OLD), having(NEW, OLD)
    made = await old.create(ticket(), **WHERE)
    seal_anew = both._records._seal_anew

    async def late(id, before, record):
        await old.end(made, EndReason.SIGNED_OUT)
        await seal_anew(id, before, record)

    monkeypatch.setattr(both._records, "_seal_anew", late)
    with ended():
        await both.read(made.id)
    assert await names(store, "session") == []
    assert await names(store, "index") == []
    with ended():  # for want of the list, or by the sign-out: whichever it saw first
        await both.read(made.id)


@pytest.mark.parametrize("what", ["Records", "Index"])
async def test_sealing_anew_that_fails(having, store, monkeypatch, what):
    """A store that takes no writes, being full, keeps nobody out of a session sealed with the older key."""
    made = await having(OLD).create(ticket(), **WHERE)
    both, run = having(NEW, OLD), store.run

    async def full(operation, **_):
        if operation.__qualname__.startswith(what) and operation.__name__ == "replace":
            raise StoreUnavailable("OOM")
        return await run(operation)

    monkeypatch.setattr(store, "run", full)
    assert await both.read(made.id) == made
    monkeypatch.undo()
    assert await both.read(made.id) == made
    assert await having(NEW).read(made.id) == made


@pytest.mark.parametrize("by", ["touch", "renewal"])
async def test_list_goes_along(having, store, by):
    """A session that was sealed anew is listed by the new key alone as before, with its start, address and agent."""
    made = await having(OLD).create(ticket(age=1800), **WHERE)
    before = await having(OLD).list("alice@pve")
    index = having(OLD)._index.key("alice@pve")
    ends = await raw(store, "EXPIRETIME", index)
    both = having(NEW, OLD)
    await (both.read(made.id) if by == "touch" else lend(both, made))
    (listed,) = await having(NEW).list("alice@pve")
    assert (listed.hash, listed.started, listed.address, listed.agent) == (
        made.hash,
        before[0].started,
        WHERE["address"],
        WHERE["agent"],
    )
    assert await raw(store, "EXPIRETIME", index) == ends


async def test_session_outlives_its_index_entrys_key(having, store):
    """A session whose entry the new key cannot read, as somebody put it back, can still be ended by its owner."""
    made = await having(OLD).create(ticket(age=1800), **WHERE)
    index = having(OLD)._index.key("alice@pve")
    entry = await raw(store, "HGET", index, made.hash)
    await lend(having(NEW, OLD), made)
    await raw(store, "HSET", index, made.hash, entry)
    new = having(NEW)
    assert await new.read(made.id)
    await new.end_all("alice@pve")
    with ended():
        await new.read(made.id)


# ------------------------------------------------------------------------------------- the program, three times


def test_rotation_without_a_logout(sim, valkey_url):
    """Through a whole rotation, old secret, new and old, new alone, a browser stays in the one session that it has."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "rotation:", **harness.for_proxmox(sim)}
    with harness.admin(valkey_url) as store:
        cookies, values = [], []
        for secrets in (OLD, f"{NEW},{OLD}", NEW):
            with harness.proxgate(SESSION_SECRET=secrets, **settings) as running, running.client() as jar:
                if cookies:
                    jar.cookies.set("proxgate", cookies[-1], domain="localhost.local", path="/")
                else:
                    assert harness.sign_in(jar).status_code == 200
                for _ in range(2):
                    answer = jar.get("/", headers=PAGE)
                    assert answer.status_code == 200
                    assert "root@pam" in answer.text
                given = [cookie.value for cookie in jar.cookies.jar if cookie.name == "proxgate"]
                cookies.append(given[-1])
                (key,) = store.keys("rotation:session:*")
                values.append(store.get(key))
    first, second, third = cookies
    assert first.split(".")[:2] == second.split(".")[:2] == third.split(".")[:2]
    assert first != second
    assert second == third
    assert [value[1:9] for value in values] == [ring(one).first.id for one in (OLD, NEW, NEW)]


def test_secret_changed_without_a_rotation(sim, valkey_url):
    """With the secret simply replaced the old cookie opens nothing, and the session is there when it is put back."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "replaced:", **harness.for_proxmox(sim)}
    with harness.admin(valkey_url) as store:
        cookie = None
        for secrets, status in ((OLD, 200), (NEW, 303), (OLD, 200)):
            with harness.proxgate(SESSION_SECRET=secrets, **settings) as running, running.client() as jar:
                if cookie is None:
                    assert harness.sign_in(jar).status_code == 200
                    cookie = jar.cookies["proxgate"]
                headers = {**PAGE, "Cookie": f"proxgate={cookie}"}
                jar.cookies.clear()
                assert jar.get("/", headers=headers).status_code == status
                hash = hash_id(cookie.partition(".")[0])
                assert store.keys("replaced:session:*") == [f"replaced:session:{{{hash}}}".encode()]
