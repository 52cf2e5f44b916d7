"""Looks into a database file from outside, also while a server serves it: reads, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from infraweave.store.sqlite.database import WRITER_PRAGMAS
from infraweave.store.sqlite.lock import serving_process
from infraweave.store.sqlite.migrations import MIGRATIONS, OLDEST_SQLITE, found_version
from infraweave.store.sqlite.read_only import read_only
from infraweave.store.sqlite.statements import QUERIES

#: Releases in which two connections that write or checkpoint at one instant cannot corrupt a WAL database:
#: the newest line from its first on, and two older lines.
_FIXED, _FIXED_LINES = (3, 51, 3), ((3, 50, 7), (3, 44, 6))
#: What is set in the file itself, for whoever opens it.
_FILE_PRAGMAS = ("journal_mode", "auto_vacuum", "page_size", "page_count", "freelist_count", "encoding")
#: What the server sets for its connection: ``synchronous = FULL`` → ``synchronous``.
_SET_PRAGMAS = tuple(pragma.partition(" ")[0] for pragma in WRITER_PRAGMAS)
#: The words for numbers that SQLite gives.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "auto_vacuum": ("none", "full", "incremental"),
    "synchronous": ("off", "normal", "full", "extra"),
    "temp_store": ("default", "file", "memory"),
    "foreign_keys": ("off", "on"),
}


@frozen(kw_only=True)
class SQLiteBuild:
    """The SQLite of this process."""

    version: str
    new_enough: bool
    has_wal_fix: bool


@frozen(kw_only=True)
class DatabaseFile:
    """A database file. Sizes are in bytes; ``served_by`` is None where nobody serves it."""

    path: Path
    served_by: str | None
    schema_version: int
    newest_schema: int
    size: int
    wal_size: int
    pragmas: dict[str, int | str]


@frozen(kw_only=True)
class OpenRun:
    """A run that has not ended; ``created_at`` in milliseconds."""

    run_id: str
    tenant: str
    workflow_id: str
    workflow_version: str
    state: str
    created_at: int


@frozen(kw_only=True)
class Table:
    """A table; ``size`` in bytes with its indexes, None where this SQLite cannot tell."""

    table: str
    rows: int
    size: int | None


@frozen(kw_only=True)
class Stats:
    """What a file holds, of one moment. Sizes in bytes; ``free`` is what new rows take before it grows."""

    size: int
    wal_size: int
    free: int
    tables: tuple[Table, ...]
    runs: dict[str, int]
    oldest_open: OpenRun | None


def sqlite_build() -> SQLiteBuild:
    """Return which SQLite this is, and what is known of it."""
    version = sqlite3.sqlite_version_info
    return SQLiteBuild(
        version=sqlite3.sqlite_version,
        new_enough=version >= OLDEST_SQLITE,
        has_wal_fix=has_wal_fix(version),
    )


def has_wal_fix(version: tuple[int, ...]) -> bool:
    """Tell whether a release cannot corrupt a WAL database that two connections checkpoint at one instant."""
    return version >= _FIXED or any(version[:2] == line[:2] and version >= line for line in _FIXED_LINES)


def describe_file(path: Path) -> DatabaseFile:
    """Return what a file is, and how the server would use it.

    Raises:
        StartupError: there is none, or it is not ours, or cannot be read.
    """
    served_by = serving_process(path.resolve())  # before it is open here
    with read_only(path, any_schema=True) as connection:
        return DatabaseFile(
            path=path.resolve(),
            served_by=served_by,
            schema_version=found_version(path),
            newest_schema=MIGRATIONS[-1].version,
            size=path.stat().st_size,
            wal_size=_wal_size(path),
            pragmas=_pragmas(connection),
        )


def _pragmas(connection: sqlite3.Connection) -> dict[str, int | str]:
    """Return what is in effect once the server's own settings are made, which touch this connection alone."""
    for pragma in WRITER_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return {name: _pragma(connection, name) for name in (*_FILE_PRAGMAS, *_SET_PRAGMAS)}


def _pragma(connection: sqlite3.Connection, name: str) -> int | str:
    value: int | str = connection.execute(f"PRAGMA {name}").fetchone()[0]
    words = _WORDS.get(name)
    return words[value] if words is not None and isinstance(value, int) and value < len(words) else value


def stats(path: Path) -> Stats:
    """Return what a file holds. Counting reads all of it, so it takes its time with a large one.

    Raises:
        StartupError: there is none, or it is not ours or of another schema, or cannot be read.
    """
    with read_only(path) as connection:
        connection.execute("BEGIN")  # so that all numbers are of one moment
        return _counted(path, connection)


def _counted(path: Path, connection: sqlite3.Connection) -> Stats:
    sizes = _sizes(connection)
    page_size, free = (int(_pragma(connection, name)) for name in ("page_size", "freelist_count"))
    counts = connection.execute(QUERIES["row_counts"])
    states = connection.execute(QUERIES["runs_by_state"], {"tenant": None})
    oldest = connection.execute(QUERIES["oldest_open_run"]).fetchone()
    return Stats(
        size=path.stat().st_size,
        wal_size=_wal_size(path),
        free=page_size * free,
        tables=tuple(Table(table=name, rows=rows, size=sizes.get(name)) for name, rows in counts),
        runs=dict(states.fetchall()),
        oldest_open=None if oldest is None else OpenRun(**oldest),
    )


def _sizes(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the bytes of each table; nothing where this SQLite was built without the means."""
    if not connection.execute(QUERIES["has_dbstat"]).fetchone()[0]:
        return {}
    return dict(connection.execute(QUERIES["table_sizes"]).fetchall())


def _wal_size(path: Path) -> int:
    wal = path.with_name(f"{path.name}-wal")
    return wal.stat().st_size if wal.exists() else 0
