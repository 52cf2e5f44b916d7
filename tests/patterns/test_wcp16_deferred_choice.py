"""WCP-16 Deferred Choice: the environment chooses between branches, by what happens first; the others are
withdrawn.

In the graph: directly. The events are signals, human inputs or timers; a router with ``join="any"`` opens
with the first of them, the other waits are closed in the same commit, and the router leads to that event's
branch.
"""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Workflow
from infraweave.errors import SignalConflict
from tests.patterns.stage import begun, ended, lines, send


def complaint() -> Workflow:
    flow = Workflow("complaint", version="v1")
    flow.signal("answer", schema={"type": "string"})
    flow.human_input("visit", prompt="Who goes there?", schema={"type": "string"})
    flow.sleep("deadline", "10d")

    @flow.router(routes=["settle", "inspect", "escalate"], join="any", after=["deadline"])
    def first(answer: str | None = None, visit: str | None = None) -> str:
        return "settle" if answer else "inspect" if visit else "escalate"

    for name in ("settle", "inspect", "escalate"):

        @flow.node(name=name)
        async def go() -> str:
            return "done"

    return flow


OPENED = """
    node_started answer
    input_requested visit
    node_started deadline
"""


async def test_the_signal_comes_first(world):
    async with begun(world, complaint()) as (w, run):
        await send(w, run, "answer", "sorry")
        assert await ended(w, run) == lines(OPENED) + lines("""
            signal_received answer
            node_completed answer
            input_resolved visit withdrawn
            node_failed deadline cancelled
            node_started first
            node_completed first → settle (skips inspect escalate)
            node_started settle
            node_completed settle
            completed
        """)


async def test_the_person_comes_first(world):
    async with begun(world, complaint()) as (w, run):
        asked = await w.until(run, "input_requested")
        await w.engine.service.signal(run, "visit", asked["request_id"], "bob", by="bob")
        assert await ended(w, run) == lines(OPENED) + lines("""
            signal_received visit
            input_resolved visit answered
            node_failed answer cancelled
            node_failed deadline cancelled
            node_started first
            node_completed first → inspect (skips settle escalate)
            node_started inspect
            node_completed inspect
            completed
        """)


async def test_time_comes_first(world):
    async with begun(world, complaint()) as (w, run):
        await w.until(run, "node_started", node="deadline")
        await w.clock.advance(10 * 86_400)
        assert await ended(w, run) == lines(OPENED) + lines("""
            node_completed deadline
            node_failed answer cancelled
            input_resolved visit withdrawn
            node_started first
            node_completed first → escalate (skips settle inspect)
            node_started escalate
            node_completed escalate
            completed
        """)


async def test_what_happens_later_changes_nothing(world):
    async with begun(world, complaint()) as (w, run):
        await w.until(run, "node_started", node="deadline")
        late = asyncio.gather(send(w, run, "answer", "sorry"), send(w, run, "visit", "bob"))
        with pytest.raises(SignalConflict, match="withdrawn"):
            await late
        told = await ended(w, run)
        assert "signal_received visit" not in told
        assert "node_completed first → settle (skips inspect escalate)" in told
        assert "node_started inspect" not in told
