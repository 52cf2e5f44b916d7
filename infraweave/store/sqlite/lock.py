"""One process per file: locks that the kernel frees when their holder dies, however it dies.

``<db>.lock`` holds ``{"pid": …}`` while somebody serves the file. It can be removed, and a file may have
other names (hard links); so the database file itself is locked too, at a byte that SQLite never uses. Both
descriptors are closed on exec, and in forked children, which would keep the locks beyond their parent.
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

#: The byte of a database file that its server locks: beyond all that a file can hold.
SERVED = 1 << 62
#: What only the owner may do.
PRIVATE = 0o600

_descriptors: set[int] = set()


@contextmanager
def lock_database(database: Path, *, make: bool = False) -> Iterator[int]:
    """Hold the lock of a database file; give a descriptor of it, or -1 where there is no such file.

    The descriptor must stay open while SQLite has the file open: closing it drops SQLite's own locks. With
    ``make`` the file is made where there is none, and only its owner may read it from then on.

    Raises:
        StartupError: another process holds it, the file has another name, or there is no way to lock it.
    """
    path = lock_path(database)
    with closing_descriptor(_acquire(database, path)) as sign:
        try:
            os.truncate(sign, 0)
            os.pwrite(sign, json.dumps({"pid": os.getpid()}).encode(), 0)
            with _file(database, make) as descriptor:
                yield descriptor
        finally:
            if _is_still(path, sign):
                path.unlink(missing_ok=True)


def serving_process(database: Path) -> str | None:
    """Return who serves a database file, such as ``pid 4711``; None where nobody does.

    Whoever has the file open in SQLite must ask before that: asking drops SQLite's locks.
    """
    return _holder_of_sign(lock_path(database)) or _holder_of_file(database)


def lock_path(database: Path) -> Path:
    """Return the name of the lock file of a database."""
    return database.with_name(f"{database.name}.lock")


def _holder_of_sign(path: Path) -> str | None:
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


def _holder_of_file(database: Path) -> str | None:
    try:
        descriptor = os.open(database, os.O_RDONLY)
    except OSError:  # whoever reads it next says why it cannot be
        return None
    try:
        return "another process" if ofd_locks.is_locked(descriptor, SERVED) else None
    finally:
        os.close(descriptor)


@contextmanager
def closing_descriptor(descriptor: int) -> Iterator[int]:
    """Close a descriptor after the block, and in children that are forked meanwhile."""
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
        if _is_still(path, descriptor):
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
    """Refuse to make a file anew beside the log of one that has gone: SQLite would remove the log."""
    log_file = database.with_name(f"{database.name}-wal")
    if not database.exists() and log_file.exists() and log_file.stat().st_size:
        raise StartupError(
            f"{database} is gone, but {log_file.name}, the log that belongs to it, is here. Put the database"
            f" back beside its log; or, to begin with a new one, move {log_file.name} away."
        )


def _lock_file(database: Path, descriptor: int) -> None:
    try:
        is_ours = ofd_locks.lock(descriptor, SERVED, 1, shared=False)
    except OSError as error:
        raise StartupError(f"Cannot lock the database: {error.strerror}: {database}") from None
    if not is_ours:
        raise StartupError(f"{database} is already served by another process, perhaps by another name.")
    if not _is_still(database, descriptor):
        raise StartupError(f"{database} was replaced just now; try again.")


def _check_names(database: Path, descriptor: int) -> None:
    names = os.fstat(descriptor).st_nlink
    if names > 1:
        raise StartupError(
            f"{database} has {names} names (hard links). Whoever opens it by another one uses another log,"
            " and both damage it: remove the others (`find -samefile` finds them), or make copies of them."
        )


def _make_private(database: Path, descriptor: int) -> None:
    """Let only the owner read the database and what SQLite keeps beside it: they hold secrets."""
    is_new = os.fstat(descriptor).st_size == 0
    if is_new:
        os.fchmod(descriptor, PRIVATE)  # whatever the umask took; SQLite gives its own files the same mode
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
            log.warning("%s could be read by others (mode %o); now it is its owner's alone", path, mode)
    except FileNotFoundError:
        pass
    except PermissionError:
        log.warning("%s may be read by others (mode %o), and is not ours to change", path, mode)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_RDWR | flags, PRIVATE)
    except OSError as error:
        raise StartupError(f"Cannot lock the database: {error.strerror}: {path}") from None


def _is_still(path: Path, descriptor: int) -> bool:
    """Tell whether the name still means our file, which a holder unlinks as it leaves."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _name(text: bytes) -> str:
    try:
        return f"pid {json.loads(text)['pid']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
