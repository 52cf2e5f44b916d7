"""WCP-1 Sequence: a task begins once the one before it has ended.

In the graph: directly. A parameter named after a node is the edge; ``after=`` is one without data.
"""

from __future__ import annotations

from infraweave import NonRetryable, Workflow
from tests.patterns.stage import begun, ended, lines


def claim(*, valid: bool = True) -> Workflow:
    flow = Workflow("claim", version="v1")

    @flow.node
    async def verify(input: dict) -> str:
        if not valid:
            raise NonRetryable("no such policy")
        return "verified"

    @flow.node
    async def pay(verify: str) -> str:
        return f"{verify}, paid"

    @flow.node(after=[pay])
    async def file() -> str:
        return "filed"

    return flow


async def test_each_task_follows_the_one_before(world):
    async with begun(world, claim()) as (w, run):
        assert await ended(w, run) == lines("""
            node_started verify
            node_completed verify
            node_started pay
            node_completed pay
            node_started file
            node_completed file
            completed
        """)


async def test_nothing_follows_a_task_that_failed(world):
    async with begun(world, claim(valid=False)) as (w, run):
        assert await ended(w, run) == lines("""
            node_started verify
            node_failed verify non_retryable
            failed
        """)
