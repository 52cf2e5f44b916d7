"""How fast is a durable run, beside a bare asyncio loop that makes the same durable writes?

    python -m tests.bench.run [--seconds 3] [--inflight 1000] [--limit-program FILE]

Both are measured in turn in one process tree on one disk, so that a ratio means something on a shared
machine. The yardstick writes one record when a node starts and one when it completes, in order, WAL and
``synchronous=FULL``, group commit, one hop per batch: no less is durable.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import infraweave
from infraweave import Workflow
from infraweave.core.trace_context import TraceContext
from infraweave.engine import garbage_collector
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import StartRequest
from infraweave.settings import Settings
from tests.bench import yardstick

TRACE = TraceContext("0" * 31 + "1")


def chain(name: str, length: int) -> Workflow:
    """Return a workflow of no-op nodes, one after the other."""
    flow = Workflow(name, version="v1")

    async def noop() -> dict[str, object]:
        return {"status": 200, "bytes": 18234, "note": "x" * 150}

    flow.node(name="n0")(noop)
    for place in range(1, length):
        flow.node(name=f"n{place}", after=[f"n{place - 1}"])(noop)
    return flow


async def one(engine: Engine, workflow_id: str) -> float:
    began = time.perf_counter()
    started = await engine.service.start(
        StartRequest(tenant="default", by="bench", workflow_id=workflow_id, trace=TRACE)
    )
    await engine.service.wait_end(started.run.run_key)
    return time.perf_counter() - began


async def product(seconds: float, inflight: int, folder: str) -> dict[str, float]:
    flows = [chain("three", 3), chain("hundred", 100)]
    settings = Settings(max_running=2 * inflight)
    async with infraweave.embed(*flows, db=Path(folder) / "bench.db", settings=settings) as embedded:
        engine = embedded.engine
        await one(engine, "three")
        alone = [await one(engine, "three") for _ in range(100)]
        per_node = await one(engine, "hundred") / 100
        done, until = 0, time.perf_counter() + seconds

        async def slot() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await one(engine, "three")
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(slot() for _ in range(inflight)))
        elapsed = time.perf_counter() - began
    return {
        "runs_per_s": done / elapsed,
        "alone_ms": statistics.mean(alone) * 1e3,
        "chain_ms_per_node": per_node * 1e3,
    }


def limit(program: str, seconds: float, inflight: int, folder: str) -> dict[str, float]:
    """Run an outside yardstick with the limit program's interface and read its line."""
    command = [sys.executable, program, "--mode", "sync", "--commit", "aio", "--dir", folder]
    command += ["--secs", str(seconds), "--inflight", str(inflight)]
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = re.search(r"p50 ([\d.]+) .*chain ([\d.]+) ms/node .*?(\d+) runs/s", line)
    assert numbers, line
    return {
        "runs_per_s": float(numbers[3]),
        "alone_ms": float(numbers[1]),
        "chain_ms_per_node": float(numbers[2]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--inflight", type=int, default=1000)
    parser.add_argument("--limit-program", default=os.environ.get("BENCH_LIMIT_PROGRAM"))
    chosen = parser.parse_args()
    garbage_collector.tune()  # as `infraweave serve` does
    with tempfile.TemporaryDirectory() as folder:
        if chosen.limit_program:
            bare = limit(chosen.limit_program, chosen.seconds, chosen.inflight, folder)
        else:
            bare = asyncio.run(yardstick.measure(chosen.seconds, chosen.inflight, folder))
        ours = asyncio.run(product(chosen.seconds, chosen.inflight, folder))
    ratios = {name: ours[name] / bare[name] if bare[name] else float("nan") for name in ours}
    print(f"{'':20}{'InfraWeave':>12}{'bare loop':>12}{'ratio':>8}")
    for name, ratio in ratios.items():
        print(f"{name:20}{ours[name]:12.3f}{bare[name]:12.3f}{ratio:8.3f}")
    print(json.dumps({"product": ours, "bare": bare, "ratios": ratios}))


if __name__ == "__main__":
    main()
