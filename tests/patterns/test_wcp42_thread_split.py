"""WCP-42 Thread Split: a given number of threads is started along one branch.

In the graph: by construction. The branch is a workflow of its own and a map starts it that many times; the
threads go through it each at its own pace. They end in the map, which is also where they may be merged
(WCP-41).
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, child_of, ended, lines, trace


def lane(hands) -> Workflow:
    flow = Workflow("lane", version="v1")

    @flow.node
    async def scan(input: dict) -> str:
        await hands.work(f"scan {input['n']}")
        return "scanned"

    @flow.node
    async def pack(scan: str, input: dict) -> str:
        await hands.work(f"pack {input['n']}")
        return f"packed {input['n']}"

    return flow


def shop() -> Workflow:
    flow = Workflow("shop", version="v1")

    @flow.node
    async def open_lanes() -> list[int]:
        return [0, 1]

    @flow.map(over=open_lanes, subworkflow="lane")
    def lanes(n: int) -> dict:
        return {"n": n}

    return flow


async def test_each_thread_goes_through_the_branch_at_its_own_pace(world, hands):
    async with begun(world, shop(), lane(hands)) as (w, run):
        first, second = [await child_of(w, run, "lanes", index=n) for n in range(2)]
        hands.let("scan 1")
        await w.until(second, "node_started", node="pack")
        assert await trace(w, first) == ["node_started scan"]
        for piece in ("scan 0", "pack 0", "pack 1"):
            hands.let(piece)
        for thread in (first, second):
            assert await ended(w, thread) == lines("""
                node_started scan
                node_completed scan
                node_started pack
                node_completed pack
                completed
            """)
        assert (await w.end(run))["result"] == ["packed 0", "packed 1"]
        assert sorted(await trace(w, run)) == sorted(
            lines("""
            node_started open_lanes
            node_completed open_lanes
            node_started lanes
            node_started lanes[0]
            node_started lanes[1]
            node_completed lanes[0]
            node_completed lanes[1]
            node_completed lanes
            completed
        """)
        )
