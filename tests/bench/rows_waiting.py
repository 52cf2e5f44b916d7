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
    what = f"serve with {scale.waiting:,} waiting runs"
    return [
        Row("waiting-memory", f"{what}: memory", "MiB", False, EMPTY),
        Row("waiting-start", f"{what}: until it is ready", "s", False, EMPTY),
    ]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Start servers with an empty file and with a full one, in alternation."""
    memory, start = (Measured(row) for row in rows(scale))
    files = {}
    for tree in trees:
        files[tree.label] = await _file_of_waiting(tree, folder / tree.label, scale.waiting)
        if scale.starts > 1:
            await _started(tree, folder / "empty" / tree.label, None)  # which makes the empty file
    for _ in range(scale.starts):
        for tree in trees:
            empty = await _started(tree, folder / "empty" / tree.label, None)
            full = await _started(tree, folder / tree.label, files[tree.label])
            for measured, (without, with_runs) in zip(
                (memory, start), zip(empty, full, strict=True), strict=True
            ):
                measured.trees.setdefault(tree.label, []).append(with_runs)
                if tree is trees[0]:
                    measured.yardstick.append(without)
    return [measured for measured in (memory, start) if measured.row.name in names]


async def _file_of_waiting(tree: Tree, folder: Path, runs: int) -> Path:
    """Make a file of runs that wait for a signal, and as many that wait for a time."""
    async with infraweave(tree, folder) as server:
        run_ids = [await server.start(workflow_id) for workflow_id in ("waiting", "sleeping")]
        for run_id in run_ids:
            await server.until_waiting(run_id)
    db = folder / "bench.db"
    for run_id in run_ids:
        await asyncio.to_thread(copy_run, db, run_id, runs // 2)
    return db


async def _started(tree: Tree, folder: Path, db: Path | None) -> tuple[Round, Round]:
    """Return the memory of a server that has started, and the seconds that this took."""
    began = time.perf_counter()
    async with infraweave(tree, folder, db=db) as server:
        took = time.perf_counter() - began
        memory = server.process.memory_mib() or 0.0
    return Round(memory, memory_mib=memory), Round(took)
