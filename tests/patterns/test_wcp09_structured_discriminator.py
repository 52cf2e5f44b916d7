"""WCP-9 Structured Discriminator: the first of several parallel branches goes on; the others run to their
end unheeded, and once all are in, the construct is ready for another round.

In the graph: by construction. ``join="any"`` goes on with the first; it would stop what only leads to it,
so the branches lead to a second node as well (``all_in``), which is the reset. In a loop the next round
begins only when that has run.
"""

from __future__ import annotations

import pytest

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines


def arrest(hands, *, rounds: int = 1) -> Workflow:
    flow = Workflow("arrest", version="v1")

    @flow.node
    async def arrive(ctx: Context) -> int:
        return ctx.iteration or 1

    @flow.node
    async def breathing(arrive: int) -> str:
        return await hands.work("breathing")

    @flow.node
    async def pulse(arrive: int) -> str:
        return await hands.work("pulse")

    @flow.node(join="any")
    async def triage(breathing: str | None = None, pulse: str | None = None) -> str:
        return f"triage by {breathing or pulse}"

    @flow.node(after=[breathing, pulse])
    async def all_in() -> None: ...

    if rounds > 1:

        @flow.repeat(back_to=arrive, max_iterations=rounds, after=[triage, all_in])
        def again(ctx: Context) -> bool:
            return (ctx.iteration or 1) < rounds

    return flow


@pytest.mark.parametrize(("first", "second"), [("breathing", "pulse"), ("pulse", "breathing")])
async def test_the_first_goes_on_and_the_second_ends_unheeded(world, hands, first, second):
    async with begun(world, arrest(hands)) as (w, run):
        await hands.finish(w, run, first)
        await w.until(run, "node_completed", node="triage")
        await hands.finish(w, run, second)
        assert await ended(w, run) == lines(f"""
            node_started arrive
            node_completed arrive
            node_started breathing
            node_started pulse
            node_completed {first}
            node_started triage
            node_completed triage
            node_completed {second}
            node_started all_in
            node_completed all_in
            completed
        """)


async def test_it_is_ready_again_once_all_are_in(world, hands):
    async with begun(world, arrest(hands, rounds=2)) as (w, run):
        await hands.finish(w, run, "pulse")
        await w.until(run, "node_completed", node="triage")
        await hands.finish(w, run, "breathing")
        told = await ended(w, run)
        assert told.index("node_completed all_in#1") < told.index("node_started arrive#2")
        assert [line for line in told if "triage" in line] == lines("""
            node_started triage#1
            node_completed triage#1
            node_started triage#2
            node_completed triage#2
        """)
