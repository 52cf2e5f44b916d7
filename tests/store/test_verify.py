"""Verification: a file is as its events say, and each way in which it may not be is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from infraweave.core.data.json_codec import dumps
from infraweave.core.run.events import NodeFailed, NodeStarted
from infraweave.core.workflow.document import Activity, Document
from infraweave.core.workflow.document_codec import document_to_json
from infraweave.errors import StartupError
from infraweave.store.journal import Journal
from infraweave.store.maintenance.verify import repair, verify
from infraweave.store.maintenance.verify_run import Counts
from infraweave.store.sqlite import migrations
from infraweave.store.sqlite.database import Database

from .histories import asking, entry, failure, opening, steps, success

TEA = Document(workflow_id="tea", version="v1", nodes=(Activity(name="boil", code="tea:boil"),))
DOCUMENT = dumps(document_to_json(TEA)).decode()


@pytest.fixture
async def file(path):
    """Runs that waits for a timer, that is queued, that has ended, and a child with its parent."""
    async with Database.open(path) as db:
        timer = NodeStarted(seq=2, at=1100, node="boil", attempt=1, wake_at=9_000)
        ended = [*opening(tags={"cup": "blue"}), *steps(2, 2), *success(4)]
        await Journal(db).append(
            [
                entry(1, [*opening(), timer], 9_000),
                entry(2, opening(state="queued"), None),
                entry(3, ended),
                entry(4, [*opening(parent_run_id="run_1"), steps(2, 1)[0]], 0),
                entry(5, [*opening(), *failure_after_steps()]),
                entry(7, [*opening(), asking(2)], None),
            ]
        )
        put = "INSERT INTO documents VALUES ('default', 'tea', 'v1', 'd', ?, 0)"
        await db.transact(lambda connection: connection.execute(put, (DOCUMENT,)))
    return path


def failure_after_steps():
    failed = NodeFailed(
        seq=3, at=1200, node="boil", attempt=1, latency_ms=1, code="no_water", message="dry", will_retry=False
    )
    return [steps(2, 1)[0], failed, *failure(4)]


def change(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def told(path):
    return [(p.run_id, p.about, p.message) for p in verify(path)]


async def test_a_file_as_we_write_it_is_whole(file):
    counts = Counts()

    assert list(verify(file, counts)) == []
    assert (counts.runs, counts.events) == (6, 17)


async def test_a_file_that_is_served_can_be_verified(file):
    async with Database.open(file) as db:
        await Journal(db).append([entry(6, opening(), 0)])
        assert told(file) == []


@pytest.mark.parametrize(
    ("statement", "about", "words"),
    [
        (
            "DELETE FROM events WHERE run_key = 3 AND seq = 3",
            "events",
            "event 4 (status_changed): event 3 is missing",
        ),
        ("DELETE FROM events WHERE run_key = 3 AND seq = 1", "events", "event 1 is missing"),
        ("DELETE FROM events WHERE run_key = 3", "events", "the index names a run that has no events"),
        (
            "UPDATE events SET data = '{' WHERE run_key = 3 AND seq = 2",
            "events",
            "event 2 (node_started): it cannot",
        ),
        (
            "UPDATE events SET type = 77 WHERE run_key = 3 AND seq = 2",
            "events",
            "cannot be read: KeyError",
        ),
        (
            """UPDATE events SET data = '{"run_id":"run_3","type":"node_started","seq":2,'
               || '"at":"1970-01-01T00:00:09.000Z","node":"boil","attempt":1}'
               WHERE run_key = 3 AND seq = 2""",
            "events",
            "its columns differ",
        ),
        (
            "UPDATE events SET payload = 9 WHERE run_key = 3 AND type = 8",
            "events",
            "event 9, which holds its payload, is missing",
        ),
        (
            "UPDATE events SET run_key = 3, seq = 6 WHERE run_key = 1 AND seq = 2",
            "events",
            "event 6 (node_started)",
        ),
        (
            "UPDATE events SET payload = NULL WHERE run_key = 3 AND seq = 1",
            "events",
            "begins with status_changed",
        ),
        (
            "UPDATE events SET data = json_set(data, '$.attempt', 7) WHERE run_key = 3 AND seq = 3",
            "events",
            "attempt 7 of boil ends, but attempt 1 is open",
        ),
        (
            "UPDATE runs SET state = 'failed' WHERE run_key = 3",
            "index",
            "state is 'failed' and should be 'succeeded'",
        ),
        (
            "UPDATE runs SET lane = 'l', tokens = 9 WHERE run_key = 3",
            "index",
            "tokens is 9 and should be 0; lane is",
        ),
        ("DELETE FROM runs WHERE run_key = 3", "index", "missing from the index"),
        (
            "DELETE FROM run_tags WHERE run_key = 3",
            "index",
            "its tags in the index are {} and should be {'cup': 'blue'}",
        ),
        ("INSERT INTO run_tags VALUES (77, 'a', 'b')", "index", "names a run that has no events"),
        (
            "UPDATE agenda SET due_at = 9001 WHERE run_key = 1",
            "agenda",
            "due at 9000, and the agenda says 9001",
        ),
        ("UPDATE agenda SET due_at = NULL WHERE run_key = 4", "agenda", "due at 0, and the agenda says None"),
        ("DELETE FROM agenda WHERE run_key = 2", "agenda", "open and not on the agenda"),
        ("INSERT INTO agenda VALUES (3, 0)", "agenda", "has ended and is on the agenda"),
        (
            "DELETE FROM input_requests",
            "index",
            "input request inp_2 is open and not listed",
        ),
        (
            "INSERT INTO input_requests VALUES (3, 'inp_9', 4, 'default', 'tea')",
            "index",
            "input request inp_9 is listed and not open",
        ),
        (
            "UPDATE input_requests SET event_key = 1, workflow_id = 'coffee'",
            "index",
            "inp_2 is listed as (None, 'default', 'coffee') and should be as (2, 'default', 'tea')",
        ),
        (
            "INSERT INTO input_requests VALUES (77, 'inp_9', 4, 'default', 'tea')",
            "index",
            "names a run that has no events",
        ),
        ("DELETE FROM documents", "document", "its document tea v1 of tenant default is missing"),
        ("UPDATE documents SET document = '{}'", "document", "cannot be read"),
        (
            "UPDATE documents SET document = replace(document, 'boil', 'pour')",
            "document",
            "document lacks: boil",
        ),
    ],
)
async def test_what_is_wrong_is_told(file, statement, about, words):
    change(file, statement)

    assert any(kind == about and words in message for _, kind, message in told(file)), told(file)


async def test_early_on_the_agenda_is_not_wrong(file):
    change(file, "UPDATE agenda SET due_at = 0")

    assert told(file) == []


async def test_a_child_needs_its_parent(file):
    change(file, *(f"DELETE FROM {table} WHERE run_key = 1" for table in ("runs", "events", "agenda")))

    assert told(file) == [("run_4", "family", "its parent run_1 is missing")]


async def test_a_child_does_not_outlive_its_parent(path):
    async with Database.open(path) as db:
        ended = [*opening(), *success(2)]
        await Journal(db).append([entry(1, ended), entry(2, opening(parent_run_id="run_1"), 0)])

    assert ("run_2", "family", "it is open, and its parent run_1 has ended") in told(path)


async def test_a_page_that_is_overwritten_is_told(file):
    data = bytearray(file.read_bytes())
    data[40_000:44_000] = b"\x55" * 4_000
    file.write_bytes(data)

    assert any("malformed" in said or said.startswith("file: ") for said in _said(file))


def _said(path):
    """What is told, whether SQLite can go on after the first page or not."""
    try:
        return [f"{about}: {message}" for _, about, message in told(path)]
    except StartupError as error:
        return [str(error)]


async def test_what_follows_from_the_events_is_repaired(file):
    change(
        file,
        "UPDATE runs SET state = 'failed' WHERE run_key = 3",
        "DELETE FROM runs WHERE run_key = 4",
        "DELETE FROM run_tags",
        "UPDATE agenda SET due_at = 99999 WHERE run_key = 1",
        "DELETE FROM agenda WHERE run_key = 2",
        "INSERT INTO agenda VALUES (3, NULL)",
        "UPDATE input_requests SET run_key = 3",
    )

    assert {problem.run_id for problem in await repair(file, 0)} == {
        *("run_1", "run_2", "run_3", "run_4", "run_7"),
    }
    assert told(file) == []
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT * FROM agenda").fetchall() == [
            *((1, 9_000), (2, None), (4, 0), (7, None)),
        ]


async def test_nothing_is_repaired_where_events_are_wrong(file):
    change(
        file,
        "DELETE FROM events WHERE run_key = 1 AND seq = 1",
        "UPDATE runs SET state = 'failed' WHERE run_key = 3",
    )
    before = told(file)

    assert [(p.run_id, p.about, p.message) for p in await repair(file, 0)] == before
    assert told(file) == before


async def test_a_file_that_is_served_is_not_repaired(file):
    async with Database.open(file):
        with pytest.raises(StartupError, match="already served"):
            await repair(file, 0)


async def test_a_file_of_another_schema_is_refused(path):
    migrations.prepare(path, 0, migrations.MIGRATIONS[:2])

    with pytest.raises(StartupError, match=r"schema 2.*serve the file once"):
        list(verify(path))
