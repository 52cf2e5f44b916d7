"""Atomic copies of a database: the target is a complete, durable copy, or unchanged.

The copy is written under a temporary name. It gets its final name once it is on the disk and has passed a
check, so an interrupted copy is never mistaken for a complete one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from infraweave.failpoints import reach
from infraweave.store.sqlite.statements import QUERIES

#: Called with the number of copied pages and the number of all pages.
Progress = Callable[[int, int], None]

#: Pages copied in one step: 4 MiB.
STEP = 1024
#: Files that SQLite keeps beside a database.
_BESIDE = ("-wal", "-shm", "-journal")


def beside(path: Path) -> list[Path]:
    """Return the names of the files that SQLite keeps beside a database."""
    return [path.with_name(path.name + suffix) for suffix in _BESIDE]


def copy(connection: sqlite3.Connection, target: Path, progress: Progress | None = None) -> None:
    """Copy what a connection sees to ``target``, durably; a file of that name is replaced.

    Raises:
        sqlite3.Error, OSError: the database cannot be read, or the copy cannot be written or is damaged.
            ``target`` is unchanged.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        _make_private(part)
        with closing(sqlite3.connect(part)) as other:
            other.execute("PRAGMA synchronous = OFF")  # synced once, at the end
            connection.backup(other, pages=STEP, progress=_progress(progress))
        _check_copy(part)
        _sync(part)
        reach("copy")
        for path in beside(target):  # they belong to the replaced file
            path.unlink(missing_ok=True)
        part.replace(target)
        _sync(target.absolute().parent)
    finally:
        for path in (part, *beside(part)):
            path.unlink(missing_ok=True)


def _make_private(path: Path) -> None:
    """Create the file anew, readable by its owner alone from the start: it holds secrets."""
    for old in (path, *beside(path)):
        old.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _progress(progress: Progress | None) -> Callable[[int, int, int], None] | None:
    if progress is None:
        return None
    return lambda _, remaining, total: progress(total - remaining, total)


def _check_copy(path: Path) -> None:
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        result = connection.execute(QUERIES["quick_check"]).fetchone()[0]
    if result != "ok":
        raise sqlite3.DatabaseError(f"the copy is damaged: {result}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
