"""A store that loses a server: it serves again by itself, and a session made before is there after."""

import asyncio
import contextlib
import time

import pytest
from pydantic import SecretStr
from redis.asyncio.sentinel import Sentinel
from redis.crc import key_slot

from services.errors import EndReason, SessionEnded, StoreUnavailable
from services.proxmox import ApiToken
from services.sessions import Limits, Sessions
from services.store.connection import Store
from tests import harness, stores

TOKEN = ApiToken(tokenid="alice@pve!dash", secret=SecretStr("s"))
WHERE = {"address": "192.0.2.7", "agent": "Firefox"}
WITHIN = 15.0
"""Seconds after which the store must be back."""

pytestmark = [pytest.mark.usefixtures("redis_is_here"), pytest.mark.slow]


@contextlib.asynccontextmanager
async def opened(group):
    """The store at a group's address."""
    store = Store.open(SecretStr(group.url))
    try:
        yield store
    finally:
        await store.aclose()


async def back(operation):
    """Wait until an operation succeeds again; its answer, and how many seconds it took."""
    started = time.monotonic()
    while True:
        try:
            return await operation(), time.monotonic() - started
        except StoreUnavailable:
            assert time.monotonic() - started < 60, "it does not come back"
            await asyncio.sleep(0.05)


async def in_thread(work):
    """Work that would keep the event loop waiting."""
    return await asyncio.to_thread(work)


def write(store, name, value="x", **how):
    """Write one key of ours."""
    return store.run(lambda client: client.set(store.key(name), value, ex=60), **how)


# Sentinel


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A primary with a replica, and three Sentinels; no test takes the primary away."""
    with stores.sentinel_group(tmp_path_factory.mktemp("calm")) as running:
        yield running


async def test_one_sentinel_is_enough(calm):
    """With two of three Sentinels dead, one of them silent, the store is found by the third."""
    calm.sentinels[0].pause()
    calm.sentinels[1].kill()
    try:
        async with opened(calm) as store:
            _, took = await back(store.ping)
            assert took < WITHIN
    finally:
        calm.sentinels[0].resume()
        calm.sentinels[1].start()


async def test_settled(calm, caplog):
    """A write that shall settle is on the replica when it returns; without one it returns all the same, and is told."""
    replica = next(one for one in calm.servers if one is not calm.primary())
    async with opened(calm) as store:
        for number in range(50):
            await write(store, f"settled{number}", settle=True)
            assert replica.do("EXISTS", store.key(f"settled{number}")) == 1
        assert "no replica" not in caplog.text
        replica.pause()
        try:
            for _ in range(2):
                await write(store, "alone", settle=True)
            assert caplog.text.count("no replica of the store confirms") == 1
        finally:
            replica.resume()


async def test_sentinels_are_asked_once(calm, monkeypatch):
    """Of many who connect at once only some ask the Sentinels: in a failover these have other work."""
    ask, asked = Sentinel.discover_master, []

    async def counted(sentinel, name):
        asked.append(name)
        return await ask(sentinel, name)

    monkeypatch.setattr(Sentinel, "discover_master", counted)
    async with opened(calm) as store:
        await asyncio.gather(*(store.run(lambda client: client.get("x")) for _ in range(30)), return_exceptions=True)
    assert 0 < len(asked) < 15


async def test_all_goes_over_one_connection(calm):
    """What settles goes over one connection, pipelines too: the wait is for what was written there."""
    async with opened(calm) as store:

        async def operation(client):
            async with client.pipeline(transaction=False) as pipe:
                pipe.execute_command("CLIENT", "ID")
                pipe.execute_command("CLIENT", "ID")
                ids = await pipe.execute()
            return [*ids, await client.execute_command("CLIENT", "ID")]

        found = await asyncio.gather(*(store.run(operation, settle=True) for _ in range(8)))
        assert [len(set(ids)) for ids in found] == [1] * 8


@pytest.fixture
def group(tmp_path):
    """A primary with a replica, and three Sentinels."""
    with stores.sentinel_group(tmp_path) as running:
        yield running


async def test_sentinels_name_another(group, keys):
    """With the primary killed the store is back in time; sessions made before are there, and those ended stay so."""
    async with opened(group) as store:
        sessions = Sessions(store, keys, None, Limits())
        made, ended = [await sessions.create(TOKEN, **WHERE) for _ in range(2)]
        await sessions.end(ended, EndReason.ENDED)
        old = group.primary()
        old.kill()
        with pytest.raises(StoreUnavailable):
            await sessions.read(made.id)
        found, took = await back(lambda: sessions.read(made.id))
        assert took < WITHIN
        assert found == made
        assert group.primary() is not old
        fresh = Sessions(store, keys, None, Limits())  # another replica of ours, which remembers nothing
        with pytest.raises(SessionEnded):
            await fresh.read(ended.id)
        assert await sessions.create(TOKEN, **WHERE)


async def test_sentinels_name_another_for_one_that_is_silent(group, keys):
    """A primary that keeps its connections and answers nothing is left for the new one in time."""
    async with opened(group) as store:
        sessions = Sessions(store, keys, None, Limits())
        made = await sessions.create(TOKEN, **WHERE)
        await asyncio.gather(*(sessions.read(made.id) for _ in range(20)))
        old = group.primary()
        old.pause()
        try:
            found, took = await back(lambda: sessions.read(made.id))
            assert took < WITHIN
            assert found == made
            _, took = await back(lambda: write(store, "written", "to the new one"))
            assert took < WITHIN
        finally:
            old.resume()
        for _ in range(20):
            assert await store.run(lambda client: client.get(store.key("written"))) == b"to the new one"


# A Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three primaries, the first with a replica."""
    with stores.cluster(tmp_path_factory.mktemp("c"), replicas=1) as running:
        yield running


