"""What the one-second check costs a replica: a thousand open sessions against none, at the same time.

Each side is a process with a Valkey of its own; what counts is the time that their processor spent.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass

from bench.surroundings import ROOT, cpu_seconds
from bench.table import NOTHING, Row, give
from tests import harness

SESSIONS, SECONDS, MOST_PERCENT = 1000, 60, 2
SURE = 0.8
"""In so many of the seconds all sessions are known to live."""


@dataclass(frozen=True, slots=True)
class Side:
    """A program with so many sessions open, and its store."""

    process: subprocess.Popen[str]
    store: int
    """The process of its Valkey."""

    def cpu(self) -> tuple[float, float]:
        """Seconds of processor time, its own and its store's."""
        return cpu_seconds(self.process.pid), cpu_seconds(self.store)

    def lives(self) -> bool:
        """Whether every session is known to live, which a machine that is too busy may miss. Raises at an end."""
        assert self.process.stdin  # noqa: S101 - a pipe, as the other is
        assert self.process.stdout  # noqa: S101
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if (said := self.process.stdout.readline().strip()) not in {"all live", "0 live"}:
            raise RuntimeError(said or "the program has ended")
        return said == "all live"


def measure() -> list[Row]:
    """Two rows: the replica, and the store that it asks."""
    with _side(SESSIONS) as full, _side(0) as empty:
        sides = (full, empty)
        before, began = [side.cpu() for side in sides], time.monotonic()
        confirmed = 0
        for _ in range(SECONDS):
            time.sleep(1)
            confirmed += full.lives()
        passed, after = time.monotonic() - began, [side.cpu() for side in sides]
    if confirmed < SECONDS * SURE:
        raise RuntimeError(f"the machine is too busy: all were confirmed in {confirmed} of {SECONDS} seconds only")
    (ours, stores), (idle, store_idle) = (
        [100 * (late - early) / passed for early, late in zip(one, other, strict=True)]
        for one, other in zip(before, after, strict=True)
    )
    thousand = 1000 / SESSIONS
    return [Row(
        what="one-second check, a thousand open sessions: of a core, per replica", against=NOTHING,
        ours=(ours - idle) * thousand, unit="%", at_most=MOST_PERCENT,
        note=f"{ours:.2f} % with {SESSIONS} sessions, {idle:.2f} % with none; its Valkey "
        f"{(stores - store_idle) * thousand:.2f} % more for each replica, which is not counted here",
    )]  # fmt: skip


@contextlib.contextmanager
def _side(count: int) -> Generator[Side]:
    with harness.valkey() as store, harness.admin(store) as admin:
        command = [sys.executable, "-m", "bench.watched_sessions", str(count)]
        environment = harness.environment(PYTHONPATH=str(ROOT), REDIS_URL=store)
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                assert process.stdout  # noqa: S101 - it is a pipe
                if process.stdout.readline().strip() != "open":
                    raise RuntimeError("the sessions do not open")
                yield Side(process, int(admin.info("server")["process_id"]))
            finally:
                process.kill()


if __name__ == "__main__":
    sys.exit(give(measure, __doc__))
