"""Verifies a file against its events, from which everything else must follow.

The events of each run are folded again by the code that runs it. Its index rows are written again by the
same statements, to a database in memory. Its place on the agenda follows from its state. Verifying only
reads, one run in a transaction, so it may run beside a server, and holds one run in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from infraweave.store.maintenance.verify_run import About, Counts, Problem, RunVerifier
from infraweave.store.runs import rebuild
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.migrations import MIGRATIONS, create_tables
from infraweave.store.sqlite.read_only import read_only
from infraweave.store.sqlite.statements import QUERIES

#: What ``repair`` can repair.
REPAIRABLE: frozenset[About] = frozenset({"index", "agenda"})


def verify(path: Path, counts: Counts | None = None) -> Iterator[Problem]:
    """Yield the problems of a file, which may be served; ``counts`` shows the progress.

    Raises:
        StartupError: it is not a database of this schema, or cannot be read at all.
    """
    with read_only(path) as connection, closing(scratch_database()) as scratch:
        yield from _file_problems(connection)
        verifier = RunVerifier(connection, scratch, counts or Counts())
        key: int | None = -1
        while (key := _next_key(connection, key)) is not None:
            yield from verifier.verify_run(key)


async def repair(path: Path, now: int) -> list[Problem]:
    """Rebuild index and agenda of a file from its events; return all problems that were found.

    Nothing is changed if the events or the file are damaged, because a repair needs them.

    Raises:
        StartupError: a process serves the file, or it cannot be read or written.
    """
    async with Database.open(path, now=now) as db:
        found = list(verify(path))
        if all(problem.about not in ("file", "events") for problem in found):
            late = [(p.run_key, p.due_at) for p in found if p.about == "agenda"]
            await db.transact(lambda connection: connection.executemany(QUERIES["set_due"], late))
            await rebuild(db)  # also removes ended runs from the agenda
    return found


def scratch_database() -> sqlite3.Connection:
    """Return a database in memory with all tables, to write the rows of a run to."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    for step in MIGRATIONS:
        create_tables(connection, step)
    return connection


def _next_key(connection: sqlite3.Connection, after: int | None) -> int | None:
    key: int | None = connection.execute(QUERIES["next_run_key"], {"after": after}).fetchone()[0]
    return key


def _file_problems(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (result,) in connection.execute(QUERIES["integrity_check"]):
        if result != "ok":
            yield Problem(about="file", message=result)
    for table, row, parent, _ in connection.execute(QUERIES["foreign_key_check"]):
        where = table if row is None else f"row {row} of {table}"
        yield Problem(about="file", message=f"{where} refers to a missing row of {parent}")
