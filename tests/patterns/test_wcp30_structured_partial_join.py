"""WCP-30 Structured Partial Join: of M parallel branches the process goes on with the Nth; the rest run to
their end unheeded, and once all are in, the join is ready again.

In the graph: by construction, for small N and M. Each choice of N branches has a node that waits for them,
and a node with ``join="any"`` goes on with the first of those: M over N nodes. The branches also lead to
the reset, so none is stopped (as in WCP-9).
"""

from __future__ import annotations

from itertools import permutations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def reviews(hands) -> Workflow:
    flow = Workflow("reviews", version="v1")

    @flow.node
    async def ann() -> str:
        return await hands.work("ann")

    @flow.node
    async def bob() -> str:
        return await hands.work("bob")

    @flow.node
    async def eve() -> str:
        return await hands.work("eve")

    @flow.node
    async def ann_bob(ann: str, bob: str) -> list[str]:
        return [ann, bob]

    @flow.node
    async def ann_eve(ann: str, eve: str) -> list[str]:
        return [ann, eve]

    @flow.node
    async def bob_eve(bob: str, eve: str) -> list[str]:
        return [bob, eve]

    @flow.node(join="any")
    async def decide(
        ann_bob: list | None = None, ann_eve: list | None = None, bob_eve: list | None = None
    ) -> list[str]:
        return ann_bob or ann_eve or bob_eve or []

    @flow.node(after=[ann, bob, eve])
    async def all_in() -> None: ...

    flow.output(decide)
    return flow


@pytest.mark.parametrize("order", list(permutations(["ann", "bob", "eve"])))
async def test_the_second_goes_on_and_the_third_ends_unheeded(world, hands, order):
    first, second, third = order
    async with begun(world, reviews(hands)) as (w, run):
        await hands.finish(w, run, first)
        await hands.finish(w, run, second)
        await w.until(run, "node_completed", node="decide")
        await hands.finish(w, run, third)
        told = await ended(w, run)
        pair = "_".join(sorted(order[:2]))
        others = " ".join(name for name in ("ann_bob", "ann_eve", "bob_eve") if name != pair)
        assert told == lines(f"""
            node_started ann
            node_started bob
            node_started eve
            node_completed {first}
            node_completed {second}
            node_started {pair}
            node_completed {pair} (skips {others})
            node_started decide
            node_completed decide
            node_completed {third}
            node_started all_in
            node_completed all_in
            completed
        """)
        assert sorted((await w.end(run))["result"]) == sorted(order[:2])
