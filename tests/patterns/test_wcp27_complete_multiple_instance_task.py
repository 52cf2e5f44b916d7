"""WCP-27 Complete Multiple Instance Task: a task of many instances is declared done; those that have not
ended are withdrawn, and the process goes on as if all had.

In the graph: by construction. The map races with the signal that completes it, and the node behind both
goes on either way. What the ended instances returned is in the run's history; the node behind does not get
it, since a map gives its output only as a whole.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def research(hands) -> Workflow:
    flow = Workflow("research", version="v1", input={"type": "array"})

    @flow.map(over="input")
    async def sample(n: int) -> str:
        return await hands.work(f"sample[{n}]")

    flow.signal("enough", schema={})

    @flow.node(join="any")
    async def assess(sample: list | None = None, enough: dict | None = None) -> str:
        return "all samples" if sample else "the samples so far"

    return flow


async def test_the_process_goes_on_without_the_instances_that_have_not_ended(world, hands):
    async with begun(world, research(hands), value=[0, 1, 2]) as (w, run):
        await hands.finish(w, run, "sample", 1)
        await send(w, run, "enough", {})
        told = await ended(w, run)
        assert sorted(line for line in told if "sample" in line and "started" not in line) == lines("""
            node_completed sample[1]
            node_failed sample cancelled
            node_failed sample[0] cancelled
            node_failed sample[2] cancelled
        """)
        assert "node_completed assess" in told
        assert (await w.end(run))["result"] == "the samples so far"


async def test_once_all_have_ended_there_is_nothing_to_complete(world, hands):
    async with begun(world, research(hands), value=[0, 1]) as (w, run):
        await hands.finish(w, run, "sample", 0)
        await hands.finish(w, run, "sample", 1)
        assert (await ended(w, run))[-5:] == lines("""
            node_completed sample
            node_failed enough cancelled
            node_started assess
            node_completed assess
            completed
        """)
