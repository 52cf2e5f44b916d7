"""One process per file: a lock that the kernel frees when its holder dies, however it dies.

``<db>.lock`` holds ``{"pid": …}`` while somebody serves the file. The descriptor is closed on exec; a process
pool must therefore spawn its workers, for a forked one would keep the lock beyond its parent.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infraweave.errors import StartupError


@contextmanager
def sole_process(database: Path) -> Iterator[None]:
    """Hold the lock of a database file.

    Raises:
        StartupError: another process holds it, or there is no way to make the lock.
    """
    path = database.with_name(f"{database.name}.lock")
    descriptor = _acquire(database, path)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid()}).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(database: Path) -> str | None:
    """Return who serves a database file, such as ``pid 4711``; None where nobody does."""
    path = database.with_name(f"{database.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _name(os.pread(descriptor, 100, 0))
    finally:
        os.close(descriptor)
    return None


def _acquire(database: Path, path: Path) -> int:
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 100, 0)
            os.close(descriptor)
            raise StartupError(f"{database} is already served by {_name(holder)}.") from None
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"Cannot lock the database: {error.strerror}: {path}") from None


def _is_still(path: Path, descriptor: int) -> bool:
    """Tell whether the name still means our file, which a holder unlinks as it leaves."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _name(holder: bytes) -> str:
    try:
        return f"pid {json.loads(holder)['pid']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
