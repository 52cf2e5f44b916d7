"""Finished runs are removed whole, a little at a time; what is open stays."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing

import pytest

from infraweave.errors import StartupError
from infraweave.store import retention
from infraweave.store.journal import Journal
from infraweave.store.retention import Retention, RetentionPolicy, preview
from infraweave.store.runs import Runs, rebuild
from infraweave.store.sqlite.database import Database

from .histories import asking, entry, opening, steps, success

DAY = 86_400_000


@pytest.fixture
def runs(db):
    return Runs(db)


@pytest.fixture
def sweep(db):
    async def swept(now=10 * DAY, **keep):
        return (await Retention(db).sweep(RetentionPolicy(**keep), now)).runs

    return swept


def run(run_key, ended_at, *, parent=None, count=2, **more):
    """A run with a tag and an idempotency key that ended then."""
    more = {"tags": {"n": str(run_key)}, "idempotency_key": f"k{run_key}", "parent_run_id": parent, **more}
    begun = [*opening(at=ended_at - 1, **more), *steps(2, count, at=ended_at)]
    return entry(run_key, [*begun, *success(count + 2, at=ended_at)])


def open_run(run_key, parent=None):
    return entry(run_key, opening(parent_run_id=parent), due_at=0)


async def left(db):
    """What each table has of which runs."""
    return await db.transact(
        lambda connection: {
            table: {key for (key,) in connection.execute(f"SELECT DISTINCT run_key FROM {table}")}
            for table in ("runs", "run_tags", "events", "agenda", "input_requests", "removals")
        }
    )


async def test_what_is_too_old_goes_with_all_that_belongs_to_it(db, journal, sweep, runs):
    await journal.append([run(1, 3 * DAY), run(2, 5 * DAY), run(3, 7 * DAY), open_run(4)])
    await journal.append([entry(4, [asking(2)])])

    assert await sweep(age=5 * DAY) == 2
    assert await left(db) == {
        "runs": {3, 4},
        "run_tags": {3},
        "events": {3, 4},
        "agenda": {4},
        "input_requests": {4},
        "removals": set(),
    }
    assert await runs.by_idempotency_key("default", "k1") is None


async def test_open_runs_stay_whatever_is_asked(db, journal, sweep):
    await journal.append([open_run(1), run(2, DAY)])

    assert await sweep(age=0, runs=0, size=0) == 1
    assert (await left(db))["runs"] == {1}


async def test_so_many_stay_that_ended_last_and_children_do_not_count(db, journal, sweep):
    order = [run(1, 9 * DAY), run(2, 2 * DAY), run(3, 5 * DAY), run(4, 5 * DAY, parent="run_3")]
    await journal.append(order)

    assert await sweep(runs=2) == 1
    assert (await left(db))["runs"] == {1, 3, 4}


async def test_a_family_goes_at_once_or_not_at_all(db, journal, sweep):
    await journal.append([run(1, DAY), run(2, DAY, parent="run_1"), open_run(3, parent="run_2")])
    await journal.append([run(5, 9 * DAY), run(6, DAY, parent="run_5")])

    assert await sweep(age=5 * DAY) == 0  # a grandchild is open; and a child waits for its parent's time

    await journal.append([entry(3, success(2, at=DAY))])
    assert await sweep(age=5 * DAY) == 3
    assert (await left(db))["runs"] == {5, 6}


async def test_the_file_shrinks(path, monkeypatch):
    monkeypatch.setattr(retention, "_FAMILIES", 10)
    async with Database.open(path) as db:
        await Journal(db).append([run(key, key * DAY, count=200) for key in range(1, 60)])
    before = path.stat().st_size
    async with Database.open(path) as db:
        assert (await Retention(db).sweep(RetentionPolicy(size=before // 3), 0)).runs > 30
        kept = await Runs(db).list("default", limit=100)
        assert [row.run_key for row in kept] == list(range(59, 59 - len(kept), -1))

    assert before // 5 < path.stat().st_size <= before // 3


async def test_portions_are_small_and_others_write_in_between(db, journal, monkeypatch):
    monkeypatch.setattr(retention, "_EVENTS", 20)
    await journal.append([run(1, DAY, count=100), run(2, DAY, count=100)])
    counts = []

    async def pause():
        await journal.append([open_run(100 + len(counts))])
        counts.append(len(await journal.load(1)) + len(await journal.load(2)))

    await Retention(db).sweep(RetentionPolicy(age=0), 2 * DAY, pause)
    assert counts[:11] == [*range(186, -1, -20), 0]  # then pages are given back
    assert len((await left(db))["runs"]) == len(counts)


async def test_who_reads_a_run_that_is_being_removed_finds_a_beginning_of_its_history(
    db, journal, monkeypatch
):
    monkeypatch.setattr(retention, "_EVENTS", 7)
    await journal.append([run(1, DAY, count=20)])
    whole, seen = await journal.load(1), []

    async def pause():
        seen.append(await journal.load(1))

    await Retention(db).sweep(RetentionPolicy(age=0), 2 * DAY, pause)
    assert all(some == whole[: len(some)] for some in seen)
    assert [len(some) for some in seen[:4]] == [16, 9, 2, 0]


async def test_a_follower_of_a_run_that_is_removed_comes_to_an_end(db, journal, sweep):
    await journal.append([run(1, DAY, count=600)])
    async with journal.follow(1, page=100) as follower:
        assert len(await follower.next()) == 100
        await sweep(age=0)
        assert await follower.next() == []
        assert follower.ended


async def test_what_was_begun_goes_on_in_another_process(path, monkeypatch):
    monkeypatch.setattr(retention, "_EVENTS", 20)

    async def die():
        raise RuntimeError("killed")

    async with Database.open(path) as db:
        await Journal(db).append([run(1, DAY, count=100), run(2, 9 * DAY)])
        with pytest.raises(RuntimeError):
            await Retention(db).sweep(RetentionPolicy(age=DAY), 9 * DAY, die)
        assert (await left(db))["removals"] == {1}
        assert await rebuild(db) == []  # what is doomed does not come back
    async with Database.open(path) as db:
        assert (await Retention(db).sweep(RetentionPolicy(), 0)).runs == 0
        assert await left(db) == {
            "runs": {2},
            "run_tags": {2},
            "events": {2},
            "agenda": set(),
            "input_requests": set(),
            "removals": set(),
        }


@pytest.mark.parametrize(
    "keep", [{"age": 5 * DAY}, {"runs": 3}, {"age": 8 * DAY, "runs": 4}, {"size": 400_000}, {"runs": 0}, {}]
)
async def test_what_is_foreseen_is_what_is_done(path, keep):
    async with Database.open(path) as db:
        journal = Journal(db)
        sizes = itertools.cycle([2, 300])
        await journal.append([run(key, key * DAY, count=next(sizes)) for key in range(1, 10)])
        foreseen = preview(path, RetentionPolicy(**keep), 10 * DAY)
        done = await Retention(db).sweep(RetentionPolicy(**keep), 10 * DAY)

    assert abs(foreseen.runs - done.runs) <= (1 if "size" in keep else 0)


async def test_a_file_of_another_schema_is_not_looked_into(path):
    async with Database.open(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM migrations WHERE version > 1")
        connection.commit()

    with pytest.raises(StartupError, match="schema 1"):
        preview(path, RetentionPolicy(), 0)
