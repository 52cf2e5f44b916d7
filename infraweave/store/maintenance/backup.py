"""Consistent copies of a database file, which may be served.

A read transaction pins one moment for the copy. In WAL mode such a reader blocks no writer, and need not
begin anew after a write.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from infraweave.errors import StartupError
from infraweave.store.sqlite.file_copy import Progress, beside, copy
from infraweave.store.sqlite.lock import lock_database
from infraweave.store.sqlite.read_only import read_only
from infraweave.store.sqlite.statements import QUERIES


def backup(source: Path, target: Path, *, force: bool = False, progress: Progress | None = None) -> int:
    """Copy a database to ``target``; return the size of the copy in bytes. The source is only read.

    Raises:
        StartupError: the source is not an InfraWeave database or cannot be read, the target exists (without
            ``force``) or is served, or the copy cannot be written or is damaged. The target is then
            unchanged.
    """
    try:
        _check(source, target, force)
        with read_only(source, any_schema=True) as connection, lock_database(target):
            connection.execute("BEGIN")
            connection.execute(QUERIES["any_table"]).fetchone()  # the first read begins the snapshot
            copy(connection, target, progress)
            return target.stat().st_size
    except (sqlite3.Error, OSError) as error:
        raise StartupError(f"{source} cannot be copied to {target}: {error}") from error


def _check(source: Path, target: Path, force: bool) -> None:
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise StartupError(f"{target} is not a file name in an existing folder; choose another name")
    if source.exists() and target.exists() and target.samefile(source):
        raise StartupError(f"{target} is the database itself; choose another name for the copy")
    taken = [path for path in (target, *beside(target)) if path.exists()]
    if taken and not force:
        raise StartupError(f"{taken[0]} exists; choose another name, or overwrite it with --force")
