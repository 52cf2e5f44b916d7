"""WCP-13 Multiple Instances with a priori Design-Time Knowledge: a number of instances that the design
fixes run at once, and what follows waits for all of them.

In the graph: directly. A map over a list that the definition writes down.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def report(hands) -> Workflow:
    flow = Workflow("report", version="v1")

    @flow.node
    async def signatories() -> list[int]:
        return [0, 1, 2]  # always three directors

    @flow.map(over=signatories)
    async def sign(who: int) -> str:
        return await hands.work(f"sign[{who}]")

    @flow.node
    async def publish(sign: list[str]) -> int:
        return len(sign)

    return flow


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])))
async def test_what_follows_waits_for_the_last_instance(world, hands, order):
    async with begun(world, report(hands)) as (w, run):
        for index in order:
            await hands.finish(w, run, "sign", index)
        assert await ended(w, run) == lines(f"""
            node_started signatories
            node_completed signatories
            node_started sign
            node_started sign[0]
            node_started sign[1]
            node_started sign[2]
            node_completed sign[{order[0]}]
            node_completed sign[{order[1]}]
            node_completed sign[{order[2]}]
            node_completed sign
            node_started publish
            node_completed publish
            completed
        """)
