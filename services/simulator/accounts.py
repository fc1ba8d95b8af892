"""Accounts, their tokens and rights, and who of them may still come in."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.proxmox.models import Realm


@dataclass(frozen=True, slots=True)
class Grant:
    """Privileges on a path such as `/vms/100`, and on everything below it."""

    path: str
    privileges: frozenset[str]

    def allows(self, path: str, privilege: str) -> bool:
        below = self.path.rstrip("/") + "/"
        return privilege in self.privileges and (path == self.path or path.startswith(below))


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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a signed-in account or one of its tokens, with the rights it has."""

    account: Account
    token: Token | None = None

    def permits(self, path: str, privilege: str) -> bool:
        own = _allowed(self.account.grants, path, privilege)
        separated = self.token.grants if self.token else None
        return own and (separated is None or _allowed(separated, path, privilege))

    def privileges(self) -> dict[str, list[str]]:
        """Privileges by path, as far as they hold."""
        separated = self.token.grants if self.token else None
        stated = (*self.account.grants, *(separated or ()))
        rights = {grant.path: sorted(p for p in grant.privileges if self.permits(grant.path, p)) for grant in stated}
        return {path: names for path, names in rights.items() if names}


def _allowed(grants: Iterable[Grant], path: str, privilege: str) -> bool:
    return any(grant.allows(path, privilege) for grant in grants)


class Directory:
    """Every account and realm, and which accounts were disabled or enabled since the start."""

    def __init__(self, accounts: Iterable[Account], realms: Iterable[Realm]) -> None:
        self.accounts = {account.userid: account for account in accounts}
        self.realms = {realm.realm: realm for realm in realms}
        self._disabled = {account.userid for account in self.accounts.values() if not account.enabled}

    def disable(self, userid: str) -> None:
        self._disabled.add(userid)

    def enable(self, userid: str) -> None:
        self._disabled.discard(userid)

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
        return next((Caller(account, token) for token in fitting), None)


def _password_bytes(text: str) -> bytes:
    return text.partition("\0")[0].encode("utf-8", "surrogateescape")
