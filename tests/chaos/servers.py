"""Valkey and Redis servers of our own, to be stopped, killed, filled, emptied and started again."""

import contextlib
from pathlib import Path

from tests import stores


class StoreServer(stores.Server):
    """A `valkey` or a `redis`, kept on disk every second unless told otherwise; a context manager."""

    def __init__(self, kind: str, directory: Path, password: str = "", **options: str):
        options = {"appendonly": "yes", "appendfsync": "everysec", "repl-diskless-sync-delay": "0", **options}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        program = stores.valkey_program() if kind == "valkey" else stores.redis_program()
        super().__init__(directory, *words, program=program, password=password)
        self.kind = kind

    def __enter__(self) -> "StoreServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        self.wait()

    @contextlib.contextmanager
    def silent(self):
        """SIGSTOP: connections are taken and nothing is answered."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @contextlib.contextmanager
    def dead(self):
        """kill -9, and started again from its files."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def ask(self, *command: object) -> object:
        """The answer to one command of the administrator's."""
        with self.admin() as admin:
            return admin.execute_command(*command)

    def keys(self, pattern: str = "*") -> list[str]:
        """The keys that lie there."""
        return stored(self, pattern)

    def journal(self) -> Path:
        """The append-only file that grows."""
        return max(self.directory.rglob("*.incr.aof"))


def stored(server: stores.Server, pattern: str = "*") -> list[str]:
    """The keys that lie in a server."""
    with server.admin() as admin:
        return sorted(key.decode() for key in admin.scan_iter(pattern))
