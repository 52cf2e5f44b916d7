"""Rows of growth: the same requests with 1, 10 and 100 times as many finished runs in the file."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.bench.child import Tree
from tests.bench.copies import copy_run, some_runs
from tests.bench.http_client import always
from tests.bench.results import Measured, Row
from tests.bench.rows_http import START, measure_load, of_runs
from tests.bench.scale import Scale
from tests.bench.server import Server, infraweave

REQUESTS = {
    "get": "GET /v1/runs/{id}",
    "list": "GET /v1/runs, 50 runs",
    "wait": "POST with Prefer: wait",
}


def rows(scale: Scale) -> list[Row]:
    return [row for row, _, _ in _plan(scale)]


def _plan(scale: Scale) -> list[tuple[Row, str, int]]:
    """Return each row, its request, and how many runs the file has."""
    smallest = f"the same with {scale.growth[0]:,} runs"
    return [
        (
            Row(f"{name}-{runs}", f"{what}, {runs:,} runs in the file", "requests/s", True, smallest),
            name,
            runs,
        )
        for runs in scale.growth[1:]
        for name, what in REQUESTS.items()
    ]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure the chosen rows; the smallest file of the first tree is the yardstick."""
    plan = [planned for planned in _plan(scale) if planned[0].name in names]
    sizes = {scale.growth[0], *(runs for _, _, runs in plan)}
    found = {row.name: Measured(row, trees={tree.label: [] for tree in trees}) for row, _, _ in plan}
    async with AsyncExitStack() as stack:
        servers = {}
        for tree in trees:
            made = await _of_one(tree, folder / tree.label)
            for runs in sizes:
                opening = _of_many(tree, folder / f"{tree.label}-{runs}", made, runs)
                servers[tree.label, runs] = await stack.enter_async_context(opening)
        for _ in range(min(scale.rounds, 3)):  # each round has six rows
            for row, request, runs in plan:
                smallest, run_id = servers[trees[0].label, scale.growth[0]]
                took = await measure_load(smallest, _requests(request, smallest, run_id), scale)
                found[row.name].yardstick.append(took)
                for tree in trees:
                    server, run_id = servers[tree.label, runs]
                    took = await measure_load(server, _requests(request, server, run_id), scale)
                    found[row.name].trees[tree.label].append(took)
    return list(found.values())


def _requests(name: str, server: Server, run_ids: list[str]) -> Iterator[bytes]:
    if name == "get":
        return of_runs("")(server, run_ids)
    if name == "list":
        return always(server.request("GET", "/v1/runs?limit=50"))
    return always(server.request("POST", "/v1/runs", START, {"Prefer": "wait=30"}))


async def _of_one(tree: Tree, folder: Path) -> tuple[Path, str]:
    """Make a file with one finished run; return its path and the id of the run."""
    async with infraweave(tree, folder) as server:
        run_id = await server.start("three", Prefer="wait=30")
        await server.settle()
    return folder / "bench.db", run_id


@asynccontextmanager
async def _of_many(
    tree: Tree, folder: Path, made: tuple[Path, str], runs: int
) -> AsyncIterator[tuple[Server, list[str]]]:
    """Serve a file with so many finished runs; return the server and the ids of some of them."""
    folder.mkdir()
    template, run_id = made
    for suffix in ("", ".token"):
        shutil.copy(f"{template}{suffix}", folder)
    db = folder / "bench.db"
    await asyncio.to_thread(copy_run, db, run_id, runs - 1)
    async with infraweave(tree, folder, db=db) as server:
        yield server, await asyncio.to_thread(some_runs, db)
