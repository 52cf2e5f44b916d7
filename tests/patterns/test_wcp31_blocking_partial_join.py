"""WCP-31 Blocking Partial Join: of M branches the process goes on with the Nth; a branch that comes again
before all have come is held back, and counts for the next round.

In the graph: by construction, where the branches begin with signals, and for small N and M: the partial
join of WCP-30 in the loop of WCP-28.
"""

from __future__ import annotations

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines, send, trace


def approvals(*, rounds: int = 2) -> Workflow:
    flow = Workflow("approvals", version="v1")

    @flow.node
    async def ready() -> None: ...

    for name in ("ann", "bob", "eve"):
        flow.signal(name, schema={}, after=[ready])

    @flow.node(after=["ann", "bob"])
    async def ann_bob() -> None: ...

    @flow.node(after=["ann", "eve"])
    async def ann_eve() -> None: ...

    @flow.node(after=["bob", "eve"])
    async def bob_eve() -> None: ...

    @flow.node(join="any", after=[ann_bob, ann_eve, bob_eve])
    async def proceed() -> None: ...

    @flow.node(after=["ann", "bob", "eve"])
    async def reset() -> None: ...

    @flow.repeat(back_to=ready, max_iterations=rounds, after=[reset, proceed])
    def again(ctx: Context) -> bool:
        return (ctx.iteration or 1) < rounds

    return flow


async def test_a_branch_that_comes_twice_counts_once_in_a_round(world):
    async with begun(world, approvals()) as (w, run):
        await send(w, run, "ann", {})
        await send(w, run, "ann", {})  # does not make two: it waits for the next round
        assert "node_started proceed#1" not in await trace(w, run)
        await send(w, run, "eve", {})
        await w.until(run, "node_completed", node="proceed", iteration=1)
        before = len(await trace(w, run))
        await send(w, run, "bob", {})
        await w.until(run, "node_completed", node="ann", iteration=2)
        assert (await trace(w, run))[before : before + 10] == lines("""
            signal_received bob
            node_completed bob#1
            node_started reset#1
            node_completed reset#1
            node_started again#1
            node_completed again#1 again
            node_started ready#2
            node_completed ready#2
            node_started ann#2
            node_completed ann#2
        """)
        await send(w, run, "bob", {})
        await w.until(run, "node_completed", node="proceed", iteration=2)
        await send(w, run, "eve", {})
        told = await ended(w, run)
        assert [line for line in told if "started proceed" in line] == lines("""
            node_started proceed#1
            node_started proceed#2
        """)
