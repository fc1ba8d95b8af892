"""The same work on every kind of store, each time as the user of the README: who may do no more, on our keys alone."""

import asyncio
import contextlib
import time
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from services.anchors import Anchors
from services.audit import Audit, Event, Kind
from services.auth.limiter import PER_ACCOUNT, Limiter
from services.auth.pending import Pending
from services.errors import (
    CodeRefused,
    EndReason,
    InvalidCredentials,
    SessionEnded,
    StepExpired,
    StoreUnavailable,
    TooManyAttempts,
)
from services.proxmox import Address, Anchor, ApiToken, Challenge, Factors, Peer
from services.sessions import Limits, Sessions, new_id
from services.store.clients import CONNECTIONS
from services.store.connection import Store
from tests import stores
from tests.privileges import set_user

PREFIX = "proxgate:"
USER, USERS_PASSWORD = "proxgate", "p@ss/w:rd%41"
TOKEN = ApiToken(tokenid="alice@pve!dash", secret=SecretStr("s"))
WHERE = {"address": "192.0.2.7", "agent": "Firefox"}
ANCHOR = Anchor(fingerprint=":".join(["AB"] * 32))

pytestmark = [pytest.mark.usefixtures("redis_is_here"), pytest.mark.slow]


@contextlib.contextmanager
def behind_a_socket(directory):
    """A Redis on a unix socket, which listens on its port too."""
    socket = directory / "s"
    with stores.redis_server(directory, "--unixsocket", str(socket), password=stores.PASSWORD) as server:
        yield server, f"unix://{quote(str(socket))}"


@contextlib.contextmanager
def addressed(group):
    """A group, and its address."""
    with group as opened:
        yield opened, opened.url


KINDS = {
    "redis": lambda place, tls: addressed(stores.redis_server(place, password=stores.PASSWORD)),
    "valkey": lambda place, tls: addressed(
        stores.redis_server(place, program=stores.valkey_program(), password=stores.PASSWORD)
    ),
    "socket": lambda place, tls: behind_a_socket(place),
    "tls": lambda place, tls: addressed(stores.redis_server(place, password=stores.PASSWORD, tls=tls)),
    "sentinel": lambda place, tls: addressed(stores.sentinel_group(place)),
    "sentinel-tls": lambda place, tls: addressed(stores.sentinel_group(place, tls=tls)),
    "cluster": lambda place, tls: addressed(stores.cluster(place)),
    "cluster-tls": lambda place, tls: addressed(stores.cluster(place, tls=tls)),
}


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Certificates for servers and for us."""
    return stores.Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def place(request, tls, tmp_path_factory, redis_is_here):
    """A store of each kind in turn, and its address for the user of the README."""
    with request.param(tmp_path_factory.mktemp("k"), tls) as (group, url):
        for server in group.servers:
            with server.admin() as admin:
                admin.execute_command(*set_user(USER, USERS_PASSWORD, PREFIX).split())
        yield group, stores.as_user(url, USER, USERS_PASSWORD)


@pytest.fixture
async def store(place):
    """That store, empty."""
    group, url = place
    opened = Store.open(SecretStr(url), PREFIX)
    await calm(opened)
    yield opened
    await opened.aclose()
    for server in group.servers:
        with contextlib.suppress(Exception):  # a replica refuses
            server.do("FLUSHALL")


async def calm(store):
    """Wait until what the test before has done to the servers, or their Sentinels, is over."""
    well, deadline = 0, time.monotonic() + 30
    while well < 3:
        assert time.monotonic() < deadline
        try:
            await store.run(lambda client: client.set(store.key("calm"), "x", ex=60))
            await store.eviction_policies()
            well += 1
        except StoreUnavailable:
            well = 0
        await asyncio.sleep(0.05)


@pytest.fixture
def sessions(store, keys):
    """The sessions in it."""
    return Sessions(store, keys, None, Limits())


# What the product does with a store


async def test_life_of_a_session(sessions):
    """Created, read, confirmed, listed and ended, a session lives on every kind of store."""
    made = await sessions.create(TOKEN, **WHERE, browser="a browser")
    assert (await sessions.read(made.id)).principal == TOKEN.tokenid
    assert (await sessions.confirm([made]))[made.hash].reason is None
    assert [one.hash for one in await sessions.list(TOKEN.tokenid)] == [made.hash]
    await sessions.end(made, EndReason.ENDED)
    assert (await sessions.confirm([made]))[made.hash].reason is EndReason.ENDED
    assert await sessions.list_all() == ()
    with pytest.raises(SessionEnded):
        await sessions.read(made.id)


async def test_many_sessions(sessions):
    """Sessions of many accounts, wherever they lie, are confirmed at once, all listed, and ended by account."""
    tokens = [ApiToken(tokenid=f"user{number}@pve!t", secret=SecretStr("s")) for number in range(20)]
    made = [await sessions.create(token, **WHERE) for token in tokens for _ in range(2)]
    assert {life.reason for life in (await sessions.confirm(made)).values()} == {None}
    assert {one.hash for one in await sessions.list_all()} == {one.hash for one in made}
    assert await sessions.end_all("user0@pve!t") == 2
    assert len(await sessions.list_all()) == len(made) - 2


async def test_one_session_a_browser(sessions):
    """A browser's next session ends the one before."""
    before = await sessions.create(TOKEN, **WHERE, browser="a browser")
    after = await sessions.create(TOKEN, **WHERE, browser="a browser")
    assert [one.hash for one in await sessions.list_all()] == [after.hash]
    with pytest.raises(SessionEnded):
        await sessions.read(before.id)


