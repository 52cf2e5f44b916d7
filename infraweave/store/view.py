"""A file seen from outside: a connection that only reads, beside whoever serves it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from infraweave.errors import StartupError
from infraweave.store.migrations import MIGRATIONS, found_version

_PRAGMAS = ("query_only = ON", "temp_store = MEMORY", "cache_size = -16384")


def read_only(path: Path) -> sqlite3.Connection:
    """Open a file for reading; in WAL mode that holds up no writer."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that reads a database of this build's schema for the length of a block.

    Raises:
        StartupError: it is no such database, or cannot be read.
    """
    try:
        _check_schema(path)
        with closing(read_only(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be read: {error}") from error


def _check_schema(path: Path) -> None:
    version, newest = found_version(path), MIGRATIONS[-1].version
    if not version:
        raise StartupError(f"{path}: no such database")
    if version > newest:
        raise StartupError(f"{path} was made by a newer InfraWeave: its schema is {version}, not {newest}.")
    if version < newest:
        raise StartupError(
            f"{path} has the schema {version}, and this build reads {newest}: serve it once, which keeps a"
            " copy of it and brings it up to date."
        )
