"""WCP-17 Interleaved Parallel Routing: tasks with a partial order, each once, in any order that this leaves
open, decided as it goes; never two at the same time.

In the graph: by construction. A loop whose iteration takes one task: a signal names it, a router lets it
run if its predecessors have, and the loop carries the list of what is done. The loop waits for its whole
region, so tasks never overlap; a word that comes meanwhile is kept. One that names a task out of order goes
unheeded and must be given again.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send, trace

#: task → those that must come before
BEFORE: dict[str, list[str]] = {"order": [], "customise": ["order"], "insure": []}


def lorry(hands) -> Workflow:
    flow = Workflow("lorry", version="v1")
    flow.signal("turn", schema={"enum": list(BEFORE)})

    @flow.router(routes=list(BEFORE))
    def choose(turn: str, done: list | None = None) -> list[str]:
        so_far = done or []
        may = turn not in so_far and all(task in so_far for task in BEFORE[turn])
        return [turn] if may else []

    @flow.node
    async def order() -> str:
        return await hands.work("order")

    @flow.node
    async def customise() -> str:
        return await hands.work("customise")

    @flow.node
    async def insure() -> str:
        return await hands.work("insure")

    @flow.node(after=[choose])
    async def done(
        order: str | None = None,
        customise: str | None = None,
        insure: str | None = None,
        done: list | None = None,
    ) -> list[str]:
        return [*(done or []), *(task for task in (order, customise, insure) if task)]

    @flow.repeat(back_to="turn", max_iterations=20)
    def again(done: list[str]) -> bool:
        return len(done) < len(BEFORE)

    flow.output(done)
    return flow


ORDERS = [
    ["order", "customise", "insure"],
    ["order", "insure", "customise"],
    ["insure", "order", "customise"],
]


@pytest.mark.parametrize("tasks", ORDERS)
async def test_any_order_that_respects_the_partial_one(world, hands, tasks):
    async with begun(world, lorry(hands)) as (w, run):
        for task in tasks:
            await send(w, run, "turn", task)
        for task in tasks:
            await hands.finish(w, run, task)
        assert (await w.end(run))["result"] == tasks


async def test_two_tasks_never_run_at_the_same_time(world, hands):
    async with begun(world, lorry(hands)) as (w, run):
        await send(w, run, "turn", "insure")
        await w.until(run, "node_started", node="insure")
        await send(w, run, "turn", "order")  # kept until insure has ended
        await hands.finish(w, run, "insure")
        await w.until(run, "node_started", node="order")
        assert await trace(w, run) == lines("""
            node_started turn#1
            signal_received turn
            node_completed turn#1
            node_started choose#1
            node_completed choose#1 → insure (skips order customise)
            node_started insure#1
            signal_received turn
            node_completed insure#1
            node_started done#1
            node_completed done#1
            node_started again#1
            node_completed again#1 again
            node_started turn#2
            node_completed turn#2
            node_started choose#2
            node_completed choose#2 → order (skips customise insure)
            node_started order#2
        """)
        hands.let("order")


async def test_a_task_out_of_order_does_not_run(world, hands):
    async with begun(world, lorry(hands)) as (w, run):
        for task in ("customise", "order", "order", "customise", "insure"):
            await send(w, run, "turn", task)
        for task in ("order", "customise", "insure"):
            await hands.finish(w, run, task)
        told = await ended(w, run)
        chosen = [line.split("→ ")[1].split(" ")[0] for line in told if "choose" in line and "→" in line]
        assert chosen == ["nothing", "order", "nothing", "customise", "insure"]
