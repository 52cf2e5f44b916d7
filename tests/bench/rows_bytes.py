"""Rows of the file: how many bytes a finished run takes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from itertools import repeat
from pathlib import Path

from tests.bench.child import Tree, child
from tests.bench.http_client import put_load
from tests.bench.results import Measured, Round, Row
from tests.bench.scale import Scale
from tests.bench.server import infraweave


def rows(scale: Scale) -> list[Row]:
    return [
        Row("bytes", "a finished run of 3 nodes with small outputs, vacuumed", "bytes", False),
        Row("bytes-http", "the same started over HTTP, with its audit row", "bytes", False),
    ]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure the chosen rows once: bytes do not vary."""
    found = {row.name: Measured(row) for row in rows(scale) if row.name in names}
    for tree in trees:
        for name, made in (("bytes", _embedded), ("bytes-http", _over_http)):
            if name in found:
                own = folder / f"{name}-{tree.label}"
                own.mkdir()
                found[name].trees[tree.label] = [Round(await made(tree, own, scale.finished))]
    return list(found.values())


async def _embedded(tree: Tree, folder: Path, runs: int) -> float:
    db = folder / "bench.db"
    sizes = json.dumps({"chain": 1, "fan_out": [], "map_items": 1})
    async with child(tree, "-m", "tests.bench.engine_side", str(db), sizes) as engine:
        await engine.ask("alone", times=1)
        before = await asyncio.to_thread(_vacuumed, db)
        while await asyncio.to_thread(_count, db) < runs:
            await engine.ask("in_flight", inflight=50, seconds=0.05, workflow_id="small")
        return _per_run(before, await asyncio.to_thread(_vacuumed, db))


async def _over_http(tree: Tree, folder: Path, runs: int) -> float:
    async with infraweave(tree, folder) as server:
        await server.start("small", Prefer="wait=30")
        db = folder / "bench.db"
        before = await asyncio.to_thread(_vacuumed, db)
        start = server.request(
            "POST", "/v1/runs", {"workflow_id": "small", "input": {}}, {"Prefer": "wait=30"}
        )
        await put_load(server.address, repeat(start, runs), 20, None)
        return _per_run(before, await asyncio.to_thread(_vacuumed, db))


def _per_run(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])


def _count(db: Path) -> int:
    with closing(sqlite3.connect(db)) as connection:
        found: int = connection.execute("SELECT count(*) FROM runs WHERE finished_at IS NOT NULL").fetchone()[
            0
        ]
        return found


def _vacuumed(db: Path) -> tuple[int, int]:
    """Return the number of finished runs, and the size of a vacuumed copy of the file."""
    copy = db.with_name("vacuumed.db")
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return _count(copy), copy.stat().st_size