async def test_limits_of_sign_ins(store):
    """Failed sign-ins are counted, and devices known, on every kind of store."""
    limiter = Limiter(store)
    for _ in range(PER_ACCOUNT):
        with pytest.raises(InvalidCredentials):
            async with limiter.attempt("alice@pve", "192.0.2.7"):
                raise InvalidCredentials
    with pytest.raises(TooManyAttempts):
        async with limiter.attempt("alice@pve", "192.0.2.7"):
            pass
    await limiter.remember("alice@pve", "a device")
    async with limiter.attempt("alice@pve", "192.0.2.7", "a device"):
        pass
    async with limiter.errand("192.0.2.7", "sso") as name:
        await limiter.arrived("sso", name)


async def test_anchors(store, keys):
    """What is trusted is kept, found and forgotten on every kind of store; of two who redeem at once one wins."""
    anchors = Anchors(store, keys)
    for number in range(10):  # over all servers of a Cluster
        code = await anchors.offer(f"pve{number}:8006", ANCHOR.fingerprint)
        results = await asyncio.gather(*(anchors.redeem(code) for _ in range(2)), return_exceptions=True)
        assert sorted(map(type, results), key=str) == sorted((str, CodeRefused), key=str)
    await anchors.keep("other:8006", ANCHOR)
    assert await anchors.forget("pve0:8006")
    assert set(await anchors.read()) == {*(f"pve{number}:8006" for number in range(1, 10)), "other:8006"}


async def test_sign_ins_under_way(store, keys):
    """Half a login is found again, and forgotten, on every kind of store."""
    pending, id = Pending(store, keys), new_id()
    challenge = Challenge(
        userid="bob@pve",
        ticket=SecretStr('PVE:!tfa!{"totp"%3Atrue}:6B03F88F::SIGNATURE'),
        factors=Factors(totp=True),
        peer=Peer(address=Address(host="pve.example", port=8006), ip="192.0.2.2"),
        issued=time.time(),
    )
    await pending.keep_challenge(id, "a browser", challenge)
    assert await pending.challenge(id, "a browser") == challenge
    await pending.forget_challenge(id, "a browser")
    with pytest.raises(StepExpired):
        await pending.challenge(id, "a browser")


async def test_audit(store, keys):
    """An account's last events are kept on every kind of store."""
    audit = Audit(store, keys)
    for kind in (Kind.SIGN_IN, Kind.FAILURE):
        await audit.note(Event(kind=kind, principal="alice@pve", address="192.0.2.7"))
    assert {event.kind for event in await audit.recent("alice@pve")} == {Kind.SIGN_IN, Kind.FAILURE}


# What the store offers


async def test_scan(store):
    """Every key of a pattern is found, once, in however many batches and on however many servers it lies."""
    wanted = [store.key("index", str(number)) for number in range(2400)]

    def fill(names):
        async def fill(client):
            async with client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.set(name, "", ex=60)
                await pipe.execute()

        return store.run(fill)

    for first in range(0, len(wanted), 200):
        await fill(wanted[first : first + 200])
    await fill([store.key("other", "1")])
    found = [name async for name in store.scan("index:*")]
    assert len(found) == len(wanted)
    assert set(found) == set(wanted)


async def test_a_word_to_all(store, place):
    """What one replica publishes reaches those that listen on that channel, and no others."""
    other = Store.open(SecretStr(place[1]), PREFIX)
    async with heard(store, "ended") as words, heard(other, "ended") as others, heard(store, "else") as strangers:
        await say(store, b"hash \xff\r\nreason", lambda: words and others)
        assert set(words + others) == {b"hash \xff\r\nreason"}
        assert strangers == []
    await other.aclose()


@contextlib.asynccontextmanager
async def heard(store, channel):
    """The list of what has come so far."""
    words = []

    async def listen():
        while True:
            with contextlib.suppress(StoreUnavailable):  # on a busy machine
                async for word in store.listen(channel):
                    words.append(word)

    listening = asyncio.create_task(listen())
    try:
        yield words
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def say(store, word, until):
    """Publish until a condition holds."""
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        with contextlib.suppress(StoreUnavailable):
            await store.publish("ended", word)
        await asyncio.sleep(0.05)


