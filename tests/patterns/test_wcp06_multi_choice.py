"""WCP-6 Multi-Choice (OR-split): any number of the branches is taken, chosen by data.

In the graph: directly. A router returns a list of its routes; ``[]`` takes none.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, lines, trace


def emergency() -> Workflow:
    flow = Workflow("emergency", version="v1")

    @flow.router(routes=["police", "fire", "ambulance"])
    def call(input: dict) -> list[str]:
        return input["who"]

    for name in ("police", "fire", "ambulance"):

        @flow.node(name=name)
        async def go() -> str:
            return "there"

    return flow


@pytest.mark.parametrize(
    ("who", "choice"),
    [
        (["police", "ambulance"], "→ police ambulance (skips fire)"),
        (["fire"], "→ fire (skips police ambulance)"),
        (["police", "fire", "ambulance"], "→ police fire ambulance"),
        ([], "→ nothing (skips police fire ambulance)"),
    ],
)
async def test_each_chosen_branch_runs_and_no_other(world, who, choice):
    async with begun(world, emergency(), value={"who": who}) as (w, run):
        result = (await w.end(run))["result"]
        assert result == dict.fromkeys(who, "there")
        told = await trace(w, run)
        assert told[:2] == lines(f"""
            node_started call
            node_completed call {choice}
        """)
        assert [line for line in told if "started" in line][1:] == [f"node_started {name}" for name in who]
