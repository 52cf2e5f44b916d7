"""WCP-4 Exclusive Choice (XOR-split): exactly one of several branches is taken, chosen by data.

In the graph: directly. A router returns one of its routes; the others are skipped in the same commit.
"""

from __future__ import annotations

from typing import Literal

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def election() -> Workflow:
    flow = Workflow("election", version="v1")

    @flow.router(routes=["declare", "recount"])
    def judge(input: dict) -> Literal["declare", "recount"]:
        return "recount" if input["margin"] < 10 else "declare"

    @flow.node
    async def declare() -> str:
        return "declared"

    @flow.node
    async def recount() -> str:
        return "recounted"

    return flow


@pytest.mark.parametrize(
    ("margin", "taken", "left"), [(3, "recount", "declare"), (300, "declare", "recount")]
)
async def test_one_branch_is_taken_and_the_other_skipped(world, margin, taken, left):
    async with begun(world, election(), value={"margin": margin}) as (w, run):
        assert await ended(w, run) == lines(f"""
            node_started judge
            node_completed judge → {taken} (skips {left})
            node_started {taken}
            node_completed {taken}
            completed
        """)