async def test_whoever_listens_learns_of_a_loss(store, place):
    """A connection that the server closed is an outage for whoever listens on it: what was missed, nobody knows."""

    async def listen():
        async for _ in store.listen("ended"):
            pass

    listening = asyncio.create_task(listen())
    deadline = time.monotonic() + 20
    while not listening.done():
        assert time.monotonic() < deadline
        for server in place[0].servers:
            server.do("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.05)
    assert isinstance(listening.exception(), StoreUnavailable)


async def test_nobody_listens_for_nothing(store, place):
    """Whoever stops listening leaves no connection behind."""
    async with heard(store, "ended") as words:
        await say(store, b"word", lambda: words)
    deadline = time.monotonic() + 20
    while any(_listeners(server) for server in place[0].servers):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _listeners(server):
    return dict(zip(*[iter(server.do("PUBSUB", "NUMSUB", f"{PREFIX}ended"))] * 2, strict=True)).popitem()[1]


async def test_eviction_policy(store, place):
    """The eviction policy is told, of a Cluster that of every server."""
    assert await store.eviction_policies() == {"noeviction"}
    last = place[0].servers[-1]
    if hasattr(place[0], "sentinels"):
        last = place[0].primary()
    last.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert "allkeys-lru" in await store.eviction_policies()
    finally:
        last.do("CONFIG", "SET", "maxmemory-policy", "noeviction")


# What holds on every kind


async def test_answers_belong_to_their_questions(store):
    """Operations cancelled anywhere on their way, alone or in pipelines, leave no answer behind for the next."""

    async def pair(number):
        key = store.key(str(number))

        async def operation(client):
            if number % 3:
                await client.set(key, str(number), ex=60)
                return await client.get(key)
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(key, str(number), ex=60)
                pipe.get(key)
                return (await pipe.execute())[1]

        return number, await store.run(operation, settle=number % 5 == 0)

    answered, turn, deadline = 0, 0, time.monotonic() + 60
    while turn < 10 or (answered < 100 and time.monotonic() < deadline):
        turn += 1
        asks = [asyncio.create_task(pair(number)) for number in range(60)]
        await asyncio.sleep(0.002 * (turn % 10))
        for ask in asks[::2]:
            ask.cancel()
        results = [one for one in await asyncio.gather(*asks, return_exceptions=True) if isinstance(one, tuple)]
        answered += len(results)
        assert [value for _, value in results] == [str(number).encode() for number, _ in results]
    assert answered >= 100


async def test_connections_are_bounded(store, place):
    """However many ask at once, no server has more connections of ours than it may."""

    def write(number):
        return store.run(lambda client: client.set(store.key(str(number)), "x", ex=60))

    for _ in range(2):  # a busy machine may be too slow for some of them
        await asyncio.gather(*(write(number) for number in range(300)), return_exceptions=True)
    for server in place[0].servers:
        with server.admin() as admin:
            ours = [one for one in admin.client_list() if one["user"] == USER]
        assert len(ours) <= CONNECTIONS


async def test_closed_connections_cost_nobody_an_error(store, place):
    """Connections that the servers closed while idle cost the next operations nothing."""

    async def write_some():
        writes = [store.run(lambda client, n=n: client.set(store.key(str(n)), "x", ex=60)) for n in range(8)]
        return [one for one in await asyncio.gather(*writes, return_exceptions=True) if isinstance(one, Exception)]

    async def closed_meanwhile():
        await calm(store)  # where a busy machine stalls, Sentinels doubt their primary for a while
        await write_some()
        for server in place[0].servers:
            server.do("CLIENT", "KILL", "USER", USER)
        return await write_some()

    troubles = [await closed_meanwhile() for _ in range(5)]
    assert [] in troubles  # a busy machine may be too slow for one of them


async def test_no_more_than_our_own(place):
    """The user of the README can neither see nor write what is not ours, nor command the store."""
    store = Store.open(SecretStr(place[1]), PREFIX)
    await calm(store)
    for command in (("SET", "other", "x"), ("GET", "other"), ("INCR", f"{PREFIX}x"), ("KEYS", "*"), ("FLUSHALL",)):
        with pytest.raises(StoreUnavailable, match="NoPermission"):
            await store.run(lambda client, command=command: client.execute_command(*command))
    elsewhere = Store.open(SecretStr(place[1]), "other:")
    with pytest.raises(StoreUnavailable, match="NoPermission"):
        await elsewhere.publish("ended", b"word")
    for one in (store, elsewhere):
        await one.aclose()
