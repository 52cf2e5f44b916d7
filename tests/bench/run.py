"""Runs of no-op nodes, in an engine of this process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from infraweave import Workflow
from infraweave.core.trace_context import TraceContext
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import StartRequest

TRACE = TraceContext("0" * 31 + "1")
OUTPUT: dict[str, object] = {"status": 200, "bytes": 18234, "note": "x" * 150}


async def noop() -> dict[str, object]:
    return OUTPUT


async def small() -> dict[str, object]:
    return {"ok": True}


def chain(name: str, length: int, node: Callable[[], Awaitable[object]] = noop) -> Workflow:
    """Return a workflow of no-op nodes, one after the other."""
    flow = Workflow(name, version="v1")
    for place in range(length):
        flow.node(name=f"n{place}", after=[f"n{place - 1}"] if place else [])(node)
    return flow


def fan_out(width: int) -> Workflow:
    """Return a workflow of so many no-op nodes that do not wait for each other."""
    flow = Workflow(f"fan-{width}", version="v1")
    for place in range(width):
        flow.node(name=f"n{place}")(noop)
    return flow


def mapped(items: int) -> Workflow:
    """Return a workflow of one node and a map over its output."""
    flow = Workflow(f"map-{items}", version="v1")

    @flow.node
    async def numbers() -> list[int]:
        return list(range(items))

    @flow.map(over="numbers")
    async def same(number: int) -> int:
        return number

    return flow


async def one(engine: Engine, workflow_id: str) -> float:
    """Execute a run; return how many seconds it took."""
    began = time.perf_counter()
    started = await engine.service.start(
        StartRequest(tenant="default", by="bench", workflow_id=workflow_id, trace=TRACE)
    )
    await engine.service.wait_end(started.run.run_key)
    return time.perf_counter() - began
