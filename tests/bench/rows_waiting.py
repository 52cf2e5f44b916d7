"""Rows of many runs that wait: what a server with them needs of memory and of time to start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.bench.child import Tree
from tests.bench.copies import copy_run
from tests.bench.results import Measured, Round, Row
from tests.bench.scale import Scale
from tests.bench.server import infraweave

EMPTY = "the same with an empty file"


def rows(scale: Scale) -> list[Row]:
    return [row for of_many in (_rows(runs) for runs in scale.waiting) for row in of_many]


def _rows(runs: int) -> tuple[Row, Row]:
    what = f"serve with {runs:,} waiting runs"
    return (
        Row(f"waiting-{runs}-memory", f"{what}: memory", "MiB", False, EMPTY),
        Row(f"waiting-{runs}-start", f"{what}: until it is ready", "s", False, EMPTY),
    )


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Start servers with an empty file and with a full one, in alternation; the full one grows."""
    run_ids = {}
    for tree in trees:
        run_ids[tree.label] = await _two_that_wait(tree, folder / tree.label)
        await _started(tree, folder / "empty" / tree.label, None)  # which makes the empty file
    found, there = [], 2
    for runs in scale.waiting:
        for tree in trees:
            for run_id in run_ids[tree.label]:
                await asyncio.to_thread(
                    copy_run, folder / tree.label / "bench.db", run_id, (runs - there) // 2
                )
        there = runs
        found += await _measure(trees, runs, scale, folder)
    return [measured for measured in found if measured.row.name in names]


async def _measure(trees: Sequence[Tree], runs: int, scale: Scale, folder: Path) -> tuple[Measured, ...]:
    both = tuple(Measured(row) for row in _rows(runs))
    for _ in range(scale.waiting_starts):
        for tree in trees:
            empty = await _started(tree, folder / "empty" / tree.label, None)
            full = await _started(tree, folder / tree.label, folder / tree.label / "bench.db")
            for measured, without, with_runs in zip(both, empty, full, strict=True):
                measured.trees.setdefault(tree.label, []).append(with_runs)
                if tree is trees[0]:
                    measured.yardstick.append(without)
    return both


async def _two_that_wait(tree: Tree, folder: Path) -> list[str]:
    """Make a file with a run that waits for a signal and one that waits for a time; return their ids."""
    async with infraweave(tree, folder) as server:
        run_ids = [await server.start(workflow_id) for workflow_id in ("waiting", "sleeping")]
        for run_id in run_ids:
            await server.until_waiting(run_id)
    return run_ids


async def _started(tree: Tree, folder: Path, db: Path | None) -> tuple[Round, Round]:
    """Return the memory of a server that has started, and the seconds that this took."""
    began = time.perf_counter()
    async with infraweave(tree, folder, db=db) as server:
        took = time.perf_counter() - began
        memory = server.process.memory_mib() or 0.0
    return Round(memory, memory_mib=memory), Round(took)
