"""What redis-py has for each kind of store, behind one face: whatever differs between the kinds stands here."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from services.store.address import Kind, Node, StoreAddress, wrong_address
from services.store.tls import TlsConnection, WatchedTlsConnection

CONNECTIONS = 32
"""At once; of a Cluster, to each of its servers."""

_CLASSES: dict[tuple[Kind, bool], type[AbstractConnection]] = {
    (Kind.SOCKET, False): UnixDomainSocketConnection,
    (Kind.SERVER, False): Connection,
    (Kind.SERVER, True): TlsConnection,
    (Kind.SENTINEL, False): SentinelManagedConnection,
    (Kind.SENTINEL, True): WatchedTlsConnection,
}
"""How a server of each kind is connected to, without TLS and with it."""

_SENTINEL_SECONDS = 0.3
"""For so long one Sentinel is waited for, so that there is time left for the next."""


def open_client(address: StoreAddress, deadline: float) -> Redis:
    """A client of any kind; it connects at first use. Raises SettingsError where the address has a wrong parameter.

    What operations of ours use of a RedisCluster is spelt as in Redis, and so it passes for one.
    """
    # A connection that the server closed meanwhile costs nobody an error, and there is no waiting in between.
    options: dict[str, Any] = {
        **address.options,
        "socket_timeout": deadline,
        "socket_connect_timeout": deadline,
        "protocol": 2,  # nothing to say at the start of a connection, least of all about maintenance
        "driver_info": None,
        "retry": Retry(NoBackoff(), 1),
    }
    try:
        match address.kind:
            case Kind.SERVER | Kind.SOCKET:
                return _pooled(ConnectionPool(_CLASSES[address.kind, address.tls], **options))
            case Kind.SENTINEL:
                return _pooled(_watched(address, options))
            case Kind.CLUSTER:
                return cast(Redis, _cluster(address, options))
    except (ValueError, TypeError, RedisError):
        raise wrong_address() from None


def _pooled(pool: ConnectionPool) -> Redis:
    pool.make_connection()  # connects nothing, and knows every wrong parameter
    return Redis(connection_pool=pool)


class _Sentinels(Sentinel):
    """Asked once for all who want to know at the same time: after a failover that is every connection."""

    _asking: asyncio.Future[Node] | None = None

    async def discover_master(self, service_name: str) -> Node:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask(service_name))
            self._asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._asking)

    async def _ask(self, service_name: str) -> Node:
        return cast(Node, await super().discover_master(service_name))


def _watched(address: StoreAddress, options: dict[str, Any]) -> SentinelConnectionPool:
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    sentinel = _Sentinels(
        address.nodes,
        sentinel_kwargs={
            **tls,
            **address.sentinel_login,
            "ssl": address.tls,
            "socket_timeout": _SENTINEL_SECONDS,
            "socket_connect_timeout": _SENTINEL_SECONDS,
            "protocol": 2,
            "driver_info": None,
            "retry": Retry(NoBackoff(), 1),
        },
    )
    for one in sentinel.sentinels:
        one.connection_pool.connection_class = _CLASSES[Kind.SERVER, address.tls]
    how = _CLASSES[address.kind, address.tls]
    return SentinelConnectionPool(address.service, sentinel, connection_class=how, **options)


def _cluster(address: StoreAddress, options: dict[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in address.nodes]
    # Twice as many as are used at once: one that breaks is put back only a little later.
    client = RedisCluster(startup_nodes=nodes, ssl=address.tls, max_connections=2 * CONNECTIONS, **options)
    if address.tls:  # the nodes that it finds, and those that it starts with
        client.connection_kwargs["connection_class"] = TlsConnection
        for node in client.nodes_manager.startup_nodes.values():
            node.connection_class = TlsConnection
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class(**node.connection_kwargs)  # connects nothing, and knows every wrong parameter
    return client


def is_one_server(client: Redis) -> bool:
    """Whether all keys lie on one server, so that a script may look at any of them together."""
    return not isinstance(client, RedisCluster)


async def close_client(client: Redis) -> None:
    """Close every connection."""
    if isinstance(client, RedisCluster):
        await client.aclose()
        for nodes in ("nodes_cache", "startup_nodes"):  # it leaves them open where it has just lost one
            await client.nodes_manager.aclose(nodes)
        return
    await client.aclose(close_connection_pool=True)
    if isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()


async def look_again(client: Redis) -> None:
    """Find out anew which server of a Cluster has which keys; the other kinds do so by themselves.

    A silent server is not told from a slow one by our deadlines, and redis-py would ask it for ever.
    """
    if isinstance(client, RedisCluster):
        with suppress(RedisError, RedisClusterException, OSError):  # the next failure looks again
            await client.nodes_manager.initialize()


async def drop_idle(client: Redis) -> None:
    """Close the connections that nobody uses just now: one of them answers out of turn."""
    if isinstance(client, RedisCluster):
        for node in client.get_nodes():
            await node.disconnect_free_connections()
        return
    await client.connection_pool.disconnect(inuse_connections=False)


def one_server(client: Redis) -> bool:
    """Whether all keys are in one place, and not spread over the slots of a Cluster."""
    return not isinstance(client, RedisCluster)


async def find_primary(client: Redis) -> None:
    """Ask the Sentinels for the primary, and leave the connections to any other. Silent ones tell nothing."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_SENTINEL_SECONDS):
                await pool.get_master_address()


async def primaries(client: Redis) -> Sequence[Any]:
    """Whom to ask about all that is there, each with an `execute_command`: one, or every primary of a Cluster."""
    if isinstance(client, RedisCluster):
        await client.initialize()
        return client.get_primaries()
    return (client,)


async def connection_of_its_own(client: Redis) -> AbstractConnection:
    """Connected, outside the bounds of the others; to be closed by the caller with `disconnect`."""
    if isinstance(client, RedisCluster):
        await client.initialize()
        node = client.get_random_primary_node()
        connection = node.connection_class(**node.connection_kwargs)
    else:
        connection = client.connection_pool.make_connection()
    try:
        await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


# Replicas


class _Lender(ConnectionPool):
    """A pool of the one connection that it was given."""

    def __init__(self, pool: ConnectionPool, connection: AbstractConnection) -> None:
        super().__init__(**pool.connection_kwargs)
        self._connection = connection

    async def get_connection(self, *_: Any, **__: Any) -> AbstractConnection:
        await self._connection.connect()
        return self._connection

    async def release(self, connection: AbstractConnection) -> None:
        """It is the borrower's for longer than one command."""


def may_fail_over(client: Redis) -> bool:
    """Whether a replica may take the primary's place, and then lacks what it had not heard of."""
    return isinstance(getattr(client, "connection_pool", None), SentinelConnectionPool)


@asynccontextmanager
async def one_connection(client: Redis) -> AsyncGenerator[tuple[Redis, AbstractConnection]]:
    """The same store with all commands over one connection, and that connection."""
    pool = client.connection_pool
    connection = await pool.get_connection()
    try:
        yield Redis(connection_pool=_Lender(pool, connection)), connection
    finally:
        await pool.release(connection)


async def reached_a_replica(connection: AbstractConnection, milliseconds: int) -> bool:
    """Whether one replica at least has what was written over this connection; waits for so long.

    Never over a new connection: nothing was written there, and so all of nothing has reached every replica.
    """
    if not connection.is_connected:
        return False
    await connection.send_command("WAIT", 1, milliseconds)
    replicas = cast(int, await connection.read_response())
    return replicas >= 1
