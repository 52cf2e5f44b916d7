"""Opening a file: one process at a time, only our own files, never a newer one, and a copy before changes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from infraweave.errors import StartupError
from infraweave.store.sqlite import migrations
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.migrations import MIGRATIONS, Migration, prepare
from infraweave.store.sqlite.statements import QUERIES, parse, split

HOLDER = """
import asyncio, sys
from infraweave.store.sqlite.database import Database

async def main():
    async with Database.open(sys.argv[1]):
        print("serving", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def serving_process(path):
    """Another process that serves the file."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "serving\n"
        yield process
        process.kill()


async def opened(path):
    async with Database.open(path) as db:
        return await db.read("urgent")


async def test_a_second_process_is_refused_and_told_who_serves(path, serving_process):
    with pytest.raises(StartupError, match=rf"already served by pid {serving_process.pid}\."):
        await opened(path)


async def test_another_name_of_the_file_is_the_same_file(path, serving_process):
    alias = path.with_name("alias.db")
    alias.symlink_to(path)

    with pytest.raises(StartupError, match="already served"):
        await opened(alias)


async def test_the_lock_dies_with_its_holder(path, serving_process):
    serving_process.kill()
    serving_process.wait()

    assert await opened(path) == []


async def test_the_same_process_cannot_open_a_file_twice(db):
    with pytest.raises(StartupError, match=f"pid {os.getpid()}"):
        await opened(db.path)


async def test_a_lock_file_left_behind_is_no_lock(path):
    path.with_name("tea.db.lock").write_text('{"pid": 1}')

    assert await opened(path) == []


async def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(StartupError, match="nowhere"):
        await opened(tmp_path / "nowhere" / "tea.db")


async def test_a_file_that_is_no_database_is_refused_untouched(path):
    path.write_text("Dear diary, today I made tea. " * 100)
    before = path.read_bytes()

    with pytest.raises(StartupError, match="is not an SQLite database"):
        await opened(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["tea.db"]


@pytest.mark.parametrize("table", ["notes", "migrations"])
async def test_a_database_of_another_program_is_refused_untouched(path, table):
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute(f"CREATE TABLE {table} (version INTEGER)")
    before = path.read_bytes()

    with pytest.raises(StartupError, match="another program"):
        await opened(path)
    assert path.read_bytes() == before


async def test_an_empty_file_is_a_new_database(path):
    path.touch()

    assert await opened(path) == []


async def test_a_newer_schema_is_refused_untouched(path):
    prepare(path, 0, (*MIGRATIONS, Migration(99, "from the future", "CREATE TABLE jetpacks (a INTEGER);")))
    before = path.read_bytes()

    with pytest.raises(
        StartupError,
        match=f"by a newer InfraWeave: its schema is 99, this build supports {MIGRATIONS[-1].version}",
    ):
        await opened(path)
    assert path.read_bytes() == before


LATEST = MIGRATIONS[-1].version
NEXT = Migration(
    LATEST + 1, "cups", "CREATE TABLE cups (cup INTEGER);\n-- with a default\nINSERT INTO cups VALUES (1);"
)


async def test_a_migration_keeps_a_copy_of_what_was(path, monkeypatch):
    async with Database.open(path, now=5) as db:
        await db.ping()
    prepare(path, 7, (*MIGRATIONS, NEXT))

    with closing(sqlite3.connect(path)) as new, closing(sqlite3.connect(f"{path}.backup-v{LATEST}")) as old:
        applied = [*((step.version, 5) for step in MIGRATIONS), (LATEST + 1, 7)]
        assert new.execute("SELECT version, applied_at FROM migrations").fetchall() == applied
        assert new.execute("SELECT cup FROM cups").fetchall() == [(1,)]
        assert old.execute("SELECT max(version) FROM migrations").fetchall() == [(LATEST,)]
        assert old.execute("SELECT beat FROM pulse").fetchall() == [(1,)]


async def test_a_migration_that_fails_leaves_no_trace_of_itself(path):
    await opened(path)
    broken = Migration(
        LATEST + 1, "broken", "CREATE TABLE cups (cup INTEGER);\nCREATE TABLE cups (cup INTEGER);"
    )

    with pytest.raises(StartupError, match="already exists"):
        prepare(path, 0, (*MIGRATIONS, broken))
    assert migrations.found_version(path) == LATEST
    assert await opened(path) == []


async def test_all_that_is_missing_is_one_transaction(path):
    prepare(path, 5, MIGRATIONS[:1])
    broken = Migration(LATEST + 1, "broken", "INSERT INTO nowhere VALUES (1);")

    with pytest.raises(StartupError, match="nowhere"):
        prepare(path, 7, (*MIGRATIONS, broken))
    assert migrations.found_version(path) == 1

    prepare(path, 9)
    with closing(sqlite3.connect(path)) as connection:
        applied = connection.execute("SELECT version, applied_at FROM migrations").fetchall()
    assert applied == [(1, 5), *((step.version, 9) for step in MIGRATIONS[1:])]


async def test_without_a_copy_there_is_no_migration(path, monkeypatch):
    prepare(path, 5, MIGRATIONS[:1])
    path.with_name("tea.db.backup-v1").mkdir()  # in the way

    with pytest.raises(StartupError, match="cannot be opened"):
        prepare(path, 7)
    assert migrations.found_version(path) == 1
    assert not list(path.parent.glob("*.part*"))


async def test_a_file_that_is_up_to_date_is_not_copied(path):
    await opened(path)
    await opened(path)

    assert [file.name for file in path.parent.iterdir()] == ["tea.db"]


async def test_what_a_killed_process_left_in_its_wal_is_recognised(path, serving_process):
    serving_process.kill()
    serving_process.wait()

    assert migrations.found_version(path) == LATEST


def test_every_statement_has_a_name_and_is_one_statement():
    assert all(len(list(split(f"{statement};\n"))) == 1 for statement in QUERIES.values())


def test_two_statements_with_one_name_are_refused():
    with pytest.raises(ValueError, match="tea"):
        parse(["-- tea: once\nSELECT 1;\n-- tea: twice\nSELECT 2;"])
    with pytest.raises(ValueError, match="tea"):
        parse(["-- tea: once\nSELECT 1;", "-- tea: in another file\nSELECT 2;"])


def test_a_fragment_stands_in_every_statement_of_its_file_that_names_it():
    text = "-- fragment hot: h\ntemp > :hot;\n-- fragment big: b\n{{hot}} AND size > 3;\n"
    statements = parse([f"About tea.\n\n{text}\n-- tea: t\nSELECT 1 WHERE {{{{big}}}} OR {{{{hot}}}};"])

    assert statements == {"tea": "SELECT 1 WHERE temp > :hot AND size > 3 OR temp > :hot"}


@pytest.mark.parametrize(
    "text", ["-- tea: t\nSELECT {{hot}};\n-- fragment hot: h\n1;", "-- tea: t\n{{tea}};"]
)
def test_a_fragment_that_is_not_defined_above_is_refused(text):
    with pytest.raises(ValueError, match=r"unknown fragments: (hot|tea)"):
        parse(["-- fragment hot: of another file\n1;", text])


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("list_runs", "runs_of_tenant (tenant=? AND run_key<?)"),
        ("list_runs_of_workflow", "runs_of_workflow (tenant=? AND workflow_id=? AND run_key<?)"),
        ("list_runs_in_states", "runs_in_state (tenant=? AND state=? AND run_key<?)"),
        ("list_runs_tagged", "runs_tagged (key=? AND value=? AND run_key<?)"),
        ("list_runs_of_parent", "runs_of_parent (parent_run_id=? AND rowid<?)"),
        ("count_runs", "COVERING INDEX runs_in_state (tenant=?)"),
        ("count_runs_filtered", "runs_in_state (tenant=?)"),
        ("count_runs_of_workflow", "runs_of_workflow (tenant=? AND workflow_id=?)"),
        ("count_runs_tagged", "runs_tagged (key=? AND value=?)"),
        ("count_runs_of_parent", "runs_of_parent (parent_run_id=?)"),
        ("runs_with_seqs", "SEARCH runs USING INTEGER PRIMARY KEY"),
        (
            "ended_by_hour",
            "COVERING INDEX runs_ended (tenant=? AND workflow_id=? AND finished_at>?",
        ),
        ("started_by_hour", "COVERING INDEX runs_open (tenant=? AND workflow_id=?"),
        (
            "durations",
            "COVERING INDEX runs_ended (tenant=? AND workflow_id=? AND finished_at>?",
        ),
        ("final_errors", "COVERING INDEX runs_ended (tenant=? AND workflow_id=? AND finished_at>?"),
        ("sampled_attempts", "COVERING INDEX runs_ended (tenant=? AND workflow_id=? AND finished_at>?"),
        ("open_requests", "input_requests_of_tenant (tenant=? AND event_key>?)"),
        (
            "open_requests_of_workflow",
            "input_requests_of_workflow (tenant=? AND workflow_id=? AND event_key>?)",
        ),
        ("count_open_requests", "COVERING INDEX input_requests_of_tenant (tenant=?)"),
        (
            "count_open_requests_of_workflows",
            "COVERING INDEX input_requests_of_workflow (tenant=? AND workflow_id=?)",
        ),
        ("delete_input_requests", "input_requests USING PRIMARY KEY (run_key=?"),
        ("due", "agenda_due (due_at>? AND due_at<?)"),
        ("queued_runs", "runs_queued"),
        ("events_after", "events_of_run (run_key=? AND seq>?)"),
    ],
)
async def test_lists_walk_an_index_and_sort_nothing(path, name, plan):
    await opened(path)

    class Anything(dict):
        def __missing__(self, key):
            return None

    params = Anything() if ":" in QUERIES[name] else (1,)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {QUERIES[name]}", params).fetchall()
    details = [row[3] for row in rows]
    assert any(plan in detail for detail in details)
    if name.startswith("list"):
        assert not any("TEMP B-TREE" in detail for detail in details)


async def test_a_file_that_was_being_made_when_the_power_went_is_made_anew(path):
    made = path.with_name("made.db")
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")  # spills into the file, so that its journal is needed
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE half (a)")
        connection.execute(
            "INSERT INTO half SELECT hex(randomblob(2000)) FROM json_each('[1,2,3,4,5,6,7,8,9]')"
        )
        for name in ("", "-journal"):
            path.with_name(path.name + name).write_bytes(made.with_name(made.name + name).read_bytes())
    assert path.stat().st_size > 0
    assert await opened(path) == []
