"""Point reads on the loop: they see every commit, wait for nothing, and leave nothing open."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing

import pytest

from infraweave.errors import StorageUnavailable
from infraweave.store.journal import Journal
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.point_reads import LONGEST, MOST_EVENTS, POINT_READS, PointReader
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.statements import QUERIES

from .histories import entry, opening, steps

#: A search of an index, or a step over the rows that one found.
_STEP = re.compile(
    r"SEARCH \w+ USING (COVERING )?(INDEX|INTEGER PRIMARY KEY|PRIMARY KEY)"
    r"|(CORRELATED )?SCALAR SUBQUERY|SCAN CONSTANT ROW"
)


def event(seq, payload=None):
    return RowChanges(events=[(1, seq, 2, 1, "{}", payload)])


class Anything(dict):
    def __missing__(self, key):
        return None


@pytest.mark.parametrize("name", sorted(POINT_READS))
async def test_a_point_read_only_searches_an_index(db, name):
    sql = QUERIES[name]
    params = Anything() if re.search(r":\w", sql) else (1,) * sql.count("?")
    with closing(sqlite3.connect(db.path)) as connection:
        details = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]

    assert details
    assert [detail for detail in details if not _STEP.match(detail)] == []


@pytest.mark.parametrize("name", ["list_runs", "events_after", "urgent"])
async def test_lists_are_no_point_reads(db, name):
    with pytest.raises(KeyError):
        db.try_peek(name)


async def test_a_peek_asks_no_thread_and_sees_what_was_just_acknowledged(db, monkeypatch):
    monkeypatch.setattr(Database, "read", None)
    for seq in range(1, 50):
        await db.append(event(seq))
        assert (await db.peek("last_event", (1,)))["seq"] == seq


async def test_a_peek_does_not_keep_the_log_from_being_copied_into_the_database(db):
    await db.append(RowChanges(events=[(1, seq, 2, 1, "{}", None) for seq in range(1, 300)]))
    for seq in range(1, 300):
        assert await db.peek("event_at", {"run_key": 1, "seq": seq})
    Journal(db).short_log(1)

    def checkpoint(connection):
        return tuple(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())

    with closing(sqlite3.connect(db.path, isolation_level=None, timeout=0)) as other:
        assert checkpoint(other) == (0, 0, 0)


async def test_a_long_value_is_left_to_the_readers(db):
    await db.append(event(1, '{"input":"%s"}' % ("x" * LONGEST)))
    await db.append(event(2))

    assert db.try_peek("event_at", {"run_key": 1, "seq": 1}) is None
    assert len((await db.peek("event_at", {"run_key": 1, "seq": 1}))["payload"]) > LONGEST
    assert db.try_peek("event_at", {"run_key": 1, "seq": 2})
    assert Journal(db).short_log(1) is None


async def test_a_parameter_that_is_too_long_finds_nothing(db):
    assert await db.peek("run_by_id", ("x" * 2 * LONGEST,)) is None


async def test_a_log_is_short_up_to_its_limit(db):
    journal = Journal(db)
    await db.append(RowChanges(events=[(1, seq, 2, 1, "{}", None) for seq in range(1, MOST_EVENTS + 1)]))
    assert [stored.seq for stored in journal.short_log(1)] == list(range(1, MOST_EVENTS + 1))
    await db.append(event(MOST_EVENTS + 1))
    assert journal.short_log(1) is None
    assert journal.short_log(2) == []


async def test_a_lock_of_another_program_sends_a_peek_to_the_readers(db, monkeypatch):
    await db.append(event(1))
    own = db._point_reader._connection

    class Locked:
        def execute(self, *args):
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
            raise error

    monkeypatch.setattr(db._point_reader, "_connection", Locked())
    assert db.try_peek("last_event", (1,)) is None
    assert (await db.peek("last_event", (1,)))["seq"] == 1
    monkeypatch.setattr(db._point_reader, "_connection", own)


async def test_a_point_reader_never_waits_for_a_lock_and_cannot_write(db):
    connection = db._point_reader._connection

    assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 0
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute(QUERIES["write_page"])


async def test_an_error_of_the_file_is_that_the_database_cannot_be_read(db, monkeypatch):
    def broken(self, name, params):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(PointReader, "rows", broken)
    with pytest.raises(StorageUnavailable, match="cannot be read"):
        await db.peek("last_event", (1,))


async def test_a_closed_database_refuses_a_peek(path):
    async with Database.open(path) as db:
        pass

    with pytest.raises(StorageUnavailable, match="closed"):
        await db.peek("last_event", (1,))
    assert [file.name for file in path.parent.iterdir()] == ["tea.db"]


async def test_a_private_file_is_peeked_into_like_any_other():
    async with Database.open(":memory:") as db:
        await db.append(event(7))
        assert (await db.peek("last_event", (1,)))["seq"] == 7


async def test_peeks_while_others_write_are_never_torn(db, journal):
    async def write():
        await journal.append([entry(1, opening())])
        for seq in range(2, 40):
            await journal.append([entry(1, steps(seq, 1))])

    writing = asyncio.create_task(write())
    last = 0
    while not writing.done():
        seen = [stored.seq for stored in journal.short_log(1) or ()]
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= last
        last = len(seen)
        await asyncio.sleep(0)
    await writing
    assert len(journal.short_log(1)) == await journal.last_seq(1)
