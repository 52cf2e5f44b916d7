"""WCP-25 Cancel Region: a set of tasks is withdrawn or stopped together, the rest of the process goes on.

In the graph: by construction, for a region that ends in one node. That node races with the signal that
cancels; everything that only leads to it is the region, however it branches. A node on which something
outside depends is not part of it and runs on. (A region that is a subworkflow is cancelled as a whole in
the same way.)
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def trial(hands) -> Workflow:
    flow = Workflow("trial", version="v1")

    @flow.node
    async def hear_witness() -> str:
        return await hands.work("hear_witness")

    @flow.node
    async def gather() -> str:
        return await hands.work("gather")

    @flow.sleep
    def reflect(hear_witness: str) -> str:
        return "1d"

    @flow.node(after=[gather, reflect])
    async def verdict() -> str:
        return await hands.work("verdict")

    @flow.node
    async def archive(gather: str) -> str:
        return await hands.work("archive")

    flow.signal("settle", schema={})

    @flow.node(join="any")
    async def close(verdict: str | None = None, settle: dict | None = None) -> str:
        return "by verdict" if verdict else "settled"

    return flow


async def test_the_region_is_withdrawn_and_the_rest_goes_on(world, hands):
    async with begun(world, trial(hands)) as (w, run):
        await hands.finish(w, run, "hear_witness")
        await w.until(run, "node_started", node="reflect")
        await send(w, run, "settle", {})
        await w.until(run, "node_completed", node="close")
        await hands.finish(w, run, "gather")  # archive needs it, so it is outside of the region
        await hands.finish(w, run, "archive")
        assert await ended(w, run) == lines("""
            node_started hear_witness
            node_started gather
            node_started settle
            node_completed hear_witness
            node_started reflect
            signal_received settle
            node_completed settle (skips verdict)
            node_failed reflect cancelled
            node_started close
            node_completed close
            node_completed gather
            node_started archive
            node_completed archive
            completed
        """)


async def test_a_region_that_ended_can_no_longer_be_cancelled(world, hands):
    async with begun(world, trial(hands)) as (w, run):
        for node in ("hear_witness", "gather", "archive"):
            await hands.finish(w, run, node)
        await w.until(run, "node_started", node="reflect")
        await w.clock.advance(86_400)
        await hands.finish(w, run, "verdict")
        assert (await ended(w, run))[-5:] == lines("""
            node_completed verdict
            node_failed settle cancelled
            node_started close
            node_completed close
            completed
        """)
