"""Compares a file with the model: what was committed is there, to the byte, and all else follows from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

from infraweave.store.maintenance.verify import scratch_database
from infraweave.store.maintenance.verify_run import Counts, RunVerifier
from tests.simulate.model import Model, Run

_scratch_file = cache(scratch_database)


def compare(path: Path, model: Model, *, everything: bool) -> Iterator[str]:
    """Yield how a file differs from the model; unless ``everything``, of runs changed since the last time.

    The events are compared one by one; the index and the agenda must be as the model says, and as the
    product's own verification says. What retention has removed, or is removing, is forgotten by the model.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        doomed, there = forget(file, model)
        file.row_factory = sqlite3.Row
        file.execute("PRAGMA query_only = ON")
        if strange := there - model.runs.keys() - doomed:
            yield f"the file has runs that were never committed: {sorted(strange)}"
        verifier = RunVerifier(file, _scratch_file(), Counts())
        for run_key in list(model.runs if everything else model.dirty):
            if (run := model.runs.get(run_key)) is not None:
                yield from _run(file, run, model)
                yield from (f"verify: {problem}" for problem in verifier.verify_run(run_key))
        model.dirty.clear()


def forget(file: sqlite3.Connection, model: Model) -> tuple[set[int], set[int]]:
    """Take from the model what retention has taken from a file; return what is doomed, and the rest."""
    doomed = {row[0] for row in file.execute("SELECT run_key FROM removals")}
    there = {row[0] for row in file.execute("SELECT run_key FROM runs")}
    for key in [key for key in model.runs if key in doomed or key not in there]:
        run = model.runs[key]
        if run.end is None or not (key in doomed or model.removes):
            model.fault(f"{run.run_id} ({run.state}) is gone from the file")
        model.gone(run)
        del model.runs[key]
        model.dirty.pop(key, None)
        model.keys.pop((run.origin["tenant"], run.origin.get("idempotency_key") or ""), None)
    return doomed, there


def _run(file: sqlite3.Connection, run: Run, model: Model) -> Iterator[str]:
    events = file.execute(
        "SELECT seq, type, at, data, payload FROM events WHERE run_key = ? ORDER BY seq", (run.run_key,)
    )
    if [hash(tuple(row)) for row in events] != run.rows:
        yield f"{run.run_id}: the file has other events than were committed"
    row = file.execute("SELECT * FROM runs WHERE run_key = ?", (run.run_key,)).fetchone()
    said = {
        "run_id": run.run_id,
        "state": run.state,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "cancel_requested": int(run.cancel),
        "forced": int(run.terminated),
        "tokens": run.tokens,
        "cost_micro_usd": run.cost,
    }
    wrong = {column: (row[column], value) for column, value in said.items() if row[column] != value}
    if wrong:
        yield f"{run.run_id}: the index is wrong (found, expected): {wrong}"
    yield from _agenda(file, run)


def _agenda(file: sqlite3.Connection, run: Run) -> Iterator[str]:
    found = file.execute("SELECT due_at FROM agenda WHERE run_key = ?", (run.run_key,)).fetchone()
    if (found is None) != (run.end is not None):
        yield f"{run.run_id}: on the agenda {found is not None}, ended {run.end is not None}"
        return
    due = None if run.state == "queued" or run.end is not None else run.due()
    if due is not None and (found[0] is None or found[0] > due):
        yield f"{run.run_id}: it is due at {due}, and the agenda says {found[0]}"
