"""Rows of HTTP, beside a bare Quart app on the same Hypercorn."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.child import Tree
from tests.bench.http_client import always, put_load
from tests.bench.results import Measured, Round, Row, round_of
from tests.bench.scale import Scale
from tests.bench.server import Server, all_of, bare

ECHO, GET = "bare Quart JSON echo", "bare Quart GET"
START = {"workflow_id": "three", "input": {"order_id": "ord_28843", "customer_tier": "enterprise"}}
LATER = {**START, "workflow_id": "later", "start_at": "2126-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Request:
    """What a row sends to our server, and what to the yardstick."""

    row: Row
    ours: Callable[[Server, list[str]], Iterator[bytes]]
    theirs: Callable[[Server], bytes]
    #: Whether the time counts until all runs have ended.
    to_the_end: bool = False


def _echo(server: Server) -> bytes:
    return server.request("POST", "/echo", START)


def _get(server: Server) -> bytes:
    return server.request("GET", "/run")


def of_runs(suffix: str) -> Callable[[Server, list[str]], Iterator[bytes]]:
    """Return what makes requests about the runs, one after the other."""

    def requests(server: Server, run_ids: list[str]) -> Iterator[bytes]:
        made = [server.request("GET", f"/v1/runs/{run_id}{suffix}") for run_id in run_ids]
        while True:
            yield from made

    return requests


def _plan(scale: Scale) -> list[Request]:
    at = f"{scale.connections} connections"
    post = Row("post", f"POST /v1/runs, {at}, run executed", "runs/s", True, ECHO)
    later = Row("post-later", "POST /v1/runs with start_at later, accept only", "requests/s", True, ECHO)
    wait = Row("wait", "POST /v1/runs with Prefer: wait", "runs/s", True, ECHO)
    get = Row("get", "GET /v1/runs/{id}", "requests/s", True, GET)
    listed = Row("list", "GET /v1/runs, 50 runs", "requests/s", True, GET)
    history = Row("history", "GET /v1/runs/{id}/history", "requests/s", True, GET)
    return [
        Request(post, lambda server, _: always(server.request("POST", "/v1/runs", START)), _echo, True),
        Request(later, lambda server, _: always(server.request("POST", "/v1/runs", LATER)), _echo),
        Request(
            wait,
            lambda server, _: always(server.request("POST", "/v1/runs", START, {"Prefer": "wait=30"})),
            _echo,
        ),
        Request(get, of_runs(""), _get),
        Request(listed, lambda server, _: always(server.request("GET", "/v1/runs?limit=50")), _get),
        Request(history, of_runs("/history"), _get),
    ]


def rows(scale: Scale) -> list[Row]:
    return [request.row for request in _plan(scale)]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure the chosen rows; the sides of a row take turns in each round."""
    chosen = [request for request in _plan(scale) if request.row.name in names]
    found = {request.row.name: Measured(request.row) for request in chosen}
    async with AsyncExitStack() as stack:
        yardstick = await stack.enter_async_context(bare(trees[0], folder / "bare"))
        servers = await stack.enter_async_context(all_of(trees, folder))
        run_ids = {label: await _finished_runs(server, scale.listed) for label, server in servers.items()}
        for _ in range(scale.rounds):
            for request in chosen:
                measured = found[request.row.name]
                theirs = always(request.theirs(yardstick))
                measured.yardstick.append(await measure_load(yardstick, theirs, scale))
                for label, server in servers.items():
                    ours = request.ours(server, run_ids[label])
                    end = server.settle if request.to_the_end else None
                    took = await measure_load(server, ours, scale, end)
                    measured.trees.setdefault(label, []).append(took)
    return list(found.values())


async def _finished_runs(server: Server, runs: int) -> list[str]:
    run_ids = [await server.start("three", Prefer="wait=30") for _ in range(runs)]
    await server.settle()
    return run_ids


async def measure_load(
    server: Server, requests: Iterator[bytes], scale: Scale, end: Callable[[], Awaitable[None]] | None = None
) -> Round:
    began, cpu = time.perf_counter(), server.process.cpu_seconds()
    load = await put_load(server.address, requests, scale.connections, scale.seconds)
    elapsed = load.elapsed
    if end is not None:
        await end()
        elapsed = time.perf_counter() - began
    after = server.process.cpu_seconds()
    used = None if cpu is None or after is None else after - cpu
    took = round_of(len(load.latencies) / elapsed, load.latencies, used, len(load.latencies))
    return Round(took.value, took.p50_ms, took.p99_ms, took.cpu_us, server.process.memory_mib())
