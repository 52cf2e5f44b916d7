"""Backups: one moment of a file, whole or not at all, and nothing is overwritten unasked."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing

import pytest

from infraweave.errors import StartupError
from infraweave.store.journal import Journal
from infraweave.store.maintenance.backup import backup
from infraweave.store.runs import Runs
from infraweave.store.sqlite import file_copy
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.migrations import MIGRATIONS, prepare

from .histories import entry, opening, steps, success


@pytest.fixture
def target(tmp_path):
    return tmp_path / "copy.db"


def run(run_key, count=2):
    return entry(run_key, [*opening(), *steps(2, count), *success(count + 2)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def listed(path):
    async with Database.open(path) as db:
        return [row.run_key for row in await Runs(db).list("default")]


async def test_a_backup_is_the_file(path, target):
    async with Database.open(path) as db:
        await Journal(db).append([run(1), run(2)])
    size = backup(path, target)

    assert size == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert await listed(target) == [2, 1]


async def test_a_backup_of_a_file_that_is_being_written_is_of_one_moment_and_comes_to_an_end(
    path, target, monkeypatch
):
    monkeypatch.setattr(file_copy, "STEP", 4)
    steps_done = threading.Semaphore(0)
    written = threading.Semaphore(0)

    def progress(done, total):
        steps_done.release()
        written.acquire(timeout=1)

    async with Database.open(path) as db:
        journal = Journal(db)
        await journal.append([run(key, count=50) for key in range(1, 21)])
        copied = asyncio.create_task(asyncio.to_thread(backup, path, target, progress=progress))
        key = 21
        while not copied.done():
            if steps_done.acquire(blocking=False):
                await journal.append([run(key)])  # while a step waits, and it is not held up
                written.release()
                key += 1
            await asyncio.sleep(0)
        await copied
    assert key > 25
    assert await listed(target) == list(range(20, 0, -1))


async def test_nothing_is_overwritten_unasked(path, target):
    prepare(path, 0)
    for taken in (target, target.with_name("copy.db-wal")):
        taken.write_bytes(b"precious")
        with pytest.raises(StartupError, match=rf"{taken.name} exists; .* --force"):
            backup(path, target)
        assert taken.read_bytes() == b"precious"
        taken.unlink()


async def test_what_is_overwritten_leaves_nothing_of_itself(path, target):
    prepare(path, 0)
    target.write_bytes(b"old")
    target.with_name("copy.db-wal").write_bytes(b"a log of another file")
    backup(path, target, force=True)

    assert await listed(target) == []
    assert [name for name in names(target.parent) if name.startswith("copy")] == ["copy.db"]


async def test_a_file_that_is_served_is_not_overwritten(path, target):
    prepare(path, 0)
    async with Database.open(target) as db:
        await Journal(db).append([run(1)])
        with pytest.raises(StartupError, match="already served"):
            backup(path, target, force=True)
    assert await listed(target) == [1]


async def test_a_file_is_no_copy_of_itself(path):
    prepare(path, 0)
    alias = path.with_name("alias.db")
    alias.symlink_to(path)

    with pytest.raises(StartupError, match="is the database itself"):
        backup(path, alias, force=True)


@pytest.mark.parametrize(
    ("name", "words"), [("missing.db", "no such file"), ("text.db", "not an SQLite database")]
)
async def test_only_a_database_is_copied(tmp_path, target, name, words):
    (tmp_path / "text.db").write_text("Dear diary, today I made tea. " * 100)

    with pytest.raises(StartupError, match=words):
        backup(tmp_path / name, target)
    assert names(tmp_path) == ["text.db"]


async def test_a_folder_that_does_not_exist_is_named(path, tmp_path):
    prepare(path, 0)

    with pytest.raises(StartupError, match="nowhere"):
        backup(path, tmp_path / "nowhere" / "copy.db")


async def test_a_copy_that_is_not_sound_gets_no_name(path, target, monkeypatch):
    async with Database.open(path) as db:
        await Journal(db).append([run(key, count=50) for key in range(1, 11)])
    data = bytearray(path.read_bytes())
    data[30_000:34_000] = b"\x55" * 4_000
    path.write_bytes(data)
    target.write_bytes(b"the backup of yesterday")

    with pytest.raises(StartupError, match=r"cannot be (copied|read)"):
        backup(path, target, force=True)
    assert target.read_bytes() == b"the backup of yesterday"
    assert not list(target.parent.glob("*.part*"))


async def test_a_backup_keeps_the_schema_it_finds(path, target):
    prepare(path, 0, MIGRATIONS[:2])
    backup(path, target)

    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("SELECT max(version) FROM migrations").fetchone() == (2,)
