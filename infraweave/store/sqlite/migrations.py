"""Brings a file to the schema of this build, or refuses it and leaves it unchanged.

All missing migrations are applied in one transaction. Migrations only go forward. A file that holds data is
first copied to a file beside it. The list of migrations is only added to, never edited.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from infraweave.core.lazy_records import frozen
from infraweave.core.run import older_events
from infraweave.errors import StartupError
from infraweave.failpoints import reach
from infraweave.store.sqlite.file_copy import copy
from infraweave.store.sqlite.statements import QUERIES, read_sql, split

#: The first schema writes it into the header of a new file.
APPLICATION_ID = 1230455874
#: 3.37 introduced STRICT tables.
OLDEST_SQLITE = (3, 37)


@frozen
class Migration:
    """One step of the schema."""

    version: int
    name: str
    script: str


MIGRATIONS: tuple[Migration, ...] = tuple(
    Migration(version, name, read_sql(f"schema/{file}.sql"))
    for version, name, file in (
        (1, "the first schema", "1_first_schema"),
        (2, "schedules and webhooks", "2_triggers"),
        (3, "delayed starts and lanes", "3_concurrency_keys"),
        (4, "retention", "4_retention"),
        (5, "the audit log", "5_audit"),
        (6, "what people are being asked", "6_input_requests"),
        (7, "statistics", "7_statistics"),
        (8, "strangers in the audit log, and keys", "8_audit_kinds_and_keys"),
        (9, "the clock that was seen", "9_clock"),
        (10, "compact events", "10_compact_events"),
    )
)

#: What the scripts call.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (older_events.type_code, older_events.compact_data, older_events.compact_payload)
}


def prepare(path: Path, now: int, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Create the file, or bring it up to date.

    Raises:
        StartupError: it is not an InfraWeave database, or belongs to a newer build, or cannot be read or
        written.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StartupError(f"SQLite {sqlite3.sqlite_version} is too old; InfraWeave needs 3.37 or newer.")
    try:
        version = found_version(path)
        if version > migrations[-1].version:
            raise StartupError(
                f"{path} was written by a newer InfraWeave: its schema is {version}, this build supports"
                f" {migrations[-1].version}. Start the newer version, or restore a backup."
            )
        if missing := [step for step in migrations if step.version > version]:
            _migrate(path, version, missing, now)
    except (sqlite3.Error, OSError) as error:
        raise StartupError(f"{path} cannot be opened: {error}") from error


def found_version(path: Path) -> int:
    """Return the schema version of a file, 0 if it is new.

    Nothing is written, except when a write was interrupted: then SQLite rolls that back first.

    Raises:
        StartupError: it is not an InfraWeave database.
    """
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return 0
    try:
        return _version(path, "ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        return _version(path, "rw")


def _version(path: Path, mode: str) -> int:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
        try:
            if connection.execute(QUERIES["any_table"]).fetchone() is None:
                return 0
            if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
                raise _foreign(path, "a database of another program")
            version: int = connection.execute(QUERIES["schema_version"]).fetchone()[0]
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            raise _foreign(path, "not an SQLite database") from None
    return version


def _foreign(path: Path, what: str) -> StartupError:
    return StartupError(f"{path} is {what}; give InfraWeave a file of its own.")


def _migrate(path: Path, version: int, missing: list[Migration], now: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if version:
            copy(connection, path.with_name(f"{path.name}.backup-v{version}"))
        else:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in missing:
                _apply(connection, step, now)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def create_tables(connection: sqlite3.Connection, step: Migration) -> None:
    """Perform the statements of one migration."""
    for name, function in _FUNCTIONS.items():
        connection.create_function(name, -1, function, deterministic=True)
    for statement in split(step.script):
        connection.execute(statement)


def _apply(connection: sqlite3.Connection, step: Migration, now: int) -> None:
    create_tables(connection, step)
    connection.execute(QUERIES["record_migration"], (step.version, step.name, now))
    reach("migration")
