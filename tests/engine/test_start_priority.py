"""A burst of starts is accepted before it is worked off, but never at the cost of all work."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from infraweave import Workflow
from infraweave.engine.admission import start_priority
from infraweave.engine.admission.start_priority import MOST_WAITING, StartPriority


def noting(said: list[str]) -> Workflow:
    flow = Workflow("noting", version="v1")

    @flow.node
    async def first() -> None:
        said.append("body")

    @flow.node(after=[first])
    async def second() -> None:
        said.append("body")

    return flow


async def iterations(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_burst_of_starts_is_answered_before_the_first_body(world, monkeypatch):
    monkeypatch.setattr(start_priority, "LONGEST_WAIT", 3600.0)
    said: list[str] = []
    flow = noting(said)
    async with world(flow) as here:

        async def start(late: int):
            await iterations(late)
            run = await here.start(flow)
            said.append("answer")
            return run

        runs = await asyncio.gather(*(start(late) for late in range(200)))
        assert said[:200] == ["answer"] * 200
        for run in runs:
            await here.end(run)
    assert said.count("body") == 400


async def test_the_starts_of_a_batch_go_before_bodies(world, monkeypatch):
    monkeypatch.setattr(start_priority, "LONGEST_WAIT", 3600.0)
    said: list[str] = []
    flow = noting(said)
    async with world(flow) as here:
        with here.engine.resources.start_priority.accepting():
            run = await here.start(flow)
            await here.until(run, "node_started")
            await iterations(20)
            assert said == []
        await here.end(run)


async def test_the_end_of_the_process_does_not_wait_for_runs_in_line(world, monkeypatch):
    monkeypatch.setattr(start_priority, "LONGEST_WAIT", 3600.0)
    flow = Workflow("asking", version="v1")

    @flow.human_input(schema=bool)
    def approval() -> str:
        return "really?"

    async with world(flow) as here:
        with here.engine.resources.start_priority.accepting():
            await here.start(flow)
            assert len(here.engine.registry.live) == 1
            await here.engine.drain()  # the grace period does not pass on this clock
            assert not here.engine.registry.live


async def test_an_endless_stream_of_starts_stops_no_run_of_any_tenant(world):
    said: list[str] = []
    flow = noting(said)
    async with world(flow) as here:

        async def stream() -> None:
            while True:
                await here.start(flow)

        streams = [asyncio.create_task(stream()) for _ in range(3)]
        run = await here.start(flow, tenant="other")
        assert (await here.end(run))["type"] == "completed"
        assert not any(one.done() for one in streams)
        for one in streams:
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one


async def test_a_full_line_begins_although_starts_still_come():
    priority, begun = StartPriority(), []
    with priority.accepting():
        for number in range(MOST_WAITING - 1):
            priority.enqueue("one", lambda number=number: begun.append(number))
        await iterations(20)
        assert begun == []
        priority.enqueue("one", lambda: begun.append("last"))
        assert len(begun) == MOST_WAITING


async def test_a_start_that_takes_long_holds_nothing_up_for_long(monkeypatch):
    monkeypatch.setattr(start_priority, "LONGEST_WAIT", 0.0)
    priority, begun = StartPriority(), asyncio.Event()
    with priority.accepting():
        assert priority.must_wait
        priority.enqueue("one", begun.set)
        await begun.wait()


async def test_each_tenant_begins_in_turn():
    priority, begun = StartPriority(), []
    with priority.accepting():
        for tenant in ("many", "many", "many", "few"):
            priority.enqueue(tenant, lambda tenant=tenant: begun.append(tenant))
    assert priority.must_wait  # the answers go first
    await iterations(3)
    assert begun == ["many", "few", "many", "many"]
    assert not priority.must_wait


@pytest.mark.parametrize("waiting", [1, 100])
async def test_a_new_start_before_they_begin_goes_first(waiting):
    priority, begun = StartPriority(), []
    with priority.accepting():
        for _ in range(waiting):
            priority.enqueue("one", lambda: begun.append("body"))
    with priority.accepting():
        await iterations(20)
        assert begun == []
    await iterations(20)
    assert len(begun) == waiting