async def test_slots_move(cluster):
    """Slots that move to another server, with what lies in them, cost nobody an error and no key."""
    async with opened(cluster) as store:
        names = [f"moved{number}" for number in range(8)]
        for name in names:
            await write(store, name, name)
        for name in names:
            await in_thread(lambda name=name: cluster.move_slot(key_slot(store.key(name).encode())))
            assert await store.run(lambda client, name=name: client.get(store.key(name))) == name.encode()

        async def all_at_once(client):
            async with client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.get(store.key(name))
                return await pipe.execute(raise_on_error=False)

        assert await store.run(all_at_once) == [name.encode() for name in names]


async def test_a_part_that_is_silent_ends_no_session(cluster, keys):
    """With one server of the Cluster silent nobody there is told to be signed out; its replica takes over in time."""
    async with opened(cluster) as store:
        sessions = Sessions(store, keys, None, Limits())
        made = [await sessions.create(TOKEN, **WHERE) for _ in range(12)]
        first = cluster.primaries[0]
        first.pause()
        try:
            seen, deadline = [], time.monotonic() + 60
            while not seen:
                assert time.monotonic() < deadline
                with contextlib.suppress(StoreUnavailable):
                    seen = [life.reason for life in (await sessions.confirm(made)).values()]
            assert set(seen) == {None}
            taken = time.monotonic() - (deadline - 60)
            assert taken < WITHIN
            assert [one.principal for one in [await sessions.read(one.id) for one in made]] == [TOKEN.tokenid] * 12
        finally:
            first.resume()


async def test_a_server_killed(cluster, keys):
    """With a server killed that has no replica the rest serves on, and those who lie there wait and are not ended."""
    await in_thread(lambda: harness.until(cluster.well, 30, every=0.1))
    async with opened(cluster) as store:
        sessions = Sessions(store, keys, None, Limits())
        made = [await sessions.create(TOKEN, **WHERE) for _ in range(12)]
        last = cluster.primaries[-1]
        last.kill()
        try:
            for one in made:
                with contextlib.suppress(StoreUnavailable):
                    await sessions.read(one.id)
            with pytest.raises(StoreUnavailable):
                await sessions.confirm(made)
        finally:
            last.start()
