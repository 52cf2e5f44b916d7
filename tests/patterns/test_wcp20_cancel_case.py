"""WCP-20 Cancel Case: a whole process instance is withdrawn, with all that it started, and ends
unsuccessfully.

In the graph: directly. Cancelling a run (``POST /v1/runs/{run_id}/cancel``) stops what runs, withdraws what
waits, cancels its children, and undoes what is done and can be undone; terminating it skips the undoing.
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, child_of, ended, lines


def survey() -> Workflow:
    flow = Workflow("survey", version="v1")
    flow.human_input("answer", prompt="How was it?", schema={})
    return flow


def mortgage(hands) -> Workflow:
    flow = Workflow("mortgage", version="v1")

    @flow.node
    async def reserve() -> str:
        return "reserved"

    @reserve.compensate
    async def release(reserve: str) -> None: ...

    @flow.node
    async def appraise(reserve: str) -> str:
        return await hands.work("appraise")

    @flow.subworkflow("survey")
    def ask(reserve: str) -> dict:
        return {}

    @flow.node
    async def decide(appraise: str, ask: dict) -> str:
        return "yes"

    return flow


async def test_everything_is_withdrawn_and_what_is_done_is_undone(world, hands):
    async with begun(world, mortgage(hands), survey()) as (w, run):
        child = await child_of(w, run, "ask")
        await w.until(child, "input_requested")
        await w.engine.service.cancel(run, by="the applicant")
        told = await ended(w, run)
        assert told[:5] == lines("""
            node_started reserve
            node_completed reserve
            node_started appraise
            node_started ask
            cancel_requested
        """)
        assert sorted(told[5:7]) == ["node_failed appraise cancelled", "node_failed ask cancelled"]
        assert told[7:] == lines("""
            node_started reserve compensation
            node_completed reserve compensation
            cancelled
        """)
        assert await ended(w, child) == lines("""
            input_requested answer
            cancel_requested
            input_resolved answer withdrawn
            cancelled
        """)


async def test_terminated_it_ends_at_once_and_nothing_is_undone(world, hands):
    async with begun(world, mortgage(hands), survey()) as (w, run):
        await w.until(run, "node_started", node="ask")
        await w.engine.service.terminate(run, by="the operator")
        told = await ended(w, run)
        assert told[-1] == "cancelled"
        assert not [line for line in told if "compensation" in line]


async def test_a_case_that_has_ended_cannot_be_cancelled(world, hands):
    async with begun(world, survey()) as (w, run):
        await w.engine.service.signal(run, "answer", None, {}, by="someone")
        before = await ended(w, run)
        assert not await w.engine.service.cancel(run, by="someone")
        assert await ended(w, run) == before
