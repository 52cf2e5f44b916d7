"""WCP-40 Interleaved Routing: each task of a set is done once, in any order, never two at the same time;
then the process goes on.

In the graph: by construction. A loop in which a person picks the next of the tasks that are left; a router
lets that one run, and the loop waits for it before it asks again. (Where nobody needs to pick, the tasks
may be sections as in WCP-39.)
"""

from __future__ import annotations

from itertools import permutations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines

TASKS = ["oil", "lights", "tyres"]


def service(hands) -> Workflow:
    flow = Workflow("service", version="v1")

    @flow.human_input(schema={"enum": TASKS})
    def pick(left: list | None = None) -> dict:
        return {"prompt": "What is next?", "data": left or TASKS}

    @flow.router(routes=TASKS)
    def turn(pick: str, left: list | None = None) -> list[str]:
        return [pick] if pick in (left or TASKS) else []

    @flow.node
    async def oil() -> str:
        return await hands.work("oil")

    @flow.node
    async def lights() -> str:
        return await hands.work("lights")

    @flow.node
    async def tyres() -> str:
        return await hands.work("tyres")

    @flow.node(after=[turn, oil, lights, tyres])
    async def left(pick: str, left: list | None = None) -> list[str]:
        return [task for task in left or TASKS if task != pick]

    @flow.repeat(back_to=pick, max_iterations=20)
    def again(left: list[str]) -> bool:
        return bool(left)

    @flow.node(after=[again])
    async def hand_over() -> str:
        return "ready"

    return flow


@pytest.mark.parametrize("order", list(permutations(TASKS)))
async def test_any_order_one_at_a_time(world, hands, order):
    async with begun(world, service(hands)) as (w, run):
        for iteration, task in enumerate(order, 1):
            asked = await w.until(run, "input_requested", iteration=iteration)
            await w.engine.service.signal(run, "pick", asked["request_id"], task, by="bob")
            await hands.finish(w, run, task)
        told = await ended(w, run)
        assert [line for line in told if any(f" {task}#" in line for task in TASKS)] == lines(f"""
            node_started {order[0]}#1
            node_completed {order[0]}#1
            node_started {order[1]}#2
            node_completed {order[1]}#2
            node_started {order[2]}#3
            node_completed {order[2]}#3
        """)
        assert told[-3:] == lines("""
            node_started hand_over
            node_completed hand_over
            completed
        """)


async def test_what_is_done_is_not_done_again(world, hands):
    async with begun(world, service(hands)) as (w, run):
        for task in TASKS:
            hands.let(task)
        for iteration, task in enumerate(["oil", "oil", "tyres", "lights"], 1):
            asked = await w.until(run, "input_requested", iteration=iteration)
            await w.engine.service.signal(run, "pick", asked["request_id"], task, by="bob")
        told = await ended(w, run)
        assert "node_completed turn#2 → nothing (skips oil lights tyres)" in told
        assert len([line for line in told if line.startswith("node_started oil")]) == 1
