"""The addresses of REDIS_URL: one server, a group watched by Sentinels, or a Cluster.

    redis://[user:password@]host[:port][/db]           rediss:// for TLS
    unix://[user:password@]/path
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]
    redis+cluster://[user:password@]host[:port],host[:port]

TLS kinds take `ca_file`, `cert_file` and `key_file` in the query. User and password are the store's; what Sentinels
want, if anything, stands in the query as `sentinel_user` and `sentinel_password`. Reserved characters are
percent-encoded, IPv6 addresses stand in brackets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from pydantic import SecretStr
from redis.asyncio.connection import parse_url

from services.errors import SettingsError
from services.settings import is_loopback

Node = tuple[str, int]
"""Host and port."""

_TLS_FILES = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
_BOUNDS = {"max_connections", "timeout"}  # ours stand, whatever the address says
_SENTINEL_LOGIN = {"sentinel_user": "username", "sentinel_password": "password"}


class Kind(Enum):
    """What stands at an address."""

    SERVER = auto()
    SOCKET = auto()
    SENTINEL = auto()
    CLUSTER = auto()


_DEFAULT_PORTS = {Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """Where the store is and how it is spoken to. Nothing that it prints is secret."""

    kind: Kind
    tls: bool
    nodes: tuple[Node, ...]
    """One server, several Sentinels, or nodes of a Cluster; empty for a unix socket."""

    service: str = ""
    options: Mapping[str, Any] = field(repr=False)
    """What a connection to the store is made with, in redis-py's own words: it checks them, not we."""

    sentinel_login: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def exposed(self) -> bool:
        """Whether others on a network may use the store without showing anything first."""
        known = self.options.get("password") or self.options.get("ssl_certfile")
        return not known and any(not is_loopback(host) for host, _ in self.nodes)


def parse(url: SecretStr) -> StoreAddress:
    """Raises SettingsError for an address that cannot be read; its text holds no password."""
    try:
        return _parse(url.get_secret_value())
    except (ValueError, TypeError, KeyError):
        raise wrong_address() from None


def wrong_address() -> SettingsError:
    """What is wrong with an address is not told, since its parts may be secret."""
    return SettingsError(
        "REDIS_URL",
        "use redis://, rediss:// or unix:// as in rediss://user:password@host:6379/0?ca_file=/path/ca.pem, "
        "redis+sentinel://user:password@host,host/service or redis+cluster://user:password@host,host",
    )


def _parse(url: str) -> StoreAddress:
    scheme, separator, rest = url.partition("://")
    base, plus, kind = scheme.partition("+")
    if not separator or (plus and (base not in {"redis", "rediss"} or kind not in {"sentinel", "cluster"})):
        raise ValueError
    rest, _, query = rest.partition("#")[0].partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not plus:
        return _server(base, rest, options)
    return _several(Kind.SENTINEL if kind == "sentinel" else Kind.CLUSTER, base, rest, options)


def _server(scheme: str, rest: str, options: Mapping[str, str]) -> StoreAddress:
    found = _read(scheme, rest, options)
    nodes = () if scheme == "unix" else ((found.get("host", "localhost"), found.get("port", 6379)),)
    kind = Kind.SOCKET if scheme == "unix" else Kind.SERVER
    return StoreAddress(kind=kind, tls=scheme == "rediss", nodes=nodes, options=found)


def _several(kind: Kind, scheme: str, rest: str, options: Mapping[str, str]) -> StoreAddress:
    place, _, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    service, db = _service(path) if kind is Kind.SENTINEL else ("", _no_service(path))
    ours = _SENTINEL_LOGIN if kind is Kind.SENTINEL else {}
    plain = {name: value for name, value in options.items() if name not in ours}
    each = [_read(scheme, f"{login}{at}{host}/{db}", plain) for host in hosts.split(",")]
    nodes = tuple((str(found.pop("host")), int(found.pop("port", _DEFAULT_PORTS[kind]))) for found in each)
    return StoreAddress(
        kind=kind,
        tls=scheme == "rediss",
        nodes=nodes,
        service=service,
        options=each[0],
        sentinel_login={ours[name]: value for name, value in options.items() if name in ours},
    )


def _read(scheme: str, rest: str, options: Mapping[str, str]) -> dict[str, Any]:
    """One address as redis-py reads it. Raises ValueError."""
    query = urlencode({_TLS_FILES.get(name, name): value for name, value in options.items() if name not in _BOUNDS})
    found = dict(parse_url(f"{scheme}://{rest}?{query}"))
    found.pop("connection_class", None)  # ours to choose
    return found


def _service(path: str) -> tuple[str, int]:
    service, _, db = path.partition("/")
    if not service:
        raise ValueError
    return unquote(service), int(db or 0)


def _no_service(path: str) -> int:
    if path not in {"", "0"}:
        raise ValueError  # a Cluster has one database
    return 0
