"""The process dies while it migrates, copies or removes: the file is as it was, or it goes on from there."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

from infraweave.store.maintenance.verify import verify
from infraweave.store.maintenance.verify_run import Counts
from infraweave.store.sqlite.migrations import MIGRATIONS, found_version
from tests.crash.server import WORKFLOWS, Process
from tests.journals.make import HERE

NEWEST = MIGRATIONS[-1].version
KILLED = -signal.SIGKILL


def infraweave(*arguments, dies_at=""):
    """Run the command line in a process of its own; return its exit code."""
    environment = {**os.environ, "INFRAWEAVE_FAILPOINTS": dies_at}
    command = [sys.executable, "-m", "infraweave", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode


@pytest.fixture
def kept(tmp_path):
    """A copy of the stored file of a schema."""
    return lambda version: shutil.copy(HERE / f"schema-{version}.db", tmp_path / "runs.db")


def counted(path):
    """How many runs and events a file has, in which nothing is wrong."""
    counts = Counts()
    assert list(verify(path, counts)) == []
    return counts.runs, counts.events


@pytest.mark.parametrize("place", ["copy", "migration@1", f"migration@{NEWEST - 1}"])
def test_a_migration_that_is_killed_leaves_the_old_file(kept, place):
    path = kept(1)
    assert infraweave("tokens", "list", "--db", path, dies_at=place) == KILLED
    assert found_version(path) == 1

    assert infraweave("tokens", "list", "--db", path) == 0
    assert found_version(path) == NEWEST
    assert found_version(path.with_name("runs.db.backup-v1")) == 1
    assert counted(path)[0] > 10


def test_a_backup_that_is_killed_has_no_name_and_is_made_anew(kept, tmp_path):
    path, target = kept(NEWEST), tmp_path / "copy.db"
    assert infraweave("db", "backup", target, "--db", path, dies_at="copy") == KILLED
    assert not target.exists()

    assert infraweave("db", "backup", target, "--db", path) == 0
    assert counted(target) == counted(path)
    assert [file.name for file in tmp_path.glob("*.part*")] == []


def test_a_removal_that_is_killed_goes_on(kept, monkeypatch):
    path = kept(NEWEST)
    runs, _ = counted(path)
    for place in ("removal@1", "removal@2", "commit.before@2", "commit.after@2"):
        assert infraweave("db", "prune", "--older-than", "0s", "--db", path, dies_at=place) == KILLED
        assert counted(path)[0] <= runs

    assert infraweave("db", "prune", "--older-than", "0s", "--db", path) == 0
    left, _ = counted(path)
    assert 0 < left < runs  # the open ones


async def test_a_server_that_is_killed_while_it_removes_keeps_what_it_should(tmp_path, monkeypatch):
    (tmp_path / "flows.py").write_text(WORKFLOWS)
    process, rng = Process(tmp_path), random.Random(11)
    async with process.start() as client:
        done = [await client.start("chain", {"n": n}) for n in range(30)]
        human = await client.start("mixed", {"kind": "human"})
        for run in done:
            await run.result()
        process.kill()
    monkeypatch.setenv("INFRAWEAVE_SERVE_KEEP_RUNS", "4")
    try:
        for _ in range(4):
            async with process.start():
                await asyncio.sleep(rng.uniform(0, 0.03))  # a real kill comes at a real moment
                process.kill()
            assert counted(process.db)[0] >= 5
        async with process.start() as client:
            listed = await _runs(client)
            for _ in range(400):
                if len(listed) <= 5:
                    break
                await asyncio.sleep(0.05)
                listed = await _runs(client)
            assert human.run_id in listed
            assert counted(process.db)[0] == 5
    finally:
        process.kill()


async def _runs(client):
    return [run["run_id"] for run in (await client.request("GET", "/v1/runs?limit=200"))["runs"]]
