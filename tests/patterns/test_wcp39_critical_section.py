"""WCP-39 Critical Section: of some parts of a process at most one is under way at any time; the others wait.

In the graph: by construction. The sections are parts of one workflow, which the branches run as a
subworkflow and which limits its own concurrency to one run per case (the ``key`` names the run that the
sections belong to): who comes second is queued until the first has ended. Without the key the sections are
critical for all cases together.
"""

from __future__ import annotations

import pytest

from infraweave import Concurrency, Context, Workflow
from tests.patterns.stage import begun, child_of, ended, lines, trace


def section(hands) -> Workflow:
    """The critical sections of a bank's launches, one of them of two tasks."""
    flow = Workflow("section", version="v1", concurrency=Concurrency(1, key="{input.case}"))

    @flow.router(routes=["deposit", "loan"])
    def which(input: dict) -> str:
        return input["part"]

    @flow.node
    async def deposit() -> str:
        return await hands.work("deposit")

    @flow.node
    async def loan() -> str:
        return await hands.work("loan")

    @flow.node
    async def sign(loan: str) -> str:
        return await hands.work("sign")

    return flow


def bank(hands) -> Workflow:
    flow = Workflow("bank", version="v1")

    @flow.node
    async def prepare_deposit() -> str:
        return await hands.work("prepare_deposit")

    @flow.node
    async def prepare_loan() -> str:
        return await hands.work("prepare_loan")

    @flow.subworkflow("section", after=[prepare_deposit])
    def launch_deposit(ctx: Context) -> dict:
        return {"case": ctx.run_id, "part": "deposit"}

    @flow.subworkflow("section", after=[prepare_loan])
    def launch_loan(ctx: Context) -> dict:
        return {"case": ctx.run_id, "part": "loan"}

    @flow.node(after=[launch_deposit])
    async def announce_deposit() -> str:
        return "announced"

    return flow


async def test_the_second_section_waits_for_the_whole_of_the_first(world, hands):
    async with begun(world, bank(hands), section(hands)) as (w, run):
        await hands.finish(w, run, "prepare_loan")
        loan = await child_of(w, run, "launch_loan")
        await w.until(loan, "node_started", node="loan")
        await hands.finish(w, run, "prepare_deposit")
        deposit = await child_of(w, run, "launch_deposit")
        await hands.finish(w, loan, "loan")
        assert await trace(w, deposit) == []  # queued
        await hands.finish(w, loan, "sign")
        await hands.finish(w, deposit, "deposit")
        assert await ended(w, run) == lines("""
            node_started prepare_deposit
            node_started prepare_loan
            node_completed prepare_loan
            node_started launch_loan
            node_completed prepare_deposit
            node_started launch_deposit
            node_completed launch_loan
            node_completed launch_deposit
            node_started announce_deposit
            node_completed announce_deposit
            completed
        """)


@pytest.mark.parametrize(("first", "second"), [("deposit", "loan"), ("loan", "deposit")])
async def test_whichever_comes_first_goes_first(world, hands, first, second):
    async with begun(world, bank(hands), section(hands)) as (w, run):
        await hands.finish(w, run, f"prepare_{first}")
        one = await child_of(w, run, f"launch_{first}")
        await w.until(one, "node_started", node=first)
        await hands.finish(w, run, f"prepare_{second}")
        two = await child_of(w, run, f"launch_{second}")
        assert await states(w, one, two) == ["running", "queued"]
        for name in ("deposit", "loan", "sign"):
            hands.let(name)
        assert (await ended(w, run))[-1] == "completed"
        assert await states(w, one, two) == ["succeeded", "succeeded"]


async def states(w, *runs) -> list[str]:
    return [(await w.engine.runs.get(run.run_id)).state for run in runs]


async def test_two_cases_do_not_wait_for_each_other(world, hands):
    async with begun(world, bank(hands), section(hands)) as (w, run):
        other = await w.start("bank")
        await hands.finish(w, run, "prepare_loan")
        await w.until(other, "node_completed", node="prepare_loan")
        for case in (run, other):
            child = await child_of(w, case, "launch_loan")
            await w.until(child, "node_started", node="loan")
        for name in ("prepare_deposit", "deposit", "loan", "sign"):
            hands.let(name)
        for case in (run, other):
            assert (await ended(w, case))[-1] == "completed"
