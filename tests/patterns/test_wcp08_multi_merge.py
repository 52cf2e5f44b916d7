"""WCP-8 Multi-Merge: branches converge, and each arrival runs what follows once more.

In the graph: by construction only. A node runs once (per iteration), so two threads cannot pass through one
node. What follows the merge is a workflow of its own, declared once; each branch ends in a subworkflow node
that runs it. Its runs overlap and know nothing of each other, as the pattern wants; in the parent's graph
the call stands once per branch.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, child_of, ended, lines


def audit() -> Workflow:
    flow = Workflow("audit", version="v1")
    flow.signal("stamp", schema={})

    @flow.node
    async def close(stamp: dict, input: dict) -> str:
        return f"closed {input['of']}"

    return flow


def build(hands) -> Workflow:
    flow = Workflow("build", version="v1")

    @flow.node
    async def foundations() -> str:
        return await hands.work("foundations")

    @flow.node
    async def permits() -> str:
        return await hands.work("permits")

    @flow.subworkflow("audit")
    def audit_foundations(foundations: str) -> dict:
        return {"of": foundations}

    @flow.subworkflow("audit")
    def audit_permits(permits: str) -> dict:
        return {"of": permits}

    return flow


async def test_what_follows_the_merge_runs_once_per_arrival(world, hands):
    async with begun(world, build(hands), audit()) as (w, run):
        await hands.finish(w, run, "permits")
        of_permits = await child_of(w, run, "audit_permits")
        await hands.finish(w, run, "foundations")  # the second thread arrives while the first is under way
        of_foundations = await child_of(w, run, "audit_foundations")
        for child in (of_permits, of_foundations):
            await w.until(child, "node_started", node="stamp")
            await w.engine.service.signal(child, "stamp", None, {}, by="the auditor")
            assert await ended(w, child) == lines("""
                node_started stamp
                signal_received stamp
                node_completed stamp
                node_started close
                node_completed close
                completed
            """)
        assert await ended(w, run) == lines("""
            node_started foundations
            node_started permits
            node_completed permits
            node_started audit_permits
            node_completed foundations
            node_started audit_foundations
            node_completed audit_permits
            node_completed audit_foundations
            completed
        """)
