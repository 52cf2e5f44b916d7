"""Rows of fairness: how long runs of one tenant take while another tenant's runs hold what they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.child import Tree
from tests.bench.http_client import always, put_load
from tests.bench.results import Measured, Round, Row, round_of
from tests.bench.scale import Scale
from tests.bench.server import Server, all_of

QUIET = "the same without the neighbour"
#: Callers whose runs are measured; few, so that the neighbour decides how long a run takes.
CALLERS = 4


@dataclass(frozen=True)
class Neighbour:
    """What another tenant does, and the workflow whose runs are measured beside it.

    A thread cannot be taken from a body, so a run that needs one waits at least until a body
    of the neighbour ends.
    """

    name: str
    what: str
    workflow_id: str
    callers: int
    beside: str


NEIGHBOURS = (
    Neighbour("threads", "async runs while a tenant blocks all threads", "blocking", 64, "three"),
    Neighbour("own-threads", "sync runs while a tenant blocks all threads", "blocking", 64, "threaded"),
    Neighbour("outputs", "runs while a tenant floods with outputs of 1 MB", "flooding", 8, "three"),
)


def _row(neighbour: Neighbour) -> Row:
    return Row(f"neighbour-{neighbour.name}", f"p99 of {neighbour.what}", "ms", False, QUIET)


def rows(_: Scale) -> list[Row]:
    return [_row(neighbour) for neighbour in NEIGHBOURS]


async def measure(
    trees: Sequence[Tree], names: Collection[str], scale: Scale, folder: Path
) -> list[Measured]:
    """Measure the chosen rows, without and with the neighbour in turn; the yardstick is the first tree."""
    found = [
        (neighbour, Measured(_row(neighbour))) for neighbour in NEIGHBOURS if _row(neighbour).name in names
    ]
    async with all_of(trees, folder) as servers:
        noisy = {label: await _other_tenant(server) for label, server in servers.items()}
        for _ in range(scale.neighbour_rounds):
            for neighbour, measured in found:
                for label, server in servers.items():
                    alone = await _p99(server, neighbour.beside, scale)
                    if label == trees[0].label:
                        measured.yardstick.append(alone)
                    async with _busy(noisy[label], neighbour):
                        beside = await _p99(server, neighbour.beside, scale)
                    await noisy[label].settle()
                    measured.trees.setdefault(label, []).append(beside)
    return [measured for _, measured in found]


async def _other_tenant(server: Server) -> Server:
    """Return the same server, as a principal of another tenant sees it."""
    grants = ["execute:workflow:*", "read:workflow:*"]
    asked = {"tenant": "noisy", "principal": "neighbour", "grants": grants}
    token = (await server.ask("POST", "/v1/tokens", asked))["token"]
    return replace(server, headers={"Authorization": f"Bearer {token}"})


@asynccontextmanager
async def _busy(server: Server, neighbour: Neighbour) -> AsyncIterator[None]:
    """Keep the neighbour's runs going for the length of the block."""
    task = asyncio.create_task(
        put_load(server.address, _waits(server, neighbour.workflow_id), neighbour.callers, None)
    )
    try:
        await asyncio.sleep(0.3)  # until its queue is full
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # raises what was refused


async def _p99(server: Server, workflow_id: str, scale: Scale) -> Round:
    requests = _waits(server, workflow_id)
    load = await put_load(server.address, requests, CALLERS, scale.neighbour_seconds)
    took = round_of(0.0, load.latencies, None, 0)
    assert took.p99_ms is not None
    return replace(took, value=took.p99_ms)


def _waits(server: Server, workflow_id: str) -> Iterator[bytes]:
    body = {"workflow_id": workflow_id, "input": {}}
    return always(server.request("POST", "/v1/runs", body, {"Prefer": "wait=30"}))
