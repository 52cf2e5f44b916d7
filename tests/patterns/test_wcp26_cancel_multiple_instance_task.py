"""WCP-26 Cancel Multiple Instance Task: a task of many instances is withdrawn; those that have not ended
are stopped, those that have stay as they are, and nothing follows.

In the graph: by construction. The map races with the signal that cancels it; a router behind both leads on
only where the map has ended. What follows takes the results from the node that ends the race: naming the
map itself would make it serve more than the race, and then nothing stops it.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def experiments(hands) -> Workflow:
    flow = Workflow("experiments", version="v1", input={"type": "array"})

    @flow.map(over="input", max_concurrency=2)
    async def measure(n: int) -> str:
        return await hands.work(f"measure[{n}]")

    flow.signal("stop", schema={})

    @flow.node(join="any")
    async def outcome(measure: list | None = None, stop: dict | None = None) -> list | None:
        return measure

    @flow.router(routes=["publish"])
    def judge(outcome: list | None) -> list[str]:
        return [] if outcome is None else ["publish"]

    @flow.node
    async def publish(outcome: list) -> list:
        return outcome

    return flow


async def test_what_has_not_ended_is_stopped_and_what_has_not_begun_never_does(world, hands):
    async with begun(world, experiments(hands), value=[0, 1, 2, 3]) as (w, run):
        await hands.finish(w, run, "measure", 0)
        await w.until(run, "node_started", index=2)
        await send(w, run, "stop", {})
        told = await ended(w, run)
        assert told[:9] == lines("""
            node_started measure
            node_started stop
            node_started measure[0]
            node_started measure[1]
            node_completed measure[0]
            node_started measure[2]
            signal_received stop
            node_completed stop
            node_started outcome
        """)
        assert sorted(line for line in told if "cancelled" in line) == lines("""
            node_failed measure cancelled
            node_failed measure[1] cancelled
            node_failed measure[2] cancelled
        """)
        assert "node_completed judge → nothing (skips publish)" in told
        assert told[-1] == "completed"


async def test_all_instances_that_ended_first_lead_on(world, hands):
    async with begun(world, experiments(hands), value=[0, 1]) as (w, run):
        await hands.finish(w, run, "measure", 1)
        await hands.finish(w, run, "measure", 0)
        assert (await ended(w, run))[-10:] == lines("""
            node_completed measure[0]
            node_completed measure
            node_failed stop cancelled
            node_started outcome
            node_completed outcome
            node_started judge
            node_completed judge → publish
            node_started publish
            node_completed publish
            completed
        """)
