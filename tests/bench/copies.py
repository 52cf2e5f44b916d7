"""Makes a file of many runs by copying the rows of one run, which takes seconds instead of hours.

The columns are looked up in the file, so files of every schema can be copied. ``infraweave db verify``
accepts the result: the copies are as good as runs that were made one by one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def copy_run(db: Path, run_id: str, copies: int) -> None:
    """Add so many copies of a run to a file that no server uses; each has an id of its own."""
    with closing(sqlite3.connect(db)) as connection:
        key = connection.execute("SELECT run_key FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
        top = connection.execute("SELECT max(run_key) FROM runs").fetchone()[0]
        for table in _tables(connection):
            _copy_rows(connection, table, key, run_id, top, copies)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Return the tables that hold rows of runs."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    of_run = "SELECT 1 FROM pragma_table_info(?) WHERE name = 'run_key'"
    return [name for name in tables if connection.execute(of_run, (name,)).fetchone()]


def _copy_rows(
    connection: sqlite3.Connection, table: str, key: int, run_id: str, top: int, copies: int
) -> None:
    kept = {
        name: _value(connection, table, name, key, run_id)
        for _, name, _, _, _, primary in connection.execute(f"PRAGMA table_info({table})")
        if not (primary and name == "event_key")  # the order of commits: SQLite counts it up
    }
    connection.execute(
        f"WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < :copies)"
        f" INSERT INTO {table} ({', '.join(map(_quoted, kept))})"
        f" SELECT {', '.join(kept.values())} FROM copies CROSS JOIN {table} WHERE run_key = :key",
        {"copies": copies, "key": key, "top": top, "run_id": run_id},
    )


def _value(connection: sqlite3.Connection, table: str, column: str, key: int, run_id: str) -> str:
    """Return the expression for a column of a copy."""
    if column == "run_key":
        return ":top + n"
    name = _quoted(column)
    named = f"SELECT 1 FROM {table} WHERE run_key = ? AND instr(CAST({name} AS TEXT), ?) > 0"
    if connection.execute(named, (key, run_id)).fetchone():
        # An id is 26 characters after `run_`; the last ten become the number of the copy.
        return f"replace({name}, :run_id, substr(:run_id, 1, 20) || printf('%010d', :top + n))"
    return name


def _quoted(name: str) -> str:
    return '"' + name + '"'


def some_runs(db: Path) -> list[str]:
    """Return the ids of a thousand runs from all over the file."""
    with closing(sqlite3.connect(db)) as connection:
        step = max(1, connection.execute("SELECT max(run_key) FROM runs").fetchone()[0] // 1_000)
        found = connection.execute("SELECT run_id FROM runs WHERE run_key % ? = 0", (step,))
        return [run_id for (run_id,) in found]
