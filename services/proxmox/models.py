"""What Proxmox VE says, as values of ours. Nothing here prints a secret."""

from dataclasses import dataclass, field

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Proxmox VE node listens."""

    host: str
    port: int = 8006

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """One row of `GET /access/domains`. `type` is pam, pve, ldap, ad, openid or what a plug-in adds."""

    realm: str
    type: str
    comment: str = ""
    default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A login at Proxmox VE, valid for two hours from `issued` (Unix seconds, our clock)."""

    userid: str
    ticket: SecretStr
    csrf_token: SecretStr
    issued: float
    capabilities: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])

    @property
    def principal(self) -> str:
        """The userid, `user@realm`."""
        return self.userid


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """An API token, `user@realm!name`, with its secret. Never renewed, needs no CSRF token."""

    tokenid: str
    secret: SecretStr

    @property
    def principal(self) -> str:
        """The token itself, not its owner."""
        return self.tokenid


Credential = Ticket | ApiToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster. CPU is a share of 0 to 1 of all its cores, memory in bytes, uptime in seconds.

    `maxcpu` is a whole number, but for a container limited to part of a core. None where Proxmox says nothing, as
    it does for a node that is offline or may not be audited.
    """

    node: str
    status: str
    cpu: float | None = None
    maxcpu: int | float | None = None
    mem: int | None = None
    maxmem: int | None = None
    uptime: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A virtual machine (`qemu`) or container (`lxc`). Units as for `Node`."""

    vmid: int
    type: str
    node: str
    status: str
    name: str = ""
    template: bool = False
    cpu: float | None = None
    maxcpu: int | float | None = None
    mem: int | None = None
    maxmem: int | None = None
    uptime: int | None = None
    tags: tuple[str, ...] = ()
    lock: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The part of `GET /cluster/resources` that we show: what this account may see."""

    nodes: tuple[Node, ...] = ()
    guests: tuple[Guest, ...] = ()
