"""Copies a database to a file of another name, durably and whole, or not at all.

The copy grows under a name of its own and gets its true one only when it is on the disk and sound, so one
that was interrupted is never taken for a copy.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from infraweave.failpoints import reach
from infraweave.store.sqlite.statements import QUERIES

#: Called with the pages that are copied, and with all.
Progress = Callable[[int, int], None]

#: Pages copied at a stretch: 4 MiB.
STEP = 1024
#: What SQLite keeps beside a file; of another database it would be taken for this one's.
_BESIDE = ("-wal", "-shm", "-journal")


def beside(path: Path) -> list[Path]:
    """Return the names of what SQLite keeps beside a file."""
    return [path.with_name(path.name + suffix) for suffix in _BESIDE]


def copy(connection: sqlite3.Connection, target: Path, progress: Progress | None = None) -> None:
    """Copy what a connection sees to a file, durably, in place of what has that name.

    Raises:
        sqlite3.Error, OSError: it cannot be read or written, or the copy is not sound; ``target`` is as
            it was.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        _make_private(part)
        with closing(sqlite3.connect(part)) as other:
            other.execute("PRAGMA synchronous = OFF")  # it is synced once, at the end
            connection.backup(other, pages=STEP, progress=_told(progress))
        _check_copy(part)
        _sync(part)
        reach("copy")
        for path in beside(target):  # of the file whose name it takes
            path.unlink(missing_ok=True)
        part.replace(target)
        _sync(target.absolute().parent)
    finally:
        for path in (part, *beside(part)):
            path.unlink(missing_ok=True)


def _make_private(path: Path) -> None:
    """Make the file anew, readable by its owner alone from its first byte on: it holds secrets."""
    for old in (path, *beside(path)):
        old.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _told(progress: Progress | None) -> Callable[[int, int, int], None] | None:
    if progress is None:
        return None
    return lambda _, remaining, total: progress(total - remaining, total)


def _check_copy(path: Path) -> None:
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        said = connection.execute(QUERIES["quick_check"]).fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError(f"the copy is not sound: {said}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
