"""WCP-39 Critical Section: of some parts of a process at most one is under way at any time; the others
wait.

In the graph: by construction. A loop is the turnstile: each branch, once it comes to its section, claims it
with a signal to its own run; an iteration takes the oldest claim and runs that section, and since a loop
waits for its whole region, the next claim is taken only when the section has ended. What stands before the
sections runs in parallel; what follows one is part of it, or comes after all of them.
"""

from __future__ import annotations

import pytest

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines, trace


def bank(hands, post) -> Workflow:
    flow = Workflow("bank", version="v1")

    @flow.node
    async def prepare_deposit(ctx: Context) -> None:
        await hands.work("prepare_deposit")
        await post.send(ctx.run_id, "claim", "deposit", ctx.idempotency_key)

    @flow.node
    async def prepare_loan(ctx: Context) -> None:
        await hands.work("prepare_loan")
        await post.send(ctx.run_id, "claim", "loan", ctx.idempotency_key)

    flow.signal("claim", schema={"enum": ["deposit", "loan"]})

    @flow.router(routes=["deposit", "loan"])
    def enter(claim: str) -> str:
        return claim

    @flow.node
    async def deposit() -> str:
        return await hands.work("deposit")

    @flow.node
    async def loan() -> str:
        return await hands.work("loan")

    @flow.node  # still within the section of the loan
    async def sign(loan: str) -> str:
        return await hands.work("sign")

    @flow.repeat(back_to="claim", max_iterations=2, on_exhausted="continue", after=[deposit, sign])
    def again() -> bool:
        return True

    @flow.node(after=[again, prepare_deposit, prepare_loan])
    async def close() -> str:
        return "closed"

    return flow


async def test_the_second_section_waits_for_the_whole_of_the_first(world, hands, post):
    async with begun(world, bank(hands, post)) as (w, run):
        post.world = w
        await hands.finish(w, run, "prepare_loan")
        await w.until(run, "node_started", node="loan")
        await hands.finish(w, run, "prepare_deposit")  # its claim is kept
        await hands.finish(w, run, "loan")
        await w.until(run, "node_started", node="sign")
        assert "node_started deposit#2" not in await trace(w, run)
        await hands.finish(w, run, "sign")
        await hands.finish(w, run, "deposit")
        told = await ended(w, run)
        assert [line for line in told if "#" in line and "claim" not in line] == lines("""
            node_started enter#1
            node_completed enter#1 → loan (skips deposit)
            node_started loan#1
            node_completed loan#1
            node_started sign#1
            node_completed sign#1
            node_started again#1
            node_completed again#1 again
            node_started enter#2
            node_completed enter#2 → deposit (skips loan sign)
            node_started deposit#2
            node_completed deposit#2
            node_started again#2
            node_completed again#2
        """)
        assert told[-1] == "completed"


@pytest.mark.parametrize("order", [["deposit", "loan"], ["loan", "deposit"]])
async def test_whichever_comes_first_goes_first(world, hands, post, order):
    async with begun(world, bank(hands, post)) as (w, run):
        post.world = w
        for section in order:
            await hands.finish(w, run, f"prepare_{section}")
        for name in ("deposit", "loan", "sign"):
            hands.let(name)
        told = await ended(w, run)
        entered = [line for line in told if line.startswith(("node_started deposit", "node_started loan"))]
        assert entered == [f"node_started {order[0]}#1", f"node_started {order[1]}#2"]
