"""What of a store's own settings may cost sessions: told at the start and by `proxgate check`, and keeps nobody out."""

import asyncio
import logging

import pytest
from pydantic import SecretStr

from services.store.connection import Store
from services.store.worries import tell_outages, tell_worries, worries
from tests import harness, stores


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Valkey of this module's own."""
    with stores.redis_server(tmp_path_factory.mktemp("worries"), program=stores.valkey_program()) as running:
        yield running


@pytest.fixture
async def store(server):
    """That Valkey as our store."""
    opened = Store.open(SecretStr(server.url))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-random"])
async def test_a_policy_that_drops_sessions(store, server, policy):
    """Every eviction policy but noeviction is told, with its name and the mend."""
    assert await worries(store) == ()
    server.do("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        (told,) = await worries(store)
    finally:
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert policy in told
    assert "set noeviction" in told


@pytest.mark.parametrize(
    ("url", "exposed"),
    {
        "redis://store.example": True,
        "redis://192.0.2.7:6379/0": True,
        "rediss://store.example?ca_file=/ca.pem": True,
        "redis+sentinel://one,two/service?sentinel_password=SECRET": True,
        "redis+cluster://127.0.0.1,192.0.2.7": True,
        "redis://[2001:db8::1]": True,
        "redis://:SECRET@store.example": False,
        "rediss://store.example?cert_file=/own.pem&key_file=/own.pem": False,
        "redis+sentinel://:SECRET@one,two/service": False,
        "redis+cluster://:SECRET@192.0.2.7": False,
        "redis://localhost": False,
        "redis://[::1]": False,
        "redis+cluster://127.0.0.1,127.0.0.2": False,
        "unix:///run/store.sock": False,
    }.items(),
)
async def test_who_may_use_it(url, exposed):
    """Exposed is a store on a network address that asks neither for a password nor for a certificate."""
    store = Store.open(SecretStr(url))
    assert store.exposed is exposed
    await store.aclose()


async def test_an_open_store_is_told(server):
    """A store that anybody on the network may use is told with its mend."""
    store = Store.open(SecretStr(server.url))
    store.exposed = True
    (told,) = await worries(store)
    assert "give it a password" in told
    await store.aclose()


async def test_told_once_it_is_up(tmp_path, caplog):
    """A store that comes up later is asked then, and each worry is logged once."""
    late = stores.Server(tmp_path / "late", "--maxmemory-policy", "allkeys-lfu", program=stores.valkey_program())
    store = Store.open(SecretStr(late.url))
    with caplog.at_level(logging.WARNING):
        telling = asyncio.create_task(tell_worries(store))
        await asyncio.sleep(0.2)
        assert not telling.done()
        with stores.running(late):
            await asyncio.wait_for(telling, 20)
    assert [line.getMessage() for line in caplog.records if "allkeys-lfu" in line.getMessage()] == [
        "the store: its eviction policy allkeys-lfu may drop sessions; set noeviction"
    ]
    await store.aclose()


def test_the_program_tells(server, sim):
    """The program starts on a store that may drop sessions, and says so once."""
    server.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        settings = {"REDIS_URL": server.url, "SESSION_SECRET": harness.SECRET, **harness.for_proxmox(sim)}
        with harness.proxgate(**settings) as up:
            harness.until(lambda: "allkeys-lru may drop sessions" in up.output(), 20)
            assert up.output().count("allkeys-lru") == 1
    finally:
        server.do("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_an_outage_is_told_and_its_end(tmp_path, caplog):
    """A store that stops serving, and one that is back, is told once each, however long it takes."""
    shaky = stores.Server(tmp_path / "shaky", program=stores.valkey_program())
    store = Store.open(SecretStr(shaky.url))

    def told():
        return [line.getMessage() for line in caplog.records if line.name == "services.store.worries"]

    async def until(words):
        async with asyncio.timeout(30):
            while told() != words:
                await asyncio.sleep(0.05)

    with caplog.at_level(logging.INFO), stores.running(shaky):
        telling = asyncio.create_task(tell_outages(store))
        await asyncio.sleep(0.5)
        assert told() == []
        shaky.kill()
        gone = "the store: it cannot be connected to; look at REDIS_URL"
        await until([gone])
        await asyncio.sleep(2.5)
        shaky.start()
        await until([gone, "the store is back"])
        telling.cancel()
    await store.aclose()
