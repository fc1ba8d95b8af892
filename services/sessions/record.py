"""A session as it lies in the store: sealed so that neither the store, nor the store and the server's secret
together, open it without the cookie.

The key is derived from the server's secret and the session's id; `services.sealing` knows the format.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError

from services.errors import StoreCorrupt
from services.keys import Key, KeyRing, derive
from services.proxmox import ApiToken, Credential, Ticket
from services.sealing import key_id_of, seal_bytes, unseal_bytes
from services.store.connection import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the store keeps of a session. Times are Unix seconds by the store's clock, a ticket's `issued` too."""

    created: float
    credential: Credential

    @property
    def principal(self) -> str:
        """Userid or token id."""
        return self.credential.principal


def hash_id(id: str) -> str:
    """What stands for a session's id in the store, in memory and, cut short, in logs: SHA-256, hex."""
    return hashlib.sha256(id.encode()).hexdigest()


def record_key(store: Store, hash: str) -> str:
    """Where the record of a session lies."""
    return store.key("session", f"{{{hash}}}")


def ended_key(store: Store, hash: str) -> str:
    """Where it is left why a session has ended."""
    return store.key("ended", f"{{{hash}}}")


def seal(record: Record, keys: KeyRing, id: str, store_key: str) -> bytes:
    """Encrypt a record for its place in the store."""
    return seal_bytes(_dump(record), keys.first, _record_key(keys.first, id), store_key)


def unseal(value: bytes, keys: KeyRing, id: str, store_key: str) -> Record:
    """Decrypt what lies at a session's key. Raises StoreCorrupt for anything that we did not write there."""
    return _load(unseal_bytes(value, keys, lambda key: _record_key(key, id), store_key))


def sealed_with_first(value: bytes, keys: KeyRing) -> bool:
    """Whether a sealed record needs no sealing anew."""
    return key_id_of(value) == keys.first.id


class _Stored(BaseModel):
    """The sealed JSON."""

    kind: Literal["ticket", "token"]
    created: float
    principal: str
    secret: str = Field(repr=False)
    csrf_token: str = Field(default="", repr=False)
    issued: float = 0
    capabilities: dict[str, dict[str, int]] = Field(default_factory=dict)  # of older releases


def _record_key(key: Key, id: str) -> bytes:
    return derive(key.record + id.encode(), "record of one session")


def _dump(record: Record) -> bytes:
    match record.credential:
        case Ticket() as ticket:
            stored = _Stored(
                kind="ticket",
                created=record.created,
                principal=ticket.userid,
                secret=ticket.ticket.get_secret_value(),
                csrf_token=ticket.csrf_token.get_secret_value(),
                issued=ticket.issued,
            )  # without its capabilities: nobody asks a session for them, and they are two thirds of it
        case ApiToken() as token:
            secret = token.secret.get_secret_value()
            stored = _Stored(kind="token", created=record.created, principal=token.tokenid, secret=secret)
    return stored.model_dump_json(exclude_defaults=True).encode()


def _load(plain: bytes) -> Record:
    stored = None
    with suppress(ValidationError):  # never chained: its text shows the input
        stored = _Stored.model_validate_json(plain)
    if stored is None:
        raise StoreCorrupt("is not a record")
    return Record(created=stored.created, credential=_credential(stored))


def _credential(stored: _Stored) -> Credential:
    if stored.kind == "token":
        return ApiToken(tokenid=stored.principal, secret=SecretStr(stored.secret))
    return Ticket(
        userid=stored.principal,
        ticket=SecretStr(stored.secret),
        csrf_token=SecretStr(stored.csrf_token),
        issued=stored.issued,
        capabilities=stored.capabilities,
    )
