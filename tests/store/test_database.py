"""The write door: what is promised is on disk, and nobody's trouble is another's."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from infraweave.errors import StorageUnavailable
from infraweave.store.sqlite import batch
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.statements import QUERIES

from .histories import entry, opening, steps


def event(run_key, seq):
    return RowChanges(events=[(run_key, seq, 2, 1, "{}", None)])


async def seqs(db, run_key=1):
    rows = await db.read("events_after", page(run_key))
    return [row["seq"] for row in rows]


def page(run_key):
    return {"run_key": run_key, "after": 0, "limit": 10_000, "payloads": True, "most": 1 << 30}


@pytest.fixture
def commits(monkeypatch):
    """The size of each batch that was committed."""
    sizes = []
    commit = batch.commit

    def counted(connection, writes):
        sizes.append(len(writes))
        commit(connection, writes)

    monkeypatch.setattr(batch, "commit", counted)
    return sizes


async def test_writes_of_one_moment_share_a_commit(db, commits):
    await asyncio.gather(*(db.append(event(1, seq)) for seq in range(1, 1001)))

    assert await seqs(db) == list(range(1, 1001))
    assert len(commits) <= 2


async def test_what_is_submitted_while_a_batch_is_on_its_way_makes_the_next_batch(db, commits):
    async def producer(run_key):
        for seq in range(1, 21):
            await db.append(event(run_key, seq))

    await asyncio.gather(*(producer(run_key) for run_key in range(1, 51)))

    assert sum(commits) == 50 * 20
    assert len(commits) <= 2 * 20


async def test_the_order_of_submission_is_the_order_of_commit(db):
    futures = []
    for seq in range(1, 200):
        futures.append(db.append(event(1, seq)))
        if seq % 50 == 0:
            futures.append(asyncio.ensure_future(db.transact(count)))
            await asyncio.sleep(0)
    results = await asyncio.gather(*futures)

    assert [result for result in results if result is not None] == [50, 100, 150]


def count(connection):
    return connection.execute("SELECT count(*) FROM events").fetchone()[0]


@pytest.mark.parametrize("size", [1, 3, 4, 15, 16, 63, 64, 65, 127, 149])
async def test_a_batch_of_any_size_goes_in_whole(db, size):
    await db.append(RowChanges(events=[(1, seq, 2, 1, "{}", None) for seq in range(1, size + 1)]))

    assert await seqs(db) == list(range(1, size + 1))


async def test_a_caller_that_is_cancelled_hears_so_after_the_commit(db):
    async def caller():
        await db.append(event(1, 1))

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await seqs(db) == [1]


async def test_cancelling_a_write_neither_loses_it_nor_runs_its_callbacks_early(db):
    seen = []
    future = db.append(event(1, 1))
    future.add_done_callback(lambda done: seen.append(done.cancelled()))

    assert future.cancel() is False
    assert seen == []

    await future
    assert seen == [False]


async def test_many_cancelled_callers_leave_no_transaction_open(db):
    tasks = [asyncio.create_task(db.transact(insert(seq))) for seq in range(1, 101)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await db.append(event(1, 101))

    assert await seqs(db) == list(range(1, 102))


def insert(seq):
    return lambda connection: connection.execute(QUERIES["insert_event"], (1, seq, 2, 1, "{}", None))


async def test_an_exception_in_a_transaction_is_its_callers_alone(db):
    def broken(connection):
        insert(99)(connection)
        raise LookupError("no tea")

    before, failing, after = db.append(event(1, 1)), db.transact(broken), db.append(event(1, 2))
    results = await asyncio.gather(before, failing, after, return_exceptions=True)

    assert isinstance(results[1], LookupError)
    assert await seqs(db) == [1, 2]
    assert db.failed is None


async def test_a_wrong_statement_in_a_transaction_is_its_callers_alone(db):
    with pytest.raises(sqlite3.OperationalError):
        await db.transact(lambda connection: connection.execute("SELEKT"))
    await db.append(event(1, 1))

    assert await seqs(db) == [1]


async def test_rows_that_contradict_the_table_are_refused_alone(db):
    await db.append(event(1, 1))
    taken, other, job = db.append(event(1, 1)), db.append(event(2, 1)), db.transact(count)
    results = await asyncio.gather(taken, other, job, return_exceptions=True)

    assert isinstance(results[0], sqlite3.IntegrityError)
    assert results[1:] == [None, 2]
    assert db.failed is None


async def test_a_second_run_with_an_idempotency_key_is_refused_whole(db, journal):
    first = journal.append([entry(1, opening(idempotency_key="k"))])
    second = journal.append([entry(2, opening(idempotency_key="k") + steps(2, 3))])
    results = await asyncio.gather(first, second, return_exceptions=True)

    assert results[0] is None
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert await seqs(db, 2) == []


async def test_after_an_error_of_the_disk_nothing_is_acknowledged_ever_again(db, monkeypatch):
    await db.append(event(1, 1))
    monkeypatch.setattr(batch, "write_rows", fail_with("disk I/O error"))
    during = [db.append(event(1, 2)), db.append(event(1, 3))]
    results = await asyncio.gather(*during, return_exceptions=True)
    monkeypatch.undo()

    assert all(isinstance(result, StorageUnavailable) for result in results)
    assert "disk I/O error" in str(db.failed)
    with pytest.raises(StorageUnavailable):
        await db.append(event(1, 4))
    with pytest.raises(StorageUnavailable):
        await db.transact(count)
    with pytest.raises(StorageUnavailable):
        await db.ping()
    assert await seqs(db) == [1]


async def test_a_full_disk_inside_a_transaction_is_everybodys(db, monkeypatch):
    def full(connection):
        connection.execute("PRAGMA max_page_count = 1")
        for seq in range(1, 10_000):
            insert(seq)(connection)

    results = await asyncio.gather(db.transact(full), db.transact(insert(1)), return_exceptions=True)

    assert all(isinstance(result, StorageUnavailable) for result in results)
    assert "full" in str(db.failed)


async def test_a_failed_database_serves_what_it_held_after_a_restart(path, monkeypatch):
    async with Database.open(path) as db:
        await db.append(event(1, 1))
        with monkeypatch.context() as patch:
            patch.setattr(batch, "write_rows", fail_with("disk I/O error"))
            with pytest.raises(StorageUnavailable):
                await db.append(event(1, 2))

    async with Database.open(path) as db:
        await db.append(event(1, 3))
        assert await seqs(db) == [1, 3]


def fail_with(message):
    def write_rows(connection, rows):
        raise sqlite3.OperationalError(message)

    return write_rows


async def test_a_broken_listener_shuts_the_door_instead_of_hanging_it(db):
    def broken(written):
        raise RuntimeError("no ears")

    db.listen(broken)

    with pytest.raises(StorageUnavailable):
        await db.append(event(1, 1))
    with pytest.raises(StorageUnavailable):
        await db.append(event(1, 2))


async def test_listeners_hear_of_a_commit_before_those_who_wait_for_it(db):
    order = []
    db.listen(lambda written: order.append([row[1] for rows in written for row in rows.events]))
    future = db.append(event(1, 7))
    future.add_done_callback(lambda _: order.append("told"))
    await future
    await asyncio.sleep(0)

    assert order == [[7], "told"]


async def test_effects_follow_their_commit_in_order_and_one_that_breaks_holds_up_no_other(db):
    order, broken = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context["exception"]))

    def effect(write):
        order.append((write.done(), write.exception() is None))
        if len(order) == 2:
            raise RuntimeError("no tea")

    writes = [db.append(event(1, 1), effect), db.append(event(1, 2), effect), db.append(event(1, 1), effect)]
    await asyncio.gather(*writes, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert order == [(True, True), (True, True), (True, False)]
    assert [str(error) for error in broken] == ["no tea"]


async def test_effects_hear_that_nothing_was_written(db, monkeypatch):
    heard = []
    monkeypatch.setattr(batch, "write_rows", fail_with("disk I/O error"))
    write = db.append(event(1, 1), heard.append)
    with pytest.raises(StorageUnavailable):
        await write
    await asyncio.sleep(0)
    late = db.append(event(1, 2), heard.append)
    await asyncio.sleep(0)

    assert heard == [write, late]


async def test_closing_writes_what_waits(path):
    async with Database.open(path) as db:
        futures = [db.append(event(1, seq)) for seq in range(1, 301)]

    assert all(future.done() for future in futures)
    with pytest.raises(StorageUnavailable, match="closed"):
        await db.append(event(1, 301))
    with pytest.raises(StorageUnavailable, match="closed"):
        await db.read("urgent")
    async with Database.open(path) as db:
        assert await seqs(db) == list(range(1, 301))


async def test_a_clean_stop_leaves_one_file(path):
    async with Database.open(path) as db:
        await db.append(event(1, 1))
        assert path.with_name("tea.db.lock").exists()

    assert [file.name for file in path.parent.iterdir()] == ["tea.db"]


async def test_memory_is_a_private_file_that_goes_with_the_block():
    async with Database.open(":memory:") as one, Database.open(":memory:") as other:
        await one.append(event(1, 1))
        assert await seqs(one) == [1]
        assert await seqs(other) == []
        folder = one.path.parent

    assert not folder.exists()


async def test_a_ping_writes(db):
    wal = db.path.with_name("tea.db-wal")
    await db.ping()
    before = wal.stat().st_mtime_ns, wal.read_bytes()
    await db.ping()

    assert before != (wal.stat().st_mtime_ns, wal.read_bytes())


async def test_the_file_is_set_up_as_the_schema_says(db):
    def pragma(name):
        return lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert await db.transact(pragma("journal_mode")) == "wal"
    assert await db.transact(pragma("synchronous")) == 2
    assert await db.transact(pragma("auto_vacuum")) == 2
    assert await db.transact(pragma("foreign_keys")) == 1


async def test_readers_cannot_write(db):
    with pytest.raises(StorageUnavailable) as refusal:
        await db.read("write_page")

    assert "readonly" in str(refusal.value.__cause__)


async def test_a_cancelled_read_does_not_cost_a_reader(db):
    for _ in range(20):
        task = asyncio.create_task(db.read("urgent"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await asyncio.gather(*(db.read("urgent") for _ in range(20))) == [[]] * 20


async def test_run_keys_go_on_after_a_restart(path):
    async with Database.open(path) as db:
        await db.append(event(next(db.run_keys), 1))
        await db.append(event(next(db.run_keys), 1))

    async with Database.open(path) as db:
        assert next(db.run_keys) == 3
