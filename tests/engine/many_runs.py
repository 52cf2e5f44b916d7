"""Brings ten thousand runs to their ends, and tells what they leave in memory.

``python -m tests.engine.many_runs``: a process of its own, because the heap of a suite says nothing. The
memory after 2,000 runs, and after all of them, is printed in bytes. With the word ``circles``, 320 runs leave
circles of references that hold 3 MB each.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from infraweave import Workflow
from infraweave.core.trace_context import TraceContext
from infraweave.engine import garbage_collector
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import StartRequest
from infraweave.server.serving import serving
from infraweave.settings import Settings

TRACE = TraceContext("0" * 31 + "1")


def flow(circles: bool) -> Workflow:
    made = Workflow("flow", version="v1")

    @made.node
    async def work(input: dict[str, Any]) -> int:
        if circles:
            held: list[Any] = [b"x" * 3_000_000]
            held.append(held)  # as an exception does that a frame keeps
        return 1

    return made


def large(number: int) -> dict[str, Any]:
    """Return an input of 700 kB that takes several megabytes in memory."""
    return {"text": f"{number:09}" + "x" * 600_000, "lists": [[] for _ in range(40_000)]}


async def one(engine: Engine, value: dict[str, Any]) -> None:
    request = StartRequest(tenant="default", by="story", workflow_id="flow", input=value, trace=TRACE)
    await engine.service.wait_end((await engine.service.start(request)).run.run_key)


async def end_many(engine: Engine, runs: int, at_once: int) -> int:
    """Bring runs to their ends, one in 200 with a large input; return the memory taken then."""
    for first in range(0, runs, at_once):
        values = (large(n) if n % 200 == 0 else {"n": n} for n in range(first, first + at_once))
        await asyncio.gather(*(one(engine, value) for value in values))
    return garbage_collector.resident()


async def main(circles: bool) -> None:
    garbage_collector.tune()
    garbage_collector.INTERVAL = 0.01
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(keep_runs=500)
        async with serving(Path(folder) / "runs.db", [flow(circles)], settings=settings) as served:
            first = await end_many(served.engine, *((20, 10) if circles else (2_000, 500)))
            last = await end_many(served.engine, *((300, 10) if circles else (8_000, 500)))
    print(first, last)


if __name__ == "__main__":
    asyncio.run(main("circles" in sys.argv))
