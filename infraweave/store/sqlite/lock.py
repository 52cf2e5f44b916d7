"""One server process per file, ensured by locks that the kernel frees when the process ends.

``<db>.lock`` holds ``{"pid": …}`` while a process serves the file. Somebody may remove it, and a file may
have other names (hard links), so the database file itself is locked too, at a byte that SQLite never uses.
Both descriptors are closed on exec and in forked children; otherwise a child would keep the locks after its
parent.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infraweave.errors import StartupError
from infraweave.store.sqlite import ofd_locks

log = logging.getLogger("infraweave.store")

#: The byte of a database file that its server locks: beyond the largest possible file.
SERVED = 1 << 62
#: Only the owner may read and write.
PRIVATE = 0o600

_descriptors: set[int] = set()


@contextmanager
def lock_database(database: Path, *, make: bool = False) -> Iterator[int]:
    """Lock a database file within the block; yield a descriptor of it, or -1 if there is no such file.

    The descriptor must stay open while SQLite has the file open: closing it drops SQLite's own locks. With
    ``make``, a missing file is created, and the file becomes readable by its owner alone.

    Raises:
        StartupError: another process has locked it, the file has a second name, or it cannot be locked.
    """
    path = lock_path(database)
    with closing_descriptor(_acquire(database, path)) as lock_file:
        try:
            os.truncate(lock_file, 0)
            os.pwrite(lock_file, json.dumps({"pid": os.getpid()}).encode(), 0)
            with _file(database, make) as descriptor:
                yield descriptor
        finally:
            if _is_same(path, lock_file):
                path.unlink(missing_ok=True)


def serving_process(database: Path) -> str | None:
    """Return which process serves a database file, such as ``pid 4711``, or None.

    Call it before this process opens the file in SQLite: it drops SQLite's locks.
    """
    return _holder_of_lock_file(lock_path(database)) or _holder_of_database(database)


def lock_path(database: Path) -> Path:
    """Return the name of the lock file of a database."""
    return database.with_name(f"{database.name}.lock")


def _holder_of_lock_file(path: Path) -> str | None:
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


def _holder_of_database(database: Path) -> str | None:
    try:
        descriptor = os.open(database, os.O_RDONLY)
    except OSError:  # the next read reports the error
        return None
    try:
        return "another process" if ofd_locks.is_locked(descriptor, SERVED) else None
    finally:
        os.close(descriptor)


@contextmanager
def closing_descriptor(descriptor: int) -> Iterator[int]:
    """Close a descriptor after the block, and in children that are forked within it."""
    _descriptors.add(descriptor)
    try:
        yield descriptor
    finally:
        _descriptors.discard(descriptor)
        os.close(descriptor)


def _close_in_child() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _acquire(database: Path, path: Path) -> int:
    while True:
        descriptor = _open(path, os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(descriptor, 100, 0)
            os.close(descriptor)
            raise StartupError(f"{database} is already served by {_name(text)}.") from None
        if _is_same(path, descriptor):
            return descriptor
        os.close(descriptor)


@contextmanager
def _file(database: Path, make: bool) -> Iterator[int]:
    """Lock the database file itself."""
    if not make and not database.exists():
        yield -1
        return
    _check_log(database)
    with closing_descriptor(_open(database, os.O_CREAT if make else 0)) as descriptor:
        _lock_file(database, descriptor)
        if make:
            _check_names(database, descriptor)
            _make_private(database, descriptor)
        yield descriptor


def _check_log(database: Path) -> None:
    """Refuse to create a file beside the log of one that is missing: SQLite would remove the log."""
    log_file = database.with_name(f"{database.name}-wal")
    if not database.exists() and log_file.exists() and log_file.stat().st_size:
        raise StartupError(
            f"{database} is missing, but its log {log_file.name} is here. Put the database back beside its"
            f" log; or, to begin with a new database, move {log_file.name} away."
        )


def _lock_file(database: Path, descriptor: int) -> None:
    try:
        is_ours = ofd_locks.lock(descriptor, SERVED, 1, shared=False)
    except OSError as error:
        raise StartupError(f"Cannot lock the database: {error.strerror}: {database}") from None
    if not is_ours:
        raise StartupError(f"{database} is already served by another process, perhaps under another name.")
    if not _is_same(database, descriptor):
        raise StartupError(f"{database} was replaced just now; try again.")


def _check_names(database: Path, descriptor: int) -> None:
    names = os.fstat(descriptor).st_nlink
    if names > 1:
        raise StartupError(
            f"{database} has {names} names (hard links). Each name has its own log, and two logs damage the"
            " file: remove the other names (`find -samefile` finds them), or replace them with copies."
        )


def _make_private(database: Path, descriptor: int) -> None:
    """Make the database and its log files readable by the owner alone: they hold secrets."""
    is_new = os.fstat(descriptor).st_size == 0
    if is_new:
        os.fchmod(descriptor, PRIVATE)  # whatever the umask is; SQLite gives its own files the same mode
    for path in (
        database,
        *(database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal")),
    ):
        _tighten(path)


def _tighten(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~0o700:
            path.chmod(mode & 0o700)
            log.warning("%s was readable by others (mode %o); now only its owner can read it", path, mode)
    except FileNotFoundError:
        pass
    except PermissionError:
        log.warning(
            "%s is readable by others (mode %o), and its mode cannot be changed: it has another owner",
            path,
            mode,
        )


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_RDWR | flags, PRIVATE)
    except OSError as error:
        raise StartupError(f"Cannot lock the database: {error.strerror}: {path}") from None


def _is_same(path: Path, descriptor: int) -> bool:
    """Tell whether the name still leads to our file; a process unlinks its lock file as it ends."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _name(text: bytes) -> str:
    try:
        return f"pid {json.loads(text)['pid']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
