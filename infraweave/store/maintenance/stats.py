"""Facts and figures of a database file, which may be served; the file is only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from infraweave.core.lazy_records import frozen
from infraweave.store.sqlite.database import WRITER_PRAGMAS
from infraweave.store.sqlite.lock import serving_process
from infraweave.store.sqlite.migrations import MIGRATIONS, OLDEST_SQLITE, found_version
from infraweave.store.sqlite.read_only import read_only
from infraweave.store.sqlite.statements import QUERIES

#: Releases in which two connections that write or checkpoint at the same instant cannot corrupt a WAL
#: database: all from the first one on, and later patch releases of two older lines.
_FIXED, _FIXED_LINES = (3, 51, 3), ((3, 50, 7), (3, 44, 6))
#: Settings that the file itself stores.
_FILE_PRAGMAS = ("journal_mode", "auto_vacuum", "page_size", "page_count", "freelist_count", "encoding")
#: Settings of the server's connection: ``synchronous = FULL`` → ``synchronous``.
_SET_PRAGMAS = tuple(pragma.partition(" ")[0] for pragma in WRITER_PRAGMAS)
#: Names of the numbers that SQLite returns.
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
    """A database file. Sizes are in bytes; ``served_by`` is None if no process serves it."""

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
    """A table; ``size`` in bytes with its indexes, None if this SQLite cannot report it."""

    table: str
    rows: int
    size: int | None


@frozen(kw_only=True)
class Stats:
    """The content of a file at one moment. Sizes in bytes; new rows use ``free`` before the file grows."""

    size: int
    wal_size: int
    free: int
    tables: tuple[Table, ...]
    runs: dict[str, int]
    oldest_open: OpenRun | None


def sqlite_build() -> SQLiteBuild:
    """Return the SQLite version of this process, and whether it is suitable."""
    version = sqlite3.sqlite_version_info
    return SQLiteBuild(
        version=sqlite3.sqlite_version,
        new_enough=version >= OLDEST_SQLITE,
        has_wal_fix=has_wal_fix(version),
    )


def has_wal_fix(version: tuple[int, ...]) -> bool:
    """Tell whether a release has the fix for WAL databases that two connections checkpoint at once."""
    return version >= _FIXED or any(version[:2] == line[:2] and version >= line for line in _FIXED_LINES)


def describe_file(path: Path) -> DatabaseFile:
    """Return the facts about a file, with the settings that the server would use.

    Raises:
        StartupError: there is no such file, it is not an InfraWeave database, or it cannot be read.
    """
    served_by = serving_process(path.resolve())  # before SQLite opens it in this process
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
    """Return the settings in effect with those of the server, which apply to this connection alone."""
    for pragma in WRITER_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return {name: _pragma(connection, name) for name in (*_FILE_PRAGMAS, *_SET_PRAGMAS)}


def _pragma(connection: sqlite3.Connection, name: str) -> int | str:
    value: int | str = connection.execute(f"PRAGMA {name}").fetchone()[0]
    words = _WORDS.get(name)
    return words[value] if words is not None and isinstance(value, int) and value < len(words) else value


def stats(path: Path) -> Stats:
    """Count the content of a file. That reads all of it, so it takes long with a large file.

    Raises:
        StartupError: there is no such file, it is not a database of this schema, or it cannot be read.
    """
    with read_only(path) as connection:
        connection.execute("BEGIN")  # all numbers are of one moment
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
    """Return the bytes of each table, nothing if this SQLite was built without dbstat."""
    if not connection.execute(QUERIES["has_dbstat"]).fetchone()[0]:
        return {}
    return dict(connection.execute(QUERIES["table_sizes"]).fetchall())


def _wal_size(path: Path) -> int:
    wal = path.with_name(f"{path.name}-wal")
    return wal.stat().st_size if wal.exists() else 0
