"""WCP-23 Transient Trigger: a task is triggered from outside, and a trigger that nobody is waiting for is
lost.

In the graph: by construction. A signal that a run accepts is kept until its node waits (WCP-24), so the
wait is put into a run of its own: a subworkflow that opens when the task is ready for the trigger and ends
when it has come. Triggers are for that run alone. Before it exists there is nothing to signal, after it the
signal is refused; either way nothing is kept, and the sender is told.
"""

from __future__ import annotations

import pytest

from infraweave import Workflow
from infraweave.errors import RunFinished, SignalNotFound
from tests.patterns.stage import begun, child_of, ended, lines, send


def trigger() -> Workflow:
    flow = Workflow("trigger", version="v1")
    flow.signal("overflow", schema={})
    return flow


def dam(hands) -> Workflow:
    flow = Workflow("dam", version="v1")

    @flow.node
    async def arm() -> str:
        return await hands.work("arm")

    @flow.subworkflow("trigger")
    def listen(arm: str) -> dict:
        return {}

    @flow.node
    async def open_gate(listen: dict) -> str:
        return await hands.work("open_gate")

    return flow


async def test_a_trigger_begins_the_task_that_waits_for_it(world, hands):
    async with begun(world, dam(hands), trigger()) as (w, run):
        await hands.finish(w, run, "arm")
        ear = await child_of(w, run, "listen")
        await send(w, ear, "overflow", {})
        await hands.finish(w, run, "open_gate")
        assert await ended(w, run) == lines("""
            node_started arm
            node_completed arm
            node_started listen
            node_completed listen
            node_started open_gate
            node_completed open_gate
            completed
        """)


async def test_a_trigger_that_comes_too_early_is_lost(world, hands):
    async with begun(world, dam(hands), trigger()) as (w, run):
        await w.until(run, "node_started", node="arm")
        assert len(await w.engine.runs.list("default")) == 1  # nobody listens yet
        with pytest.raises(SignalNotFound):
            await send(w, run, "overflow", {})
        await hands.finish(w, run, "arm")
        ear = await child_of(w, run, "listen")
        assert not await w.engine.service.wait_end(ear.run_key, timeout=0)  # still waits: nothing was kept
        await send(w, ear, "overflow", {})
        await hands.finish(w, run, "open_gate")
        assert (await w.end(run))["type"] == "completed"


async def test_a_trigger_that_comes_too_late_is_lost(world, hands):
    async with begun(world, dam(hands), trigger()) as (w, run):
        await hands.finish(w, run, "arm")
        ear = await child_of(w, run, "listen")
        await send(w, ear, "overflow", {})
        await w.until(run, "node_started", node="open_gate")
        with pytest.raises(RunFinished):
            await send(w, ear, "overflow", {})
        await hands.finish(w, run, "open_gate")
        assert (await ended(w, run))[-1] == "completed"
