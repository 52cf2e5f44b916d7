"""WCP-32 Cancelling Partial Join: of M parallel branches the process goes on with the Nth, and the rest are
stopped.

In the graph: by construction, for small N and M. A node for each choice of N branches, and a node with
``join="any"`` behind them; the branches lead nowhere else, so those that are still open are stopped.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def bids(hands) -> Workflow:
    flow = Workflow("bids", version="v1")

    @flow.node
    async def ann() -> str:
        return await hands.work("ann")

    @flow.node
    async def bob() -> str:
        return await hands.work("bob")

    @flow.node
    async def eve() -> str:
        return await hands.work("eve")

    @flow.node(after=[ann, bob])
    async def ann_bob() -> None: ...

    @flow.node(after=[ann, eve])
    async def ann_eve() -> None: ...

    @flow.node(after=[bob, eve])
    async def bob_eve() -> None: ...

    @flow.node(join="any", after=[ann_bob, ann_eve, bob_eve])
    async def award() -> str:
        return "awarded"

    return flow


@pytest.mark.parametrize("order", list(permutations(["ann", "bob", "eve"])))
async def test_the_second_goes_on_and_the_third_is_stopped(world, hands, order):
    first, second, third = order
    async with begun(world, bids(hands)) as (w, run):
        await hands.finish(w, run, first)
        await hands.finish(w, run, second)
        told = await ended(w, run)
        pair = "_".join(sorted(order[:2]))
        others = " ".join(name for name in ("ann_bob", "ann_eve", "bob_eve") if name != pair)
        assert told[:7] == lines(f"""
            node_started ann
            node_started bob
            node_started eve
            node_completed {first}
            node_completed {second}
            node_started {pair}
            node_completed {pair} (skips {others})
        """)
        assert sorted(told[7:]) == sorted(
            lines(f"""
            node_started award
            node_failed {third} cancelled
            node_completed award
            completed
        """)
        )
