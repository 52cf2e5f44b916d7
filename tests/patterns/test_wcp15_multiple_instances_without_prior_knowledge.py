"""WCP-15 Multiple Instances without a priori Run-Time Knowledge: while instances run, more may be begun;
what follows waits for all that there were.

In the graph: by construction. A map's items are fixed when it opens, so the instances are a chain of runs:
the workflow does one instance's work and meanwhile waits to hear whether there is another, which is a
subworkflow of itself. Instances overlap, and the first of them holds all results once the last has ended.
Two limits: the word "another" goes to the newest run of the chain, and the chain is as long as subworkflows
may be deep.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, child_of, ended, lines, send, trace


def witnesses(hands) -> Workflow:
    flow = Workflow("witnesses", version="v1")

    @flow.node
    async def interview(input: dict) -> str:
        return await hands.work(f"interview {input['witness']}")

    flow.signal("another", schema={"type": "boolean"})

    @flow.router(routes=["next"])
    def more(another: bool) -> list[str]:
        return ["next"] if another else []

    @flow.subworkflow(flow, name="next")
    def next_one(input: dict) -> dict:
        return {"witness": input["witness"] + 1}

    @flow.node
    async def statements(interview: str, next: list | None = None) -> list[str]:
        return [interview, *(next or [])]

    return flow


async def test_instances_are_added_while_others_run_and_all_are_waited_for(world, hands):
    async with begun(world, witnesses(hands), value={"witness": 0}) as (w, first):
        await send(w, first, "another", True)
        second = await child_of(w, first, "next")
        await send(w, second, "another", True)  # a third, while the first and the second are at work
        third = await child_of(w, second, "next")
        await send(w, third, "another", False)
        for run, witness in ((third, 2), (first, 0), (second, 1)):
            hands.let(f"interview {witness}")
            await w.until(run, "node_completed", node="interview")
        assert await ended(w, first) == lines("""
            node_started interview
            node_started another
            signal_received another
            node_completed another
            node_started more
            node_completed more → next
            node_started next
            node_completed interview
            node_completed next
            node_started statements
            node_completed statements
            completed
        """)
        assert "node_completed more → nothing (skips next)" in await trace(w, third)
        assert (await w.end(first))["result"] == ["interview 0", "interview 1", "interview 2"]
