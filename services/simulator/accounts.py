"""Accounts, their tokens and rights, and who of them may still come in."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.proxmox.models import Realm
from services.simulator.privileges import capabilities
from services.simulator.rights import ROOT, Grant, Pools, Privileges, Rights, Unlimited


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token. With `grants` its privileges are separated: it has what both it and its owner hold."""

    name: str
    secret: str = field(repr=False)
    grants: tuple[Grant, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityKey:
    """A WebAuthn key for ES256; `public_key` is its SubjectPublicKeyInfo in DER."""

    credential_id: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person of the simulated Proxmox VE; `userid` is `user@realm`, `note` says what the account is good for.

    `totp_secret` is base32 (RFC 6238: SHA-1, six digits, 30 s); `recovery` holds keys of four hex groups;
    `yubico` is the public id of a Yubico key, twelve letters of modhex. `u2f` can be offered and never answered.
    """

    userid: str
    password: str = field(repr=False)
    note: str = ""
    grants: tuple[Grant, ...] = ()
    totp_secret: str = field(default="", repr=False)
    recovery: tuple[str, ...] = field(default=(), repr=False)
    yubico: str = field(default="", repr=False)  # enough to make a code with, here
    webauthn: SecurityKey | None = None
    u2f: bool = False
    tokens: tuple[Token, ...] = ()
    enabled: bool = True
    expired: bool = False

    @property
    def factors(self) -> tuple[str, ...]:
        """The kinds of second factor, as Proxmox names them; empty when the password is enough."""
        kinds = {
            "totp": self.totp_secret,
            "recovery": self.recovery,
            "u2f": self.u2f,
            "webauthn": self.webauthn,
            "yubico": self.yubico,
        }
        return tuple(kind for kind, held in kinds.items() if held)

    @property
    def realm(self) -> str:
        return self.userid.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a signed-in account or one of its tokens, with the rights it has.

    `granted` are the paths of everybody's grants, which `GET /access/permissions` looks at.
    """

    account: Account
    token: Token | None = None
    rights: Rights
    granted: tuple[str, ...]

    @property
    def principal(self) -> str:
        """`user@realm`, or `user@realm!name` for a token."""
        return f"{self.account.userid}!{self.token.name}" if self.token else self.account.userid

    def permits(self, path: str, *privileges: str) -> bool:
        """Whether any of these is held there."""
        held = self.rights.on(path)
        return any(name in held for name in privileges)

    def privileges(self) -> dict[str, Privileges]:
        """Every path on which something is held."""
        return self.rights.everywhere(self.granted)

    def capabilities(self) -> dict[str, dict[str, int]]:
        """The `cap` of a login answer."""
        return capabilities(self.rights.in_rooms(self.granted))


class Directory:
    """Every account and realm, and what changed of them since the start."""

    def __init__(self, accounts: Iterable[Account], realms: Iterable[Realm], pools: Pools | None = None) -> None:
        self._pools = pools or Pools()
        self._callers: dict[tuple[str, str | None], Caller] = {}
        self.accounts = {account.userid: account for account in accounts}
        self.realms = {realm.realm: realm for realm in realms}
        self._disabled = {account.userid for account in self.accounts.values() if not account.enabled}

    def disable(self, userid: str) -> None:
        self._disabled.add(userid)

    def enable(self, userid: str) -> None:
        self._disabled.discard(userid)

    def grant(self, userid: str, grants: Iterable[Grant]) -> None:
        """From the next request on the account has these rights and no others."""
        self.accounts[userid] = replace(self.accounts[userid], grants=tuple(grants))
        self.forget_rights()

    def forget_rights(self) -> None:
        """Reckon everybody's rights anew: grants or pools have changed."""
        self._callers.clear()

    def caller(self, account: Account, token: Token | None = None) -> Caller:
        """The account, or a token of its own, with the rights of the moment."""
        key = account.userid, token.name if token else None
        if key not in self._callers:
            rights, granted = self._rights(account, token), tuple(self._granted())
            self._callers[key] = Caller(account=account, token=token, rights=rights, granted=granted)
        return self._callers[key]

    def _rights(self, account: Account, token: Token | None) -> Rights:
        own = Unlimited(self._pools) if account.userid == ROOT else Rights(account.grants, self._pools)
        if token is None or token.grants is None:
            return own
        return Rights(token.grants, self._pools, owner=own)

    def _granted(self) -> Iterable[str]:
        for account in self.accounts.values():
            for grants in (account.grants, *(token.grants or () for token in account.tokens)):
                yield from (grant.path for grant in grants)

    def usable(self, userid: str) -> Account | None:
        """The account, when it exists in a known realm and is neither disabled nor expired."""
        account = self.accounts.get(userid)
        if account is None or account.expired or userid in self._disabled or account.realm not in self.realms:
            return None
        return account

    def password_fits(self, account: Account, password: str) -> bool:
        """Byte for byte up to a NUL, as Proxmox compares; never for an empty one or in an OpenID realm."""
        if self.realms[account.realm].type == "openid":
            return False
        given, real = _password_bytes(password), _password_bytes(account.password)
        return given != b"" and hmac.compare_digest(given, real)

    def token_caller(self, tokenid: str, secret: str) -> Caller | None:
        """The caller behind `user@realm!name` and its secret."""
        userid, _, name = tokenid.partition("!")
        account = self.usable(userid)
        if account is None:
            return None
        given = secret.encode("utf-8", "surrogateescape")
        fitting = (t for t in account.tokens if t.name == name and hmac.compare_digest(t.secret.encode(), given))
        return next((self.caller(account, token) for token in fitting), None)


def _password_bytes(text: str) -> bytes:
    return text.partition("\0")[0].encode("utf-8", "surrogateescape")
