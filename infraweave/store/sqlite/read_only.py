"""A read-only connection to a file, which another process may be serving."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from infraweave.errors import StartupError
from infraweave.store.sqlite.migrations import MIGRATIONS, found_version

_PRAGMAS = ("query_only = ON", "temp_store = MEMORY", "cache_size = -16384")
#: Seconds to wait for a lock of another program.
_BUSY = 10.0


@contextmanager
def read_only(path: Path, *, any_schema: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a file for reading for the length of a block: no checkpoint, no migration.

    Raises:
        StartupError: there is no such file, it is not an InfraWeave database, it cannot be read, or (without
            ``any_schema``) it has another schema than this build.
    """
    if not path.is_file():
        raise StartupError(f"{path}: no such file")
    try:
        _check_schema(path, found_version(path), any_schema)
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY)) as connection:
            connection.row_factory = sqlite3.Row
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            yield connection
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be read: {error}") from error


def _check_schema(path: Path, version: int, any_schema: bool) -> None:
    newest = MIGRATIONS[-1].version
    if version == 0:
        raise StartupError(f"{path} is empty: no server has used it yet.")
    if version != newest and not any_schema:
        step = "use that version" if version > newest else "serve the file once to bring it up to date"
        raise StartupError(
            f"{path} belongs to another version of InfraWeave (schema {version}, here {newest}): {step}."
        )
