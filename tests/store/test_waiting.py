"""A lock that passes, and a disk that has room again: what was submitted waits, and nothing is unknown."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from infraweave.errors import StorageUnavailable
from infraweave.store.maintenance.backup import backup
from infraweave.store.sqlite import database
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.statements import QUERIES
from infraweave.store.sqlite.write_stall import WriteStall


@pytest.fixture
async def patient(path, monkeypatch):
    """A database whose writes wait for what passes."""
    monkeypatch.setattr(database, "_BUSY_WRITING", 0.05)
    async with Database.open(path, patient=True) as db:
        yield db


def event(seq):
    return RowChanges(events=[(1, seq, 2, 1, "{}", None)])


async def seqs(db):
    page = {"run_key": 1, "after": 0, "limit": 10_000, "payloads": True, "most": 1 << 30}
    return [row["seq"] for row in await db.read("events_after", page)]


async def until(condition):
    """Let the loop turn until something has come about; the test's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0.01)


async def test_what_waits_for_a_lock_is_written_in_its_order_once_it_is_free(patient):
    with closing(sqlite3.connect(patient.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        first = patient.append(event(1))
        await until(lambda: patient.stall)
        second = patient.append(event(2))
        with pytest.raises(StorageUnavailable):
            patient.stall.raise_if_stalled()
        assert await seqs(patient) == []
        assert not first.done()
        other.execute("ROLLBACK")
        await first
        await second

    assert await seqs(patient) == [1, 2]
    assert not patient.stall
    assert patient.failed is None


async def test_a_disk_that_is_full_keeps_writes_waiting_until_there_is_room(patient):
    scarce = [True]

    def full(connection):
        connection.execute(f"PRAGMA max_page_count = {1 if scarce else 1_000_000}")
        for seq in range(2, 1_000):
            connection.execute(QUERIES["insert_event"], (1, seq, 2, 1, "{}", None))

    job = asyncio.create_task(patient.transact(full))
    await asyncio.sleep(0)
    write = patient.append(event(1))  # in the same batch
    await until(lambda: patient.stall)
    assert await seqs(patient) == []
    scarce.clear()
    await write
    await job

    assert await seqs(patient) == list(range(1, 1_000))
    assert patient.failed is None


async def test_a_process_that_ends_does_not_wait_for_a_lock(patient):
    with closing(sqlite3.connect(patient.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write = patient.append(event(1))
        await until(lambda: patient.stall)
        patient.stop_waiting()
        with pytest.raises(StorageUnavailable):
            await write

    assert "locked" in str(patient.failed)


async def test_who_waits_when_writing_comes_to_stand_still_is_sent_off_and_the_work_goes_on():
    stall, gate, done = WriteStall(), asyncio.Event(), []

    async def work():
        await gate.wait()
        done.append(True)

    waiting = asyncio.create_task(stall.run_until_stalled(work()))
    await asyncio.sleep(0)
    stall.begin(sqlite3.OperationalError("database is locked"))
    with pytest.raises(StorageUnavailable, match="may still be stored") as refusal:
        await waiting
    assert refusal.value.headers == {"Retry-After": "1"}
    gate.set()
    await until(lambda: done)
    stall.end()
    stall.raise_if_stalled()


async def test_a_caller_that_hangs_up_takes_its_work_along_and_an_error_of_it_is_heard(caplog):
    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            raise LookupError("no tea")

    waiting = asyncio.create_task(WriteStall().run_until_stalled(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: "no tea" in caplog.text)


async def test_what_other_tools_may_do_to_a_file_is_no_alarm(db):
    """Checkpoints, a shrinking file, and writes of others change sizes too."""
    with closing(sqlite3.connect(db.path, isolation_level=None)) as other:
        for turn in range(30):
            await db.append(RowChanges(events=[(turn, seq, 2, 1, "x" * 500, None) for seq in range(40)]))
            other.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if turn % 3 else 'PASSIVE'})").fetchall()
            other.execute("DELETE FROM events WHERE run_key < ?", (turn - 2,))
            if turn % 4 == 0:
                other.execute("PRAGMA incremental_vacuum").fetchall()
            if turn % 7 == 0:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            await db.ping()

    assert db.failed is None


async def test_a_backup_takes_the_place_of_one_that_has_other_names(db, tmp_path):
    await db.append(event(1))
    target, yesterday = tmp_path / "copy.db", tmp_path / "yesterday.db"
    target.write_bytes(b"of yesterday")
    yesterday.hardlink_to(target)

    backup(db.path, target, force=True)

    assert target.stat().st_nlink == 1
    assert yesterday.read_bytes() == b"of yesterday"
