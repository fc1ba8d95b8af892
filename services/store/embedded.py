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
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from services.errors import ProxgateError, SettingsError
from services.store.locks import holder, lock_file, sign
from services.store.place import Place, mend, own_short_directory, prepare, settings_error
from services.store.process import POLL_SECONDS, Server, find_binary, left_over, spawn

_log = logging.getLogger(__name__)

_READY_WITHIN = 10.0
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
        self._server: Server | None = None
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            with settings_error(self._data_dir):
                await self._open(resources)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def _open(self, resources: AsyncExitStack) -> None:
        binary = find_binary()
        place = prepare(self._data_dir)
        self.url = f"unix://{quote(str(place.socket))}"
        if self._share and await _answers(place.socket):
            return
        lock = lock_file(place.lock)
        if lock is None:
            await self._join(place)
            return
        resources.callback(os.close, lock)
        sign(lock, os.getpid())
        resources.push_async_callback(self._stop, place)
        await self._start(place, binary)
        watch = asyncio.create_task(self._watch(place, binary), name="embedded store")
        resources.push_async_callback(_cancel, watch)

    async def _join(self, place: Place) -> None:
        """Another proxgate owns the directory: a guest waits until its server is up, a second owner is refused."""
        if not (self._share and await _comes_up(place.socket)):
            raise mend(f"another proxgate (process {holder(place.lock)}) is using {place.home}; stop it")

    async def _start(self, place: Place, binary: Path) -> None:
        """Adopt the server that still lives here, or start one; return when it answers."""
        self._server = self._server or left_over(place)
        if self._server and self._server.alive():
            # Without its socket nobody reaches it, and a second server would write to the same file.
            if not place.socket.exists():
                await self._server.stop()
                self._server = None
        else:
            self._server = None
        if self._server is None:
            await _clear(place)
            self._server = spawn(place, binary)
        if not await _comes_up(place.socket, self._server):
            raise _silent(place)

    async def _watch(self, place: Place, binary: Path) -> None:
        """Start the server again whenever it died."""
        pause = _RESTART_AT_MOST_EVERY
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            if self._server and self._server.alive() and place.reachable():
                continue
            try:
                with settings_error(place.home):
                    await self._start(place, binary)
                _log.warning("the embedded store had stopped and was started again")
                pause = _RESTART_AT_MOST_EVERY
                await asyncio.sleep(pause)
            except ProxgateError as exc:
                _log.warning("the embedded store has stopped and does not start: %s", exc)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _stop(self, place: Place) -> None:
        if self._server:
            await self._server.stop()
        place.tidy()


async def _comes_up(socket: Path, server: Server | None = None) -> bool:
    """Whether it answers in time; a dead one is not waited for."""
    deadline = time.monotonic() + _READY_WITHIN
    while not await _answers(socket):
        if (server and not server.alive()) or time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
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


async def _clear(place: Place) -> None:
    """Remove a dead server's socket."""
    if await _answers(place.socket):
        # It holds no lock in this directory, so what it writes is not kept here.
        raise mend(f"a server that is not this directory's answers on {place.socket}; stop it")
    place.socket.unlink(missing_ok=True)
    if place.socket.parent != place.home:
        own_short_directory(place.socket.parent)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _silent(place: Place) -> SettingsError:
    return mend(f"the embedded store does not come up: {last_words(place.log)}; mend what {place.log} tells")


def last_words(log: Path) -> str:
    with suppress(OSError):
        return " | ".join(log.read_text(errors="replace")[-2000:].splitlines()[-3:])
    return "it said nothing"
