"""WCP-19 Cancel Task: one task is withdrawn before it begins, or stopped while it runs; the rest goes on.

In the graph: by construction. The task races with the signal that withdraws it (``join="any"``); the node
behind both goes on either way, and sees which it was. A body that runs is told to stop and may clean up.
"""

from __future__ import annotations

import asyncio

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines, send


def credit(hands, cleaned: list[str]) -> Workflow:
    flow = Workflow("credit", version="v1")
    flow.sleep("queue", "1h")

    @flow.node(after=["queue"])
    async def assess() -> str:
        try:
            return await hands.work("assess")
        except asyncio.CancelledError:
            cleaned.append("assess")
            raise

    flow.signal("withdraw", schema={})

    @flow.node(join="any")
    async def go_on(assess: str | None = None, withdraw: dict | None = None) -> str:
        return "assessed" if assess else "not assessed"

    return flow


async def test_it_is_stopped_while_it_runs(world, hands):
    cleaned: list[str] = []
    async with begun(world, credit(hands, cleaned)) as (w, run):
        await w.until(run, "node_started", node="queue")
        await w.clock.advance(3600)
        await w.at_work(run, node="assess")
        await send(w, run, "withdraw", {})
        told = await ended(w, run)
        assert told[:6] == lines("""
            node_started queue
            node_started withdraw
            node_completed queue
            node_started assess
            signal_received withdraw
            node_completed withdraw
        """)
        assert sorted(told[6:]) == sorted(
            lines("""
            node_failed assess cancelled
            node_started go_on
            node_completed go_on
            completed
        """)
        )
        assert (cleaned, (await w.end(run))["result"]) == (["assess"], "not assessed")


async def test_it_is_withdrawn_before_it_begins(world, hands):
    async with begun(world, credit(hands, [])) as (w, run):
        await send(w, run, "withdraw", {})
        assert await ended(w, run) == lines("""
            node_started queue
            node_started withdraw
            signal_received withdraw
            node_completed withdraw (skips assess)
            node_failed queue cancelled
            node_started go_on
            node_completed go_on
            completed
        """)


async def test_once_it_is_done_it_cannot_be_withdrawn(world, hands):
    async with begun(world, credit(hands, [])) as (w, run):
        await w.until(run, "node_started", node="queue")
        await w.clock.advance(3600)
        await hands.finish(w, run, "assess")
        assert (await ended(w, run))[-5:] == lines("""
            node_completed assess
            node_failed withdraw cancelled
            node_started go_on
            node_completed go_on
            completed
        """)
        assert (await w.end(run))["result"] == "assessed"
