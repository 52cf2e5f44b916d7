"""Checks a file against its events: they are the truth, and all else must follow from them.

Each run is folded anew, event by event, by the same code that runs it; its rows in the index are made anew by
the same statements that wrote them, in a database in memory; its place on the agenda follows from its state.
It only reads, a run in a transaction, so it may be done beside a server, and holds one run in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from infraweave.store.maintenance.verify_run import About, Counts, Problem, RunVerifier
from infraweave.store.runs import rebuild
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.migrations import MIGRATIONS
from infraweave.store.sqlite.read_only import read_only
from infraweave.store.sqlite.statements import QUERIES, split

#: What ``repair`` can mend.
REPAIRABLE: frozenset[About] = frozenset({"index", "agenda"})


def verify(path: Path, counts: Counts | None = None) -> Iterator[Problem]:
    """Yield what is wrong with a file, served or not; ``counts`` tells how far it has come.

    Raises:
        StartupError: it is no database of this schema, or cannot be read at all.
    """
    with read_only(path) as connection, closing(scratch_database()) as scratch:
        yield from _file_problems(connection)
        examiner = RunVerifier(connection, scratch, counts or Counts())
        key: int | None = -1
        while (key := _next_key(connection, key)) is not None:
            yield from examiner.run(key)


async def repair(path: Path, now: int) -> list[Problem]:
    """Make index and agenda of a file anew from its events; return what is wrong with them or else.

    Nothing is changed where the events or the file are wrong, for then there is nothing to go by.

    Raises:
        StartupError: somebody serves the file, or it cannot be read or written.
    """
    async with Database.open(path, now=now) as db:
        found = list(verify(path))
        if all(problem.about not in ("file", "events") for problem in found):
            late = [(p.run_key, p.due_at) for p in found if p.about == "agenda"]
            await db.transact(lambda connection: connection.executemany(QUERIES["set_due"], late))
            await rebuild(db)  # which also takes off what has ended
    return found


def scratch_database() -> sqlite3.Connection:
    """Return a database in memory that has our tables, to write a run's rows into."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    for step in MIGRATIONS:
        for statement in split(step.script):
            connection.execute(statement)
    return connection


def _next_key(connection: sqlite3.Connection, after: int | None) -> int | None:
    key: int | None = connection.execute(QUERIES["next_run_key"], {"after": after}).fetchone()[0]
    return key


def _file_problems(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (said,) in connection.execute(QUERIES["integrity_check"]):
        if said != "ok":
            yield Problem(about="file", message=said)
    for table, row, parent, _ in connection.execute(QUERIES["foreign_key_check"]):
        where = table if row is None else f"row {row} of {table}"
        yield Problem(about="file", message=f"{where} points at a row of {parent} that is not there")
