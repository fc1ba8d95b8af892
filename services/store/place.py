"""Where the embedded store lies: private directories, and a path for the socket that is short enough."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from services.errors import SettingsError

_DATA_DIR = "PROXGATE_DATA_DIR"
_LONGEST_SOCKET = 100  # bytes; the kernels end at 108 (Linux) and 104 (macOS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things are."""

    home: Path
    socket: Path

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def alive(self) -> Path:
        return self.store / "alive"

    @property
    def log(self) -> Path:
        return self.store / "valkey.log"

    def reachable(self) -> bool:
        # Where the store's directory was removed as well, a new server would only come up empty.
        return self.socket.exists() or not self.store.exists()

    def tidy(self) -> None:
        with suppress(OSError):
            self.socket.unlink(missing_ok=True)
            if self.socket.parent != self.home:
                self.socket.parent.rmdir()


def private_directory(data_dir: Path) -> Path:
    """The data directory, ours alone. Raises SettingsError when it is not and cannot be made so."""
    with settings_error(data_dir):
        return own_directory(data_dir)


def prepare(data_dir: Path) -> Place:
    home = own_directory(data_dir)
    place = Place(home=home, socket=_socket_path(home))
    own_directory(place.store)
    if place.socket.parent != home:
        own_short_directory(place.socket.parent)
    return place


def _socket_path(home: Path) -> Path:
    path = home / "store.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    # Not TMPDIR or XDG_RUNTIME_DIR: they differ between a service, cron and a shell, and all must meet at one place.
    name = f"proxgate-{os.geteuid()}-{sha256(os.fsencode(home)).hexdigest()[:16]}"
    return Path("/tmp", name, "store.sock")  # noqa: S108 - own_short_directory trusts nobody there


def own_short_directory(path: Path) -> None:
    """Anybody may have made it before us."""
    with suppress(FileExistsError):
        path.mkdir(0o700)
    found = path.lstat()
    if not (stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700):
        raise mend(f"{path} is not a private directory of ours, and the path is too long for a socket; remove it")


def own_directory(path: Path) -> Path:
    """Where `path` really is, made if missing, and open to nobody else."""
    home = Path(os.path.realpath(path))
    if path.is_symlink() and _is_shared(home):
        raise mend(f"{path} leads to {home}, where others may write; name a private directory")
    for missing in [each for each in (*reversed(home.parents), home) if not each.exists()]:
        missing.mkdir(0o700, exist_ok=True)
    _refuse_foreign(home)
    _tighten(home)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise mend(f"{home} is not writable; make it so")
    return home


def _is_shared(home: Path) -> bool:
    """Others may write in it, or put another directory in its place."""
    if home.exists() and home.stat().st_mode & 0o022:
        return True
    around = home.parent.stat().st_mode if home.parent.exists() else 0
    return bool(around & 0o022) and not around & stat.S_ISVTX


def _refuse_foreign(home: Path) -> None:
    found = home.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise mend(f"{home} is not a directory; remove it")
    if found.st_uid != os.geteuid():
        raise mend(f"{home} belongs to another account; give it to the one that runs proxgate")
    if found.st_mode & stat.S_ISVTX or home == home.parent:
        # Closing /tmp or / to everybody else would be a bad turn to the machine.
        raise mend(f"{home} is everybody's; make a directory beneath it")


def _tighten(home: Path) -> None:
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        with suppress(OSError):
            home.chmod(mode & 0o700)
    if home.stat().st_mode & 0o077:  # some file systems take a chmod and forget it
        raise mend(f"{home} is open to other accounts and cannot be closed; set its mode to 0700")


@contextmanager
def settings_error(data_dir: Path) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise mend(f"{exc.filename or data_dir}: {exc.strerror or exc}; make it usable") from exc


def mend(what: str) -> SettingsError:
    return SettingsError(_DATA_DIR, f"{what} or choose another directory")
