"""WCP-11 Implicit Termination: a process ends once there is nothing left to do, now or later; no end is
marked.

In the graph: directly. A run is ``succeeded`` with the commit in which its last node settles.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def chores(hands) -> Workflow:
    flow = Workflow("chores", version="v1")

    @flow.node
    async def dishes() -> str:
        return await hands.work("dishes")

    @flow.node
    async def windows() -> str:
        return await hands.work("windows")

    @flow.sleep
    def dry(dishes: str) -> str:
        return "1h"

    return flow


async def test_a_waiting_timer_is_something_left_to_do(world, hands):
    async with begun(world, chores(hands)) as (w, run):
        await hands.finish(w, run, "dishes")
        await w.until(run, "node_started", node="dry")
        await hands.finish(w, run, "windows")
        assert not await w.engine.service.wait_end(run.run_key, timeout=0)
        await w.clock.advance(3600)
        assert await ended(w, run) == lines("""
            node_started dishes
            node_started windows
            node_completed dishes
            node_started dry
            node_completed windows
            node_completed dry
            completed
        """)


@pytest.mark.parametrize("last", ["dry", "windows"])
async def test_whichever_branch_is_the_last_ends_the_run(world, hands, last):
    async with begun(world, chores(hands)) as (w, run):
        await hands.finish(w, run, "dishes")
        await w.until(run, "node_started", node="dry")
        if last == "windows":
            await w.clock.advance(3600)
            await w.until(run, "node_completed", node="dry")
        await hands.finish(w, run, "windows")
        if last == "dry":
            await w.clock.advance(3600)
        assert (await ended(w, run))[-2:] == [f"node_completed {last}", "completed"]
