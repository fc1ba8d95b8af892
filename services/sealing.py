"""Values as they lie in the store: encrypted for one place, so that a value copied to another place does not open.

    1 byte format version | 8 bytes key id | 12 bytes nonce | AES-256-GCM ciphertext

The associated data is the place together with the header.
"""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.errors import KeyUnknown, StoreCorrupt
from services.keys import KEY_ID_BYTES, Key, KeyRing

VERSION = 1
_NONCE_BYTES = 12
_HEADER_BYTES = 1 + KEY_ID_BYTES


def seal_bytes(plain: bytes, key: Key, aes_key: bytes, place: str) -> bytes:
    """Encrypt for one place in the store, with the header that names the key."""
    header = bytes([VERSION]) + key.id
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + AESGCM(aes_key).encrypt(nonce, plain, header + place.encode())


def unseal_bytes(value: bytes, keys: KeyRing, aes_key: Callable[[Key], bytes], place: str) -> bytes:
    """Decrypt what `seal_bytes` wrote for the same place. Raises StoreCorrupt, or KeyUnknown."""
    header, rest = value[:_HEADER_BYTES], value[_HEADER_BYTES:]
    key = keys.by_id(key_id_of(value))
    if header[:1] != bytes([VERSION]) or len(header) < _HEADER_BYTES:
        raise StoreCorrupt("unknown format")
    if key is None:
        raise KeyUnknown("sealed with a key that SESSION_SECRET does not hold")
    try:
        return AESGCM(aes_key(key)).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + place.encode())
    except (InvalidTag, ValueError) as exc:
        raise StoreCorrupt("does not decrypt") from exc


def fields_of(kind: type[Any], plain: bytes) -> dict[str, Any]:
    """A dataclass's fields in the JSON that was sealed, without what a newer release has added.

    Raises ValueError or TypeError for what is no JSON object.
    """
    stored = json.loads(plain)
    return {field.name: stored[field.name] for field in fields(kind) if field.name in stored}


def key_id_of(value: bytes) -> bytes:
    """The id of the key that a value names as its own."""
    return value[1:_HEADER_BYTES]
