"""Histories and files that were stored once mean the same for ever, whatever the code has become."""

from __future__ import annotations

import shutil
import sqlite3
import tracemalloc
from contextlib import closing

import pytest

from infraweave.core.data import json_codec
from infraweave.core.data.values import from_rfc3339
from infraweave.core.run.event_codec import decode_event
from infraweave.core.run.events import EVENT_TYPES
from infraweave.core.run.invariants import violation
from infraweave.core.run.older_events import compact_data, compact_payload
from infraweave.core.run.state import RunState, evolve, fold
from infraweave.engine.engine import Engine
from infraweave.settings import Settings
from infraweave.store.journal import Journal
from infraweave.store.maintenance.verify import verify
from infraweave.store.runs import Runs
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.migrations import MIGRATIONS, found_version, prepare
from infraweave.testing import VirtualClock
from tests.journals.flows import all_flows
from tests.journals.make import HERE, TOO_NEW
from tests.journals.portrait import portrait

HISTORIES = sorted(HERE.glob("*.jsonl"))
FILES = sorted(HERE.glob("*.db"), key=lambda path: int(path.stem.removeprefix("schema-")))
NEWEST = MIGRATIONS[-1].version
#: From this schema on, the data of an event is not its line of the feed.
COMPACT = 10


def stored(path):
    first, *lines = path.read_bytes().splitlines()
    events = [json_codec.loads(line) for line in lines]
    return json_codec.loads(first), [decoded(event) for event in events]


def decoded(event):
    """The event of a line and its payloads, by way of the form that a migration gives them."""
    kind, line, beside = event["type"], event["data"], event["payload"]
    seq, at = line["seq"], from_rfc3339(line["at"])
    data = compact_data(None, kind, seq, at, json_codec.dumps(line).decode())
    payload = compact_payload(kind, None if beside is None else json_codec.dumps(beside).decode())
    return decode_event(kind, seq, at, data, payload)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_stored_history_adds_up_to_the_stored_state(path):
    expected, events = stored(path)
    state = fold(expected["run_id"], events)

    assert json_codec.loads(json_codec.dumps(portrait(state))) == expected["adds_up_to"]


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_stored_history_is_one_that_could_be_written(path):
    expected, events = stored(path)
    state = RunState(expected["run_id"])
    for event in events:
        assert violation(state, event) is None
        evolve(state, event)


def test_every_type_of_event_is_kept():
    kept = {event.type for path in HISTORIES for event in stored(path)[1]}

    assert kept == set(EVENT_TYPES)


def test_a_file_of_every_schema_is_kept(tmp_path):
    copies = [shutil.copy(path, tmp_path / path.name) for path in FILES]

    assert [found_version(path) for path in copies] == list(range(1, NEWEST + 1)), (
        "run `python -m tests.journals.make`, and commit the file"
    )


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def old(request, tmp_path):
    """A copy of a file of an old schema."""
    return shutil.copy(request.param, tmp_path / "runs.db")


def opened(path, clock):
    settings = Settings(grace=0, keep=None)
    return Engine.open(path, all_flows(), clock=clock, settings=settings)


def by_story(path):
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT tags ->> 'story', run_id, state FROM runs").fetchall()
    return {story: (run_id, state) for story, run_id, state in rows if story is not None}


async def test_an_old_file_is_brought_up_to_date_and_what_was_is_kept(old, clock):
    version, before = found_version(old), by_story(old)
    async with opened(old, clock):
        pass

    assert found_version(old) == NEWEST
    assert list(verify(old)) == []
    assert {story: run_id for story, (run_id, _) in by_story(old).items()} == {
        story: run_id for story, (run_id, _) in before.items()
    }
    copy = old.with_name(f"runs.db.backup-v{version}")
    assert copy.exists() == (version < NEWEST)
    if copy.exists():
        assert (found_version(copy), by_story(copy)) == (version, before)


def told_before(path):
    """The lines of all runs in a file of a schema in which the data was the line."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT run_id, data FROM events JOIN runs USING (run_key) ORDER BY run_key, seq"
        ).fetchall()
    return [(run_id, data.encode()) for run_id, data in rows]


@pytest.mark.parametrize("path", FILES[: COMPACT - 1], ids=lambda path: path.stem)
async def test_the_feed_of_an_old_file_is_the_same_byte_for_byte(path, tmp_path):
    old = shutil.copy(path, tmp_path / "runs.db")
    before, after = told_before(old), []
    async with Database.open(old) as db:
        journal = Journal(db)
        for run_id in dict.fromkeys(run_id for run_id, _ in before):
            run = await Runs(db).get(run_id)
            after += [(run_id, one.line(run_id)) for one in await journal.read(run.run_key, 0, 1000)]

    assert after == before


def test_a_migration_of_many_events_takes_no_memory_for_them(tmp_path):
    old = shutil.copy(FILES[COMPACT - 2], tmp_path / "runs.db")
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany(
            "INSERT INTO events (run_key, seq, type, at, data) VALUES (?, 2, 'node_failed', 1, ?)",
            ((9_000 + number, "x" * 20_000) for number in range(2_000)),
        )
        connection.commit()
    tracemalloc.start()
    prepare(old, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 << 20  # of 40 MiB


async def test_open_runs_of_an_old_file_go_on(old):
    clock = VirtualClock(VirtualClock().now() + 40 * 86_400_000)  # long after all timers and deadlines
    version = found_version(old)
    async with opened(old, clock) as engine:
        runs = by_story(old)
        timed = ["open-timer", "open-human", *(["delayed"] if version not in TOO_NEW else [])]
        for story in timed:
            row = await engine.runs.get(runs[story][0])
            assert await engine.service.wait_end(row.run_key)
    states = {story: state for story, (_, state) in by_story(old).items() if story in timed}

    assert states.pop("open-timer") == "succeeded"
    assert states.pop("open-human") == "failed"  # nobody has answered in time
    assert set(states.values()) <= {"succeeded"}
    assert list(verify(old)) == []
