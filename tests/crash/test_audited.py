"""An act and its audit row are in one commit, also where the act ends a child whose parent is at rest."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from infraweave.store.load_quarantine import MAX_CRASHES, LoadQuarantine


def dies(db, *words: str) -> str:
    """Let a process die; return what it said."""
    command = [sys.executable, "-m", "tests.crash.audited", str(db), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == -9, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("act", ["signal", "cancel", "terminate", "resume"])
def test_the_row_of_an_act_that_ends_a_child_is_never_in_the_file_without_its_events(tmp_path, act):
    db = tmp_path / "w.db"
    run_id = dies(db, "begin", "working" if act == "resume" else "asking")
    for _ in range(MAX_CRASHES if act == "resume" else 0):
        LoadQuarantine(db).begin_load(run_id)
    dies(db, act, run_id)
    with closing(sqlite3.connect(db)) as file:
        acts = file.execute("SELECT action, resource FROM audit").fetchall()
        ended = file.execute("SELECT run_id FROM runs WHERE finished_at IS NOT NULL").fetchall()
    assert acts == [(act, f"run:{run_id}")]
    assert (run_id,) in ended
