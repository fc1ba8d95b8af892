"""Keys that follow from `SESSION_SECRET`, each for one purpose, and the secret itself when none is set."""

import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from services.errors import SettingsError

KEY_ID_BYTES = 8
SECRET_BYTES = 32

_SURROGATES = re.compile("[\ud800-\udfff]")


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """HKDF-SHA-256 (RFC 5869) of `secret` for one purpose."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=b"proxgate " + purpose.encode()).derive(secret)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Key:
    """What one server secret gives: a public id, a key that signs cookies, one for records, one for indexes."""

    id: bytes
    cookie: bytes
    record: bytes
    index: bytes

    @classmethod
    def of(cls, secret: bytes) -> "Key":
        """Derive all four from one secret."""
        return cls(
            id=derive(secret, "key id", KEY_ID_BYTES),
            cookie=derive(secret, "cookie"),
            record=derive(secret, "record"),
            index=derive(secret, "index"),
        )


class KeyRing:
    """The server's keys: the first signs and encrypts, all verify and decrypt."""

    def __init__(self, secret: SecretStr) -> None:
        """`secret` is one or several of at least 32 bytes, comma-separated. Raises SettingsError."""
        text = secret.get_secret_value()
        if _SURROGATES.search(text):  # before encoding, whose exception would carry the whole secret
            raise SettingsError("SESSION_SECRET", "is no text; make one with: openssl rand -base64 32")
        parts = [part.strip().encode() for part in text.split(",")]
        if any(len(part) < SECRET_BYTES for part in parts):
            raise SettingsError("SESSION_SECRET", "give at least 32 bytes, as from: openssl rand -base64 32")
        self.keys = tuple(Key.of(part) for part in parts)

    @property
    def first(self) -> Key:
        """The key that signs and encrypts."""
        return self.keys[0]

    def by_id(self, key_id: bytes) -> Key | None:
        """The key with this id, if it is still in the list."""
        return next((key for key in self.keys if key.id == key_id), None)


def stored_secret(data_dir: Path) -> SecretStr:
    """The secret kept in the data directory, made once, mode 0600. Raises SettingsError when it is not safe."""
    file = data_dir / "session-secret"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.is_symlink() and not file.exists():
            _write_once(file)
        return _long_enough(file, _read_private(file))
    except OSError as exc:
        raise SettingsError(
            "PROXGATE_DATA_DIR", f"cannot keep the session secret in {data_dir}: {exc.strerror}"
        ) from exc


def _write_once(file: Path) -> None:
    """Write beside, then link: of two starts at once both read the same whole secret."""
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(beside, file)
    finally:
        beside.unlink()


def _long_enough(file: Path, secret: bytes) -> SecretStr:
    """A file that was cut or overwritten is told as such: nobody has set SESSION_SECRET."""
    if len(secret) < SECRET_BYTES or not secret.isascii():
        raise SettingsError("PROXGATE_DATA_DIR", f"{file} holds no secret; restore it, or remove it to begin anew")
    return SecretStr(secret.decode("ascii"))


def _read_private(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        private = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and status.st_uid == os.getuid()
        if not stat.S_ISREG(status.st_mode) or not private:
            raise SettingsError("PROXGATE_DATA_DIR", f"{file} must be a file of yours with mode 0600; chmod 600 it")
        return stream.read().strip()
