"""WCP-18 Milestone: a task may be begun only while the process is at a certain point: after one thing has
happened and as long as another has not.

In the graph: by construction. Reaching the milestone opens a wait for the request (``after=``); leaving it
is an event too; a router with ``join="any"`` opens with the first of the two. Once the milestone is passed
the wait has been withdrawn, and nothing can run the task any more. The event that leaves the milestone
serves its own branch as well, so a request does not stop it. A request that comes before the milestone is
kept until then. Each declared wait allows the task once; a loop around it allows it again.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def passenger(hands, *, again_and_again: bool = False) -> Workflow:
    flow = Workflow("passenger", version="v1")

    @flow.node
    async def issue_ticket() -> str:
        return await hands.work("issue_ticket")

    flow.signal("boarding", schema={}, after=[issue_ticket])

    @flow.node
    async def fly(boarding: dict) -> str:
        return "flown"

    flow.signal("change", schema={}, after=[issue_ticket])  # the milestone is reached

    @flow.router(routes=["reroute"], join="any")
    def window(change: dict | None = None, boarding: dict | None = None) -> list[str]:
        return ["reroute"] if change is not None else []

    @flow.node
    async def reroute() -> str:
        return "rerouted"

    if again_and_again:

        @flow.repeat(back_to="change", max_iterations=100)
        def again(reroute: str) -> bool:
            return True

    return flow


async def test_at_the_milestone_the_task_runs_and_the_milestone_stands(world, hands):
    async with begun(world, passenger(hands)) as (w, run):
        await hands.finish(w, run, "issue_ticket")
        await send(w, run, "change", {})
        await w.until(run, "node_completed", node="reroute")
        await send(w, run, "boarding", {})
        assert await ended(w, run) == lines("""
            node_started issue_ticket
            node_completed issue_ticket
            node_started boarding
            node_started change
            signal_received change
            node_completed change
            node_started window
            node_completed window → reroute
            node_started reroute
            node_completed reroute
            signal_received boarding
            node_completed boarding
            node_started fly
            node_completed fly
            completed
        """)


async def test_past_the_milestone_the_task_is_gone_for_good(world, hands):
    async with begun(world, passenger(hands)) as (w, run):
        await hands.finish(w, run, "issue_ticket")
        await send(w, run, "boarding", {})
        told = await ended(w, run)
        assert told[4:7] == lines("""
            signal_received boarding
            node_completed boarding
            node_failed change cancelled
        """)
        assert "node_completed window → nothing (skips reroute)" in told
        assert "node_started reroute" not in told


async def test_before_the_milestone_the_task_does_not_run_yet(world, hands):
    async with begun(world, passenger(hands)) as (w, run):
        await send(w, run, "change", {})
        await hands.finish(w, run, "issue_ticket")
        await w.until(run, "node_completed", node="reroute")
        await send(w, run, "boarding", {})
        told = await ended(w, run)
        assert told.index("signal_received change") < told.index("node_completed issue_ticket")
        assert told.index("node_completed issue_ticket") < told.index("node_started reroute")


async def test_in_a_loop_the_task_may_be_done_again_until_the_milestone_is_passed(world, hands):
    async with begun(world, passenger(hands, again_and_again=True)) as (w, run):
        await hands.finish(w, run, "issue_ticket")
        for iteration in (1, 2):
            await send(w, run, "change", {})
            await w.until(run, "node_completed", node="reroute", iteration=iteration)
        await w.until(run, "node_started", node="change", iteration=3)
        await send(w, run, "boarding", {})
        told = await ended(w, run)
        assert "node_failed change#3 cancelled" in told
        assert "node_completed window#3 → nothing (skips reroute again)" in told
        assert [line for line in told if "completed reroute" in line] == lines("""
            node_completed reroute#1
            node_completed reroute#2
        """)
