"""WCP-24 Persistent Trigger: a task is triggered from outside, and a trigger that comes early is kept until
the task is ready for it.

In the graph: directly. A signal that a run has accepted is on disk, and is given to its node when that
waits.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def print_run(hands) -> Workflow:
    flow = Workflow("print", version="v1")

    @flow.node
    async def set_up() -> str:
        return await hands.work("set_up")

    flow.signal("paper", schema={"type": "integer"}, after=[set_up])

    @flow.node
    async def run_press(paper: int) -> int:
        return paper

    return flow


async def test_a_trigger_that_comes_early_is_kept(world, hands):
    async with begun(world, print_run(hands)) as (w, run):
        await send(w, run, "paper", 500)
        await hands.finish(w, run, "set_up")
        assert await ended(w, run) == lines("""
            node_started set_up
            signal_received paper
            node_completed set_up
            node_started paper
            node_completed paper
            node_started run_press
            node_completed run_press
            completed
        """)
        assert (await w.end(run))["result"] == 500


async def test_a_trigger_that_comes_in_time_is_taken_at_once(world, hands):
    async with begun(world, print_run(hands)) as (w, run):
        await hands.finish(w, run, "set_up")
        await send(w, run, "paper", 500)
        assert (await ended(w, run))[2:5] == lines("""
            node_started paper
            signal_received paper
            node_completed paper
        """)


async def test_a_trigger_is_kept_over_a_restart(world, hands):
    flow = print_run(hands)
    async with world(flow, grace=0.0) as w:
        run = await w.start(flow)
        await send(w, run, "paper", 500)
    hands.let("set_up")
    async with world(flow) as w:
        assert (await w.end(run))["result"] == 500
