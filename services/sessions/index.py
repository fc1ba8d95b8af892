"""The per-principal index: what a list of sessions needs, sealed under a key of the server's alone, and no secret."""

import hashlib
import json
from dataclasses import asdict, dataclass

from services.errors import StoreCorrupt
from services.sessions.keys import KeyRing
from services.sessions.record import seal_bytes, unseal_bytes

_LONGEST_AGENT = 400
FINGERPRINT_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One session in its principal's index. `started` is Unix seconds, `agent` the browser's User-Agent."""

    principal: str
    started: float
    address: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """A live session as a list shows it. Times are Unix seconds."""

    hash: str
    principal: str
    started: float
    last_used: float
    address: str
    agent: str

    @property
    def fingerprint(self) -> str:
        """What names the session to people: it opens nothing."""
        return self.hash[:FINGERPRINT_LENGTH]


def index_name(principal: str) -> str:
    """The part of the index's key that stands for the principal."""
    return hashlib.sha256(principal.encode()).hexdigest()


def seal_entry(entry: Entry, keys: KeyRing, place: str) -> bytes:
    """Encrypt an entry for its place, `<index key> <field>`."""
    plain = json.dumps({**asdict(entry), "agent": entry.agent[:_LONGEST_AGENT]})
    return seal_bytes(plain.encode(), keys.first, keys.first.index, place)


def unseal_entry(value: bytes, keys: KeyRing, place: str) -> Entry:
    """Decrypt what `seal_entry` wrote. Raises StoreCorrupt."""
    plain = unseal_bytes(value, keys, lambda key: key.index, place)
    try:
        return Entry(**json.loads(plain))
    except (ValueError, TypeError) as exc:
        raise StoreCorrupt("is not an index entry") from exc
