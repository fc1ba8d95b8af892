"""Who and where: addresses, accounts and their credentials. Nothing here prints a secret."""

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
class Peer:
    """The one server that answered: an address, and which of its name's addresses on the network that was."""

    address: Address
    ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """One row of `GET /access/domains`. `type` is pam, pve, ldap, ad, openid or what a plug-in adds.

    `tfa` is "oath" or "yubico" where the realm itself asks for a second factor.
    """

    realm: str
    type: str
    comment: str = ""
    default: bool = False
    tfa: str = ""


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
class Factors:
    """The kinds of second factor that Proxmox offers for an account.

    `recovery` are the numbers of the recovery keys left, None for an account that never had any; `webauthn` the
    options for the browser as JSON (`{"publicKey": …}`), empty where there is no security key.
    """

    totp: bool = False
    recovery: tuple[int, ...] | None = None
    yubico: bool = False
    webauthn: str = ""
    u2f: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Half a login: the password was right, and a second factor is due at this same server. It opens nothing."""

    userid: str
    ticket: SecretStr
    factors: Factors
    peer: Peer
    issued: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdTrip:
    """A way to an OpenID provider and back: `state` is known to this one server, for ten minutes."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    redirect_url: str
    peer: Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCertificate:
    """A row of `GET /nodes/{node}/certificates/info`; the cluster's own authority is `pve-root-ca.pem`."""

    filename: str
    pem: str
