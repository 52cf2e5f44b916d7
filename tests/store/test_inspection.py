"""A file is looked into from outside, served or not, and stays as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from infraweave.errors import StartupError
from infraweave.store.journal import Journal
from infraweave.store.maintenance import stats
from infraweave.store.sqlite.database import Database
from tests.store.histories import entry, opening, steps


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tea.db"


async def test_a_served_file_tells_what_it_holds_and_who_serves_it(path):
    async with Database.open(path) as db:
        journal = Journal(db)
        first = journal.new_key()
        await journal.append([entry(first, opening(), 0)])
        await journal.append([entry(first, steps(2, 3))])
        await journal.append([entry(journal.new_key(), opening(), 0)])
        found, file = stats.stats(path), stats.describe_file(path)
    assert found.runs == {"running": 2}
    rows = {table.table: table.rows for table in found.tables}
    assert (rows["runs"], rows["events"]) == (2, 5)
    assert all(table.size is None or table.size > 0 for table in found.tables)
    assert found.wal_size > 0
    assert found.oldest_open is not None
    assert file.served_by == f"pid {os.getpid()}"
    assert file.pragmas["journal_mode"] == "wal"
    assert (file.pragmas["synchronous"], file.pragmas["auto_vacuum"]) == ("full", "incremental")


async def test_a_file_that_nobody_serves_is_not_changed(path):
    async with Database.open(path):
        pass
    before = path.read_bytes()
    assert stats.describe_file(path).served_by is None
    assert stats.stats(path).oldest_open is None
    assert path.read_bytes() == before


async def test_what_a_killed_server_left_behind_counts_as_served_by_nobody(path):
    async with Database.open(path):
        pass
    path.with_name("tea.db.lock").write_text('{"pid": 1}')
    assert stats.describe_file(path).served_by is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), (b"", "is empty"), (b"tea" * 400, "not an SQLite database")],
)
def test_what_is_no_file_of_ours_is_refused_by_name(path, content, words):
    if content is not None:
        path.write_bytes(content)
    for read in (stats.describe_file, stats.stats):
        with pytest.raises(StartupError, match=f"tea.db.*{words}"):
            read(path)


@pytest.mark.parametrize(("schema", "step"), [(99, "use that version"), (1, "serve the file once")])
async def test_a_file_of_another_schema_is_not_counted_but_looked_at(path, schema, step):
    async with Database.open(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM migrations WHERE version > 1")
        connection.execute("UPDATE migrations SET version = ?", (schema,))
    with pytest.raises(StartupError, match=step):
        stats.stats(path)
    assert stats.describe_file(path).schema_version == schema


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_which_releases_of_sqlite_have_the_wal_fix(version, fixed):
    assert stats.has_wal_fix(version) is fixed
