"""``db verify``, ``db backup`` and ``db prune`` as people and scripts use them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from infraweave.cli import serve
from infraweave.cli.main import cli
from infraweave.store.sqlite.lock import lock_database
from infraweave.store.sqlite.migrations import MIGRATIONS
from tests.journals.make import HERE


@pytest.fixture
def file(tmp_path):
    return shutil.copy(HERE / f"schema-{MIGRATIONS[-1].version}.db", tmp_path / "runs.db")


@pytest.fixture
def db(file):
    """Run ``infraweave db``."""

    def run(*arguments, target=file):
        words = ["db", *map(str, arguments), "--db", str(target)]
        return CliRunner().invoke(cli, words)

    return run


def change(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_sound_file_is_verified(db):
    done = db("verify")

    assert done.exit_code == 0
    assert done.stdout.endswith("no problems\n")
    assert json.loads(db("verify", "--json").stdout)["ok"] is True


def test_what_is_wrong_is_told_with_what_to_do_and_repaired(db, file):
    change(file, "UPDATE runs SET state = 'failed', error = NULL WHERE state = 'succeeded'")
    done = db("verify")
    assert done.exit_code == 1
    assert "index: state is 'failed' and should be 'succeeded'" in done.stdout
    assert "Stop the server and run this command with --repair" in done.stderr

    found = json.loads(db("verify", "--json").stdout)
    assert (found["ok"], found["problems"][0]["about"], found["more_problems"]) == (False, "index", 0)

    with lock_database(file):
        assert "already served" in str(db("verify", "--repair").exception)
    mended = json.loads(db("verify", "--repair", "--json").stdout)
    assert (mended["ok"], mended["problems_before_repair"]) == (True, len(found["problems"]))
    assert db("verify").exit_code == 0


def test_what_is_wrong_with_events_asks_for_a_backup(db, file):
    change(file, "DELETE FROM events WHERE seq = 2")
    done = db("verify")

    assert done.exit_code == 1
    assert "event 2 is missing" in done.stdout
    assert "restore a backup" in done.stderr
    assert db("verify", "--repair").exit_code == 1


def test_a_backup_is_made_once(db, file, tmp_path):
    target = tmp_path / "copy.db"
    with lock_database(file):  # a server may be at work
        assert db("backup", target).exit_code == 0
    told = json.loads(db("backup", target, "--force", "--json").stdout)

    assert told == {"db": str(file), "backup": str(target), "size": target.stat().st_size}
    assert "--force" in str(db("backup", target).exception)
    assert db("verify", target=target).exit_code == 0


def test_pruning_says_what_it_would_do_and_does_it(db, file):
    foreseen = json.loads(db("prune", "--keep-runs", "3", "--dry-run", "--json").stdout)
    with lock_database(file):
        assert "already served" in str(db("prune", "--keep-runs", "3").exception)
    done = json.loads(db("prune", "--keep-runs", "3", "--json").stdout)

    assert (done["runs"], done["dry_run"]) == (foreseen["runs"], False)
    assert 0 < done["size_after"] < done["size_before"]
    assert db("verify").exit_code == 0
    assert json.loads(db("prune", "--keep-runs", "3", "--json").stdout)["runs"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prune", "--keep-bytes", "many"), "'many' is not a size; give bytes, or for example 500MB or 2GiB"),
        (("prune", "--older-than", "old"), "'old' is not a duration"),
        (("prune", "--keep-runs", "-1"), "-1 is not in the range"),
        (("backup",), "Missing argument 'TARGET'"),
    ],
)
def test_a_mistake_is_named(db, words, said):
    done = db(*words)

    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("command", ["verify", "prune"])
def test_a_file_that_is_not_there_is_named_and_not_made(db, tmp_path, command):
    missing = tmp_path / "missing.db"

    assert "missing.db: no such file" in str(db(command, target=missing).exception)
    assert not missing.exists()


def test_serve_takes_what_stays_from_options_and_environment(monkeypatch):
    taken = []

    async def serving(options):
        taken.append((options.keep, options.keep_runs, options.keep_bytes))

    monkeypatch.setattr(serve, "_serve", serving)
    monkeypatch.setattr(serve, "set_up_logging", lambda *_, **__: None)
    run = CliRunner(env={"INFRAWEAVE_SERVE_KEEP_BYTES": "1.5 GiB"}).invoke
    assert run(cli, ["serve"], auto_envvar_prefix="INFRAWEAVE").exit_code == 0
    assert run(cli, ["serve", "--keep", "forever", "--keep-runs", "7"]).exit_code == 0

    assert taken == [(30 * 86_400.0, None, 3 << 29), (float("inf"), 7, 3 << 29)]
