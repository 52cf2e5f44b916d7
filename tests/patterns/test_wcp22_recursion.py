"""WCP-22 Recursion: a process invokes itself, directly or through another.

In the graph: directly. A subworkflow node that names its own workflow, in a branch that a router can leave
out. Each level is a run of its own; how deep it may go is bounded.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, child_of, ended, lines


def factorial() -> Workflow:
    flow = Workflow("factorial", version="v1")

    @flow.router(routes=["smaller"])
    def which(input: dict) -> list[str]:
        return ["smaller"] if input["n"] > 1 else []

    @flow.subworkflow(flow)
    def smaller(input: dict) -> dict:
        return {"n": input["n"] - 1}

    @flow.node(after=[which])
    async def product(input: dict, smaller: int = 1) -> int:
        return input["n"] * smaller

    return flow


async def test_each_level_waits_for_the_one_below(world):
    async with begun(world, factorial(), value={"n": 3}) as (w, run):
        assert (await w.end(run))["result"] == 6
        inner = lines("""
            node_started which
            node_completed which → smaller
            node_started smaller
            node_completed smaller
            node_started product
            node_completed product
            completed
        """)
        assert await ended(w, run) == inner
        child = await child_of(w, run, "smaller")
        assert await ended(w, child) == inner
        grandchild = await child_of(w, child, "smaller")
        assert await ended(w, grandchild) == lines("""
            node_started which
            node_completed which → nothing (skips smaller)
            node_started product
            node_completed product
            completed
        """)
