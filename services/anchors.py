"""What an administrator trusted at first use, kept in the store for all replicas, and the codes that stand for it.

    trust               a hash: an address, or CLUSTER, to an anchor
    trust-code:<hash>   an offer: one address and one fingerprint, behind a code that is good once, for a day

Everything is sealed for its own place under a key that follows from the server's secret: whoever can write to the
store can take an anchor away, or bring back one of this very place, and can neither make nor move one.
"""

import hashlib
import logging
import re
import secrets
import time
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis

from services.errors import CodeRefused, StoreCorrupt, StoreError
from services.keys import Key, KeyRing, derive
from services.proxmox import Anchor
from services.sealing import seal_bytes, unseal_bytes
from services.store.connection import Store

logger = logging.getLogger(__name__)

CODE_SECONDS = 24 * 3600
"""For so long a code is good."""

_REPLACE = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
"""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: what looks alike is the same
_ALIKE = str.maketrans("OIL", "011")
_CODE = re.compile(rf"[{_ALPHABET}]{{16}}")  # 80 bits
_GROUP = 4


class _StoredAnchor(BaseModel):
    fingerprint: str
    ca_pem: str = ""


class _StoredOffer(BaseModel):
    address: str
    fingerprint: str
    until: float


_Stored = TypeVar("_Stored", bound=BaseModel)


class Anchors:
    """Reads and writes anchors and codes. Every call raises StoreUnavailable when the store is down."""

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys
        self._key = store.key("trust")
        self._foreign: frozenset[bytes] = frozenset()

    async def read(self) -> dict[str, Anchor]:
        """What is trusted, by address (`host:port`) or CLUSTER; entries that we did not write are left out."""
        found = await self._store.run(self._read_all)
        opened = {field: self._open(field, value) for field, value in found.items()}
        self._tell_foreign(frozenset(field for field, anchor in opened.items() if anchor is None))
        for field, anchor in opened.items():
            if anchor and not found[field].startswith(self._keys.first.id, 1):
                await self._renew(field, found[field])
        return {field.decode(): anchor for field, anchor in opened.items() if anchor}

    async def keep(self, place: str, anchor: Anchor) -> None:
        """Trust this from now on, at an address (`host:port`) or with CLUSTER everywhere."""
        value = self._sealed(place, anchor)

        async def keep(client: Redis) -> None:
            await client.hset(self._key, place, value)

        await self._store.run(keep)

    async def forget(self, place: str) -> bool:
        """Trust it no more; whether there was anything to forget."""

        async def forget(client: Redis) -> bool:
            return bool(await client.hdel(self._key, place))

        return await self._store.run(forget)

    # below: codes

    async def offer(self, address: str, fingerprint: str) -> str:
        """A code that trusts this certificate at this address, once: XXXX-XXXX-XXXX-XXXX, 80 bits."""
        code = "".join(secrets.choice(_ALPHABET) for _ in range(16))
        key = self._code_key(code)
        value = self._seal(
            _StoredOffer(address=address, fingerprint=fingerprint, until=time.time() + CODE_SECONDS), key
        )

        async def offer(client: Redis) -> None:
            await client.set(key, value, ex=CODE_SECONDS)

        await self._store.run(offer)
        return "-".join(code[place : place + _GROUP] for place in range(0, len(code), _GROUP))

    async def redeem(self, code: str) -> str:
        """Trust what a code stands for; the address. The code is used up by that, and kept if it fails.

        Raises CodeRefused, also where something is trusted at that address already: this is for the first use only.
        """
        key = self._code_key(_normalised(code))

        async def redeem(client: Redis) -> _StoredOffer:
            found: Any = await client.get(key)
            offer = self._opened(key, found)
            anchor = self._sealed(offer.address, Anchor(fingerprint=offer.fingerprint))
            # The keys may lie on two servers, which share no transaction: of two at once one finds the address free.
            if not await client.hsetnx(self._key, offer.address, anchor):
                raise CodeRefused
            await client.delete(key)
            return offer

        offer = await self._store.run(redeem)
        logger.warning("a code was redeemed: %s of %s is trusted from now on", offer.fingerprint, offer.address)
        return offer.address

    # below: seals

    def _entry(self, place: str) -> str:
        return f"{self._key} {place}"

    def _code_key(self, code: str) -> str:
        return self._store.key("trust-code", hashlib.sha256(code.encode()).hexdigest())

    async def _read_all(self, client: Redis) -> dict[bytes, bytes]:
        found: dict[Any, Any] = await client.hgetall(self._key)
        return found

    def _open(self, field: bytes, value: bytes) -> Anchor | None:
        with suppress(StoreCorrupt, UnicodeDecodeError):
            stored = self._unseal(_StoredAnchor, value, self._entry(field.decode()))
            return Anchor(fingerprint=stored.fingerprint, ca_pem=stored.ca_pem)
        return None

    def _opened(self, key: str, value: bytes | None) -> _StoredOffer:
        with suppress(StoreCorrupt):
            stored = self._unseal(_StoredOffer, value or b"", key)
            if stored.until > time.time():
                return stored
        raise CodeRefused

    def _sealed(self, place: str, anchor: Anchor) -> bytes:
        return self._seal(_StoredAnchor(fingerprint=anchor.fingerprint, ca_pem=anchor.ca_pem), self._entry(place))

    def _seal(self, stored: BaseModel, place: str) -> bytes:
        return seal_bytes(stored.model_dump_json().encode(), self._keys.first, _sealing_key(self._keys.first), place)

    def _unseal(self, kind: type[_Stored], value: bytes, place: str) -> _Stored:
        plain = unseal_bytes(value, self._keys, _sealing_key, place)
        try:
            return kind.model_validate_json(plain)
        except ValidationError as exc:
            raise StoreCorrupt("is no anchor") from exc

    async def _renew(self, field: bytes, value: bytes) -> None:
        """Seal it under the first key, so that it outlives the one it was sealed under; unless it changed meanwhile."""
        place = field.decode()
        renewed = self._seal(self._unseal(_StoredAnchor, value, self._entry(place)), self._entry(place))

        async def renew(client: Redis) -> None:
            await client.eval(_REPLACE, 1, self._key, place, value, renewed)

        with suppress(StoreError):  # the next one who reads will do it
            await self._store.run(renew)

    def _tell_foreign(self, foreign: frozenset[bytes]) -> None:
        if foreign - self._foreign:
            names = ", ".join(sorted(field.decode(errors="replace") for field in foreign))
            logger.error("not trusted: the store holds anchors that this server's secret does not open: %s", names)
        self._foreign = foreign


def _sealing_key(key: Key) -> bytes:
    return derive(key.record, "anchors")


def _normalised(code: str) -> str:
    """As it was made, however it was typed. Raises CodeRefused for what can be no code."""
    bare = re.sub(r"[\s-]", "", code).upper().translate(_ALIKE)
    if not _CODE.fullmatch(bare):
        raise CodeRefused
    return bare
