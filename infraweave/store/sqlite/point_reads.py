"""Point reads on the event loop's own connection, without a thread.

Under load a hop into the thread of a reader and back takes 300–600 µs, and the search of an index 4–20 µs. So
what nearly every request reads is read here: a token, a run, the log of a short run. The loop stands still
meanwhile. Therefore nothing here waits for a lock, only statements of ``POINT_READS`` are executed, and
SQLite refuses a long value before it reads it. The callers then ask the other readers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infraweave.errors import StartupError
from infraweave.store.sqlite.statements import QUERIES

#: Statements that search an index and return one row, or few. A test reads their query plans.
POINT_READS = frozenset(
    {
        "event_at",
        "has_grants",
        "key",
        "last_event",
        "run_by_id",
        "run_by_idempotency_key",
        "run_by_key",
        "schedule",
        "short_log",
        "token_by_hash",
        "webhook",
        "workflow",
    }
)
#: Bytes of the longest value that is read here.
LONGEST = 32 * 1024
#: Events that ``short_log`` returns at most.
MOST_EVENTS = 64

_PRAGMAS = (
    "query_only = ON",
    "wal_autocheckpoint = 0",
    "cache_size = -4096",
    "temp_store = MEMORY",
    "busy_timeout = 0",
)
#: Errors after which another reader may succeed: a lock of another program, and a long value.
_ELSEWHERE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_TOOBIG)


class PointReader:
    """A ``query_only`` connection of the thread of the event loop."""

    def __init__(self, path: Path, busy: float) -> None:
        """Open the connection; ``busy``: seconds to wait for a lock of another program while it opens.

        Raises:
            StartupError: the file cannot be opened.
        """
        self._connection = sqlite3.connect(path, timeout=busy, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        self._statements = {name: QUERIES[name] for name in POINT_READS}
        try:
            self._connection.execute(QUERIES["any_table"]).fetchall()  # the first read opens the log
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error as error:
            self.close()
            raise StartupError(f"{path} cannot be opened: {error}") from error

    def rows(self, name: str, params: Sequence[Any] | Mapping[str, Any]) -> list[sqlite3.Row] | None:
        """Return the rows of a point read as of the last commit; None if another reader must be asked.

        Raises:
            KeyError: the statement is not a point read.
            sqlite3.Error: the file cannot be read.
        """
        try:
            # All rows at once: a statement that is not finished would keep the log from being checkpointed.
            return self._connection.execute(self._statements[name], params).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _ELSEWHERE:
                return None
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
