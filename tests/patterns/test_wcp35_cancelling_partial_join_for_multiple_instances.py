"""WCP-35 Cancelling Partial Join for Multiple Instances: of M instances of a task the process goes on with
the Nth that ends; the others are stopped.

In the graph: by construction. As in WCP-34 the instances report with signals and a loop counts them; here a
node with ``join="any"`` stands behind the map and the loop, so the end of the counting stops the map.
"""

from __future__ import annotations

import pytest

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines


def search(hands, post) -> Workflow:
    flow = Workflow("search", version="v1")

    @flow.node
    async def rooms(input: dict) -> list[int]:
        return list(range(input["of"]))

    @flow.map(over=rooms)
    async def look(n: int, ctx: Context) -> str:
        name = await hands.work(f"look[{n}]")
        await post.send(ctx.run_id, "found", name, ctx.idempotency_key)
        return name

    flow.signal("found", schema={"type": "string"})

    @flow.node
    async def count(found: str, count: list | None = None) -> list[str]:
        return [*(count or []), found]

    @flow.repeat(back_to="found", max_iterations=1_000)
    def again(count: list[str], input: dict) -> bool:
        return len(count) < input["enough"]

    @flow.node(join="any")
    async def decide(count: list | None = None, look: list | None = None) -> list[str]:
        return count or look or []

    return flow


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
async def test_the_process_goes_on_with_the_second_and_the_third_is_stopped(world, hands, post, order):
    first, second, third = order
    async with begun(world, search(hands, post), value={"of": 3, "enough": 2}) as (w, run):
        post.world = w
        await hands.finish(w, run, "look", first)
        hands.let(f"look[{second}]")
        told = await ended(w, run)
        closed = [line for line in told if "look" in line and "started" not in line]
        assert closed[0] == f"node_completed look[{first}]"
        # The second has reported before it returns, so the race may stop its very end.
        assert f"node_failed look[{third}] cancelled" in closed
        assert "node_failed look cancelled" in closed
        assert told.count("node_started decide") == 1
        assert (await w.end(run))["result"] == [f"look[{first}]", f"look[{second}]"]


async def test_where_all_are_needed_none_is_stopped_early(world, hands, post):
    async with begun(world, search(hands, post), value={"of": 2, "enough": 2}) as (w, run):
        post.world = w
        hands.let("look[1]")
        hands.let("look[0]")
        told = await ended(w, run)
        assert told[-1] == "completed"
        assert sorted((await w.end(run))["result"]) == lines("""
            look[0]
            look[1]
        """)
