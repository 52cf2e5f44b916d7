"""WCP-5 Simple Merge (XOR-join): alternative branches converge without synchronisation.

In the graph: directly. The merging node names all of the alternatives, each with a default; it opens with
the one that ran, since the others are settled as skipped.
"""

from __future__ import annotations

from typing import Literal

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def sale() -> Workflow:
    flow = Workflow("sale", version="v1")

    @flow.router(routes=["cash", "card"])
    def payment(input: dict) -> Literal["cash", "card"]:
        return input["by"]

    @flow.node
    async def cash() -> str:
        return "coins"

    @flow.node
    async def card() -> str:
        return "a slip"

    @flow.node
    async def receipt(cash: str | None = None, card: str | None = None) -> str:
        return f"for {cash or card}"

    return flow


@pytest.mark.parametrize(("by", "other", "result"), [("cash", "card", "coins"), ("card", "cash", "a slip")])
async def test_the_merge_follows_whichever_branch_ran(world, by, other, result):
    async with begun(world, sale(), value={"by": by}) as (w, run):
        assert await ended(w, run) == lines(f"""
            node_started payment
            node_completed payment → {by} (skips {other})
            node_started {by}
            node_completed {by}
            node_started receipt
            node_completed receipt
            completed
        """)
        assert (await w.end(run))["result"] == f"for {result}"
