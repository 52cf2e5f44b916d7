"""Results of one run that come in one turn of the loop: they share an append, and nothing else changes."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Workflow
from infraweave.core.run.facts import CancelRequested
from infraweave.engine.runs import live_run
from tests.engine.test_refusals import LARGE, failed, limited


@pytest.fixture
def appends(monkeypatch):
    """How many nodes each append completes, beginning with the world that a story opens."""
    sizes = []

    def watched(journal):
        append = journal.append

        def counted(entries, *more):
            sizes.append(sum(event.type == "node_completed" for entry in entries for event in entry.events))
            return append(entries, *more)

        object.__setattr__(journal, "append", counted)
        return sizes

    return watched


def fan(width: int, gate: asyncio.Event) -> Workflow:
    """Nodes side by side that end when the gate opens."""
    flow = Workflow("fan", version="v1")

    async def body() -> int:
        await gate.wait()
        return 1

    for place in range(width):
        flow.node(name=f"n{place}")(body)
    return flow


async def all_at_work(w, run, width):
    for place in range(width):
        await w.at_work(run, node=f"n{place}")


async def delivered(live):
    """Wait until a body has returned, and its result has not been applied yet."""
    for _ in range(100):
        if live.results:
            return
        await asyncio.sleep(0)
    raise AssertionError("no result waits")


def mapping(items: int) -> Workflow:
    flow = Workflow("mapping", version="v1")

    @flow.node
    async def source() -> list[int]:
        return list(range(items))

    @flow.map(over=source, max_concurrency=50)
    async def doubled(item: int) -> int:
        return 2 * item

    flow.output(doubled)
    return flow


async def test_results_of_a_map_that_come_together_are_appended_together(world, appends):
    flow = mapping(500)
    async with world(flow) as w:
        sizes = appends(w.engine.journal)
        run = await w.start(flow)
        assert (await w.end(run))["result"] == [2 * item for item in range(500)]
    assert sum(sizes) == 502
    assert len(sizes) < 100


async def test_so_many_results_share_an_append_and_no_more(world, appends, monkeypatch):
    monkeypatch.setattr(live_run, "MOST_RESULTS", 3)
    gate = asyncio.Event()
    flow = fan(10, gate)
    async with world(flow) as w:
        sizes = appends(w.engine.journal)
        run = await w.start(flow)
        await all_at_work(w, run, 10)
        gate.set()
        assert (await w.end(run))["type"] == "completed"
    assert sum(sizes) == 10
    assert max(sizes) <= 3


async def test_a_fact_that_comes_while_results_wait_is_applied_after_them(world):
    gate = asyncio.Event()
    flow = fan(3, gate)
    flow.signal("go", after=["n0", "n1", "n2"])
    async with world(flow) as w:
        run = await w.start(flow)
        await all_at_work(w, run, 3)
        live = w.engine.registry.live[run.run_key]
        gate.set()
        await delivered(live)
        live.apply(CancelRequested(by="eve"))
        await w.end(run)
        told = await w.told(run)
    completed = [place for place, line in enumerate(told) if line.startswith("node_completed")]
    assert completed
    assert told.index("cancel_requested") > completed[0]


async def test_results_that_wait_when_the_process_ends_are_stored(world):
    gate, calls = asyncio.Event(), []
    flow = Workflow("closing", version="v1")

    async def body() -> int:
        calls.append(1)
        await gate.wait()
        return 1

    for name in ("left", "right"):
        flow.node(name=name)(body)
    flow.signal("go", after=["left", "right"])
    async with world(flow) as w:
        run = await w.start(flow)
        for name in ("left", "right"):
            await w.at_work(run, node=name)
        live = w.engine.registry.live[run.run_key]
        gate.set()
        await delivered(live)
    async with world(flow) as w:
        await w.until(run, "node_started", node="go")
        assert len(calls) == 2
        await w.engine.service.cancel(run, by="eve")
        await w.end(run)


async def test_of_results_that_came_together_the_one_that_cannot_be_stored_fails(world):
    gate = asyncio.Event()
    flow = Workflow("blame", version="v1")

    async def small() -> str:
        await gate.wait()
        return "small"

    async def large() -> str:
        await gate.wait()
        return 2 * LARGE

    for place, body in enumerate((small, large, small)):
        flow.node(name=f"n{place}")(body)
    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow)
        await all_at_work(w, run, 3)
        gate.set()
        await failed(w, run, "n1")
