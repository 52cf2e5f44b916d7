"""WCP-28 Blocking Discriminator: the first of several branches goes on; a branch that is triggered again
before all have come is held back until they have, and then counts for the next round.

In the graph: by construction, where the branches begin with signals. A loop holds the discriminator
(WCP-9); a signal that comes again is kept until the loop's next iteration waits for it. Branches that are
ordinary nodes run once per iteration, so they cannot come twice.
"""

from __future__ import annotations

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines, send, trace


def checks(*, rounds: int = 2) -> Workflow:
    flow = Workflow("checks", version="v1")

    @flow.node
    async def ready() -> None: ...

    flow.signal("engineer", schema={}, after=[ready])
    flow.signal("auditor", schema={}, after=[ready])

    @flow.node(join="any")
    async def proceed(engineer: dict | None = None, auditor: dict | None = None) -> str:
        return "engineer" if engineer is not None else "auditor"

    @flow.node(after=["engineer", "auditor"])
    async def reset() -> None: ...

    @flow.repeat(back_to=ready, max_iterations=rounds, after=[reset, proceed])
    def again(ctx: Context) -> bool:
        return (ctx.iteration or 1) < rounds

    return flow


async def test_a_branch_that_comes_twice_waits_for_the_next_round(world):
    async with begun(world, checks()) as (w, run):
        await send(w, run, "engineer", {})
        await w.until(run, "node_completed", node="proceed", iteration=1)
        await send(w, run, "engineer", {})  # again, before the auditor
        before = await trace(w, run)
        assert before[-1] == "signal_received engineer"
        await send(w, run, "auditor", {})
        await w.until(run, "node_completed", node="proceed", iteration=2)
        assert (await trace(w, run))[len(before) :] == lines("""
            signal_received auditor
            node_completed auditor#1
            node_started reset#1
            node_completed reset#1
            node_started again#1
            node_completed again#1 again
            node_started ready#2
            node_completed ready#2
            node_started engineer#2
            node_completed engineer#2
            node_started auditor#2
            node_started proceed#2
            node_completed proceed#2
        """)
        await send(w, run, "auditor", {})
        assert (await ended(w, run))[-1] == "completed"


async def test_each_round_goes_on_once(world):
    async with begun(world, checks()) as (w, run):
        for name in ("auditor", "auditor", "engineer", "engineer"):
            await send(w, run, name, {})
        told = await ended(w, run)
        assert [line for line in told if "started proceed" in line] == lines("""
            node_started proceed#1
            node_started proceed#2
        """)
