"""WCP-41 Thread Merge: a given number of threads that come along one branch become one.

In the graph: by construction. Threads that the process started itself are the items of a map, whose end
merges them (WCP-42 is where they begin). Threads from outside are signals of one name; a loop takes as many
as are to be merged, and what follows runs once.
"""

from __future__ import annotations

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines, send, trace

NEEDED = 3


def registration() -> Workflow:
    flow = Workflow("registration", version="v1")
    flow.signal("arrived", schema={"type": "string"})

    @flow.node
    async def greet(arrived: str, greet: list | None = None) -> list[str]:
        return [*(greet or []), arrived]

    @flow.repeat(back_to="arrived", max_iterations=NEEDED)
    def again(greet: list[str]) -> bool:
        return len(greet) < NEEDED

    @flow.node
    async def depart(greet: list[str]) -> list[str]:
        return greet

    return flow


async def test_three_threads_become_one(world):
    async with begun(world, registration()) as (w, run):
        for iteration, who in enumerate(("ann", "bob"), 1):
            await w.until(run, "node_started", node="arrived", iteration=iteration)
            await send(w, run, "arrived", who)
        await w.until(run, "node_started", node="arrived", iteration=3)
        assert "node_started depart" not in await trace(w, run)
        await send(w, run, "arrived", "eve")
        told = await ended(w, run)
        assert [line for line in told if "greet" not in line and "again" not in line] == lines("""
            node_started arrived#1
            signal_received arrived
            node_completed arrived#1
            node_started arrived#2
            signal_received arrived
            node_completed arrived#2
            node_started arrived#3
            signal_received arrived
            node_completed arrived#3
            node_started depart
            node_completed depart
            completed
        """)
        assert (await w.end(run))["result"] == ["ann", "bob", "eve"]


async def test_threads_of_the_process_itself_are_merged_where_their_map_ends(world, hands):
    flow = Workflow("threads", version="v1", input={"type": "array"})

    @flow.map(over="input")
    async def check(n: int, ctx: Context) -> str:
        return await hands.work(f"check[{n}]")

    @flow.node
    async def register(check: list[str]) -> int:
        return len(check)

    async with begun(world, flow, value=[0, 1, 2]) as (w, run):
        for index in (2, 0, 1):
            await hands.finish(w, run, "check", index)
        assert (await ended(w, run))[-5:] == lines("""
            node_completed check[1]
            node_completed check
            node_started register
            node_completed register
            completed
        """)
