"""WCP-12 Multiple Instances without Synchronization: many instances of a task run at once, and nothing
waits for them.

In the graph: directly. A map of which no node takes the output; what follows comes after the node that made
the list. The run itself ends after the last instance (WCP-11); ``max_failures=`` keeps an instance from
failing it.
"""

from __future__ import annotations

from infraweave import NonRetryable, Workflow
from tests.patterns.stage import begun, ended, lines


def fines(hands, *, tolerated: int = 0) -> Workflow:
    flow = Workflow("fines", version="v1")

    @flow.node
    async def offences() -> list[str]:
        return ["speed", "belt"]

    @flow.map(over=offences, max_failures=tolerated)
    async def issue(offence: str) -> str:
        if tolerated and offence == "belt":
            raise NonRetryable("no address")
        return await hands.work(f"issue[{['speed', 'belt'].index(offence)}]")

    @flow.node
    async def file(offences: list[str]) -> str:
        return f"{len(offences)} offences filed"

    return flow


async def test_what_follows_does_not_wait_for_the_instances(world, hands):
    async with begun(world, fines(hands)) as (w, run):
        await w.until(run, "node_completed", node="file")
        await hands.finish(w, run, "issue", 1)
        await hands.finish(w, run, "issue", 0)
        assert await ended(w, run) == lines("""
            node_started offences
            node_completed offences
            node_started issue
            node_started file
            node_started issue[0]
            node_started issue[1]
            node_completed file
            node_completed issue[1]
            node_completed issue[0]
            node_completed issue
            completed
        """)


async def test_an_instance_may_fail_alone(world, hands):
    async with begun(world, fines(hands, tolerated=2)) as (w, run):
        await w.until(run, "node_failed", node="issue", index=1)
        await hands.finish(w, run, "issue", 0)
        told = await ended(w, run)
        assert "node_failed issue[1] non_retryable" in told
        assert told[-1] == "completed"
