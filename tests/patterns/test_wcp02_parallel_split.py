"""WCP-2 Parallel Split (AND-split): one branch divides into several that are executed concurrently.

In the graph: directly. Several nodes name the same one; all of them open with its completion.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def alarm(hands) -> Workflow:
    flow = Workflow("alarm", version="v1")

    @flow.node
    async def detect() -> str:
        return "smoke"

    @flow.node
    async def call(detect: str) -> str:
        return await hands.work("call")

    @flow.node
    async def unlock(detect: str) -> str:
        return await hands.work("unlock")

    return flow


async def test_both_branches_begin_before_either_ends(world, hands):
    async with begun(world, alarm(hands)) as (w, run):
        await hands.finish(w, run, "unlock")
        await hands.finish(w, run, "call")
        assert await ended(w, run) == lines("""
            node_started detect
            node_completed detect
            node_started call
            node_started unlock
            node_completed unlock
            node_completed call
            completed
        """)
