"""WCP-3 Synchronization (AND-join): parallel branches converge; what follows waits for all of them.

In the graph: directly. A node that names several nodes opens once all of them have settled.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def dispatch(hands) -> Workflow:
    flow = Workflow("dispatch", version="v1")

    @flow.node
    async def invoice() -> str:
        return await hands.work("invoice")

    @flow.node
    async def pack() -> str:
        return await hands.work("pack")

    @flow.node
    async def ship(invoice: str, pack: str) -> str:
        return f"{invoice} and {pack}"

    return flow


@pytest.mark.parametrize(("first", "second"), [("invoice", "pack"), ("pack", "invoice")])
async def test_the_join_opens_once_and_with_the_last(world, hands, first, second):
    async with begun(world, dispatch(hands)) as (w, run):
        await hands.finish(w, run, first)
        await hands.finish(w, run, second)
        assert await ended(w, run) == lines(f"""
            node_started invoice
            node_started pack
            node_completed {first}
            node_completed {second}
            node_started ship
            node_completed ship
            completed
        """)
        assert (await w.end(run))["result"] == "invoice and pack"
