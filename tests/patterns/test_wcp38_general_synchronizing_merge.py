"""WCP-38 General Synchronizing Merge: branches converge in any graph, loops included; the merge goes on
once each branch has come or can come no more.

In the graph: directly, for every graph that can be declared (whose loops have one entry and one end:
WCP-10). A node outside a loop that names one inside waits until the loop can bring nothing more; a branch
that lost a race, or whose deadline led elsewhere, is settled as skipped and no longer waited for.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def tender(hands) -> Workflow:
    flow = Workflow("tender", version="v1")
    flow.signal("draft", schema={"enum": ["again", "good", "drop"]})

    @flow.router(routes=["polish"])
    def judge(draft: str) -> list[str]:
        return [] if draft == "drop" else ["polish"]

    @flow.node
    async def polish(draft: str) -> str:
        return f"polished {draft}"

    @flow.repeat(back_to="draft", max_iterations=9, after=[polish])
    def again(draft: str) -> bool:
        return draft == "again"

    flow.signal("partner", schema={"type": "string"}, timeout="1h", on_timeout="alone")

    @flow.node
    async def alone() -> str:
        return "alone"

    @flow.node
    async def terms(partner: str) -> str:
        return await hands.work("terms")

    @flow.node(after=[again])
    async def submit(polish: str | None = None, terms: str | None = None, alone: str | None = None) -> list:
        return [polish, terms, alone]

    return flow


async def test_the_merge_waits_until_the_loop_can_bring_nothing_more(world, hands):
    async with begun(world, tender(hands)) as (w, run):
        await w.until(run, "node_started", node="partner")
        await w.clock.advance(3600)
        await w.until(run, "node_completed", node="alone")
        await send(w, run, "draft", "again")
        await w.until(run, "node_started", node="draft", iteration=2)
        await send(w, run, "draft", "good")
        assert await ended(w, run) == lines("""
            node_started draft#1
            node_started partner
            node_completed partner → alone (skips terms)
            node_started alone
            node_completed alone
            signal_received draft
            node_completed draft#1
            node_started judge#1
            node_completed judge#1 → polish
            node_started polish#1
            node_completed polish#1
            node_started again#1
            node_completed again#1 again
            node_started draft#2
            signal_received draft
            node_completed draft#2
            node_started judge#2
            node_completed judge#2 → polish
            node_started polish#2
            node_completed polish#2
            node_started again#2
            node_completed again#2
            node_started submit
            node_completed submit
            completed
        """)
        assert (await w.end(run))["result"] == ["polished good", None, "alone"]


@pytest.mark.parametrize("last", ["loop", "branch"])
async def test_the_merge_waits_for_whichever_comes_last(world, hands, last):
    async with begun(world, tender(hands)) as (w, run):
        await send(w, run, "partner", "bob")
        if last == "loop":
            await hands.finish(w, run, "terms")
        await send(w, run, "draft", "good")
        await w.until(run, "node_completed", node="again")
        if last == "branch":
            await hands.finish(w, run, "terms")
        told = await ended(w, run)
        assert told[-4:-2] == [
            f"node_completed {'again#1' if last == 'loop' else 'terms'}",
            "node_started submit",
        ]
        assert (await w.end(run))["result"] == ["polished good", "terms", None]


async def test_the_merge_does_not_wait_for_what_the_loop_left_out(world, hands):
    async with begun(world, tender(hands)) as (w, run):
        await send(w, run, "partner", "bob")
        await hands.finish(w, run, "terms")
        await send(w, run, "draft", "drop")
        assert (await w.end(run))["result"] == [None, "terms", None]
