"""WCP-14 Multiple Instances with a priori Run-Time Knowledge: as many instances run at once as is known
when the first begins, and what follows waits for all of them.

In the graph: directly. A map over what an earlier node found, or over the run's input.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def diagnosis() -> Workflow:
    flow = Workflow("diagnosis", version="v1")

    @flow.node
    async def findings(input: dict) -> list[str]:
        return input["tests"]

    @flow.map(over=findings, max_concurrency=1)
    async def test(name: str) -> str:
        return f"{name}: fine"

    @flow.node
    async def conclude(test: list[str]) -> str:
        return "; ".join(test) or "nothing to test"

    return flow


@pytest.mark.parametrize("tests", [["blood", "x-ray", "ecg"], ["blood"], []])
async def test_one_instance_for_each_item_that_was_found(world, tests):
    async with begun(world, diagnosis(), value={"tests": tests}) as (w, run):
        instances = [f"node_{verb} test[{n}]" for n in range(len(tests)) for verb in ("started", "completed")]
        assert await ended(w, run) == [
            "node_started findings",
            "node_completed findings",
            "node_started test",
            *instances,
            "node_completed test",
            "node_started conclude",
            "node_completed conclude",
            "completed",
        ]


async def test_the_instances_run_at_once_where_they_may(world, hands):
    flow = Workflow("panel", version="v1", input={"type": "array"})

    @flow.map(over="input")
    async def ask(expert: int) -> str:
        return await hands.work(f"ask[{expert}]")

    @flow.node
    async def decide(ask: list[str]) -> int:
        return len(ask)

    async with begun(world, flow, value=[0, 1]) as (w, run):
        await hands.finish(w, run, "ask", 1)
        await hands.finish(w, run, "ask", 0)
        assert await ended(w, run) == lines("""
            node_started ask
            node_started ask[0]
            node_started ask[1]
            node_completed ask[1]
            node_completed ask[0]
            node_completed ask
            node_started decide
            node_completed decide
            completed
        """)
