"""File locks that the kernel drops at any death, `kill -9` included, and the process number in the file."""

import os
from contextlib import suppress
from pathlib import Path


def lock_file(path: Path) -> int | None:
    """A descriptor that holds the file's lock until it is closed, and that no child inherits; None when taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    import fcntl  # not on Windows, which is told to set REDIS_URL before it comes here

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(lock: int, pid: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % pid, 0)


def holder(lock: Path) -> int:
    """The process number in the file; 0 when it says none."""
    with suppress(OSError, ValueError):
        return max(0, int(lock.read_text()))
    return 0
