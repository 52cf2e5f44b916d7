"""WCP-7 Structured Synchronizing Merge: the branches of one multi-choice converge, all that were taken.

In the graph: directly. The merging node names the routes with defaults: what the router did not choose is
settled as skipped at once, what it chose is waited for.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def emergency(hands) -> Workflow:
    flow = Workflow("emergency", version="v1")

    @flow.router(routes=["police", "ambulance"])
    def call(input: dict) -> list[str]:
        return input["who"]

    @flow.node
    async def police() -> str:
        return await hands.work("police")

    @flow.node
    async def ambulance() -> str:
        return await hands.work("ambulance")

    @flow.node(after=[call])
    async def report(police: str | None = None, ambulance: str | None = None) -> list[str | None]:
        return [police, ambulance]

    return flow


async def test_the_merge_waits_for_both_where_both_were_taken(world, hands):
    async with begun(world, emergency(hands), value={"who": ["police", "ambulance"]}) as (w, run):
        await hands.finish(w, run, "ambulance")
        await hands.finish(w, run, "police")
        assert await ended(w, run) == lines("""
            node_started call
            node_completed call → police ambulance
            node_started police
            node_started ambulance
            node_completed ambulance
            node_completed police
            node_started report
            node_completed report
            completed
        """)


@pytest.mark.parametrize(("taken", "left"), [("police", "ambulance"), ("ambulance", "police")])
async def test_the_merge_waits_for_the_one_that_was_taken(world, hands, taken, left):
    async with begun(world, emergency(hands), value={"who": [taken]}) as (w, run):
        await hands.finish(w, run, taken)
        assert await ended(w, run) == lines(f"""
            node_started call
            node_completed call → {taken} (skips {left})
            node_started {taken}
            node_completed {taken}
            node_started report
            node_completed report
            completed
        """)


async def test_with_no_branch_taken_the_merge_follows_the_choice(world, hands):
    async with begun(world, emergency(hands), value={"who": []}) as (w, run):
        assert await ended(w, run) == lines("""
            node_started call
            node_completed call → nothing (skips police ambulance)
            node_started report
            node_completed report
            completed
        """)
