"""WCP-21 Structured Loop: a task or subprocess with one entry and one exit is repeated, and a condition
tested before each round (while) or after it (repeat until) ends it.

In the graph: directly. ``repeat`` tests after each round. Tested before, the region begins with a router
that leads to the body or to nothing; a condition that needs what was skipped is skipped, which ends the
loop.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def repeat_until() -> Workflow:
    flow = Workflow("until", version="v1")

    @flow.node
    async def count(input: dict, count: int = 0) -> int:
        return count + 1

    @flow.repeat(back_to=count, max_iterations=10)
    def again(count: int, input: dict) -> bool:
        return count < input["times"]

    @flow.node
    async def report(count: int) -> int:
        return count

    return flow


def while_do() -> Workflow:
    flow = Workflow("while", version="v1")

    @flow.router(routes=["count"])
    def check(input: dict, count: int = 0) -> list[str]:
        return ["count"] if count < input["times"] else []

    @flow.node
    async def count(count: int = 0) -> int:
        return count + 1

    @flow.repeat(back_to=check, max_iterations=10)
    def again(count: int) -> bool:
        return True

    @flow.node(after=[check])
    async def report(input: dict) -> int:
        return input["times"]

    return flow


async def test_repeat_until(world):
    async with begun(world, repeat_until(), value={"times": 2}) as (w, run):
        assert await ended(w, run) == lines("""
            node_started count#1
            node_completed count#1
            node_started again#1
            node_completed again#1 again
            node_started count#2
            node_completed count#2
            node_started again#2
            node_completed again#2
            node_started report
            node_completed report
            completed
        """)
        assert (await w.end(run))["result"] == 2


async def test_repeat_until_runs_once_at_least(world):
    async with begun(world, repeat_until(), value={"times": 0}) as (w, run):
        assert (await w.end(run))["result"] == 1


async def test_while_do(world):
    async with begun(world, while_do(), value={"times": 1}) as (w, run):
        assert await ended(w, run) == lines("""
            node_started check#1
            node_completed check#1 → count
            node_started count#1
            node_completed count#1
            node_started again#1
            node_completed again#1 again
            node_started check#2
            node_completed check#2 → nothing (skips count again)
            node_started report
            node_completed report
            completed
        """)


@pytest.mark.parametrize("times", [0, 3])
async def test_while_do_may_run_not_at_all(world, times):
    async with begun(world, while_do(), value={"times": times}) as (w, run):
        told = await ended(w, run)
        assert len([line for line in told if line.startswith("node_started count")]) == times
        assert told[-1] == "completed"
