"""WCP-34 Static Partial Join for Multiple Instances: of M instances of a task the process goes on with the
Nth that ends; the others run to their end unheeded.

In the graph: by construction. A map joins only as a whole, so each instance reports to its own run with a
signal as the last thing that it does, and a loop beside the map counts them up to N. The signal carries the
instance's idempotency key, so a retried instance counts once. Once N have reported, nothing counts, and a
report is refused. N and M may be known at run time only.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

from infraweave import Context, Workflow
from infraweave.errors import SignalConflict
from tests.patterns.stage import begun, ended, lines


def panel(hands, post) -> Workflow:
    flow = Workflow("panel", version="v1")

    @flow.node
    async def members(input: dict) -> list[int]:
        return list(range(input["of"]))

    @flow.map(over=members)
    async def review(n: int, ctx: Context) -> str:
        name = await hands.work(f"review[{n}]")
        with suppress(SignalConflict):  # nobody counts any more
            await post.send(ctx.run_id, "reviewed", name, ctx.idempotency_key)
        return name

    flow.signal("reviewed", schema={"type": "string"})

    @flow.node
    async def count(reviewed: str, count: list | None = None) -> list[str]:
        return [*(count or []), reviewed]

    @flow.repeat(back_to="reviewed", max_iterations=1_000)
    def again(count: list[str], input: dict) -> bool:
        return len(count) < input["enough"]

    @flow.node
    async def decide(count: list[str]) -> list[str]:
        return count

    flow.output(decide)
    return flow


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
async def test_the_process_goes_on_with_the_second_of_three(world, hands, post, order):
    first, second, third = order
    async with begun(world, panel(hands, post), value={"of": 3, "enough": 2}) as (w, run):
        post.world = w
        for index in (first, second):
            await hands.finish(w, run, "review", index)
        await w.until(run, "node_completed", node="decide")
        assert (await w.engine.service.inspect(run)).state.nodes["review"].state == "running"
        await hands.finish(w, run, "review", third)
        told = await ended(w, run)
        decided = told.index("node_started decide")
        assert told[:decided].count("signal_received reviewed") == 2
        assert decided < told.index(f"node_completed review[{third}]")
        assert told[-3:] == lines(f"""
            node_completed review[{third}]
            node_completed review
            completed
        """)
        assert (await w.end(run))["result"] == [f"review[{first}]", f"review[{second}]"]


async def test_what_is_reported_after_that_changes_nothing(world, hands, post):
    async with begun(world, panel(hands, post), value={"of": 2, "enough": 1}) as (w, run):
        post.world = w
        await hands.finish(w, run, "review", 1)
        await w.until(run, "node_completed", node="decide")
        await hands.finish(w, run, "review", 0)
        told = await ended(w, run)
        assert told.count("signal_received reviewed") == 1
        assert told.count("node_started decide") == 1
        assert "node_started reviewed#2" not in told
