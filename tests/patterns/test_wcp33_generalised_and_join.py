"""WCP-33 Generalised AND-Join: a join of branches that may each be triggered several times; a trigger that
comes too soon is kept, and the join fires whenever there is one of each.

In the graph: by construction, where the branches begin with signals. A loop holds the join; each signal is
kept until an iteration waits for it. How many rounds there are has a bound.
"""

from __future__ import annotations

from infraweave import Context, Workflow
from tests.patterns.stage import begun, ended, lines, send, trace


def assembly(*, rounds: int = 2) -> Workflow:
    flow = Workflow("assembly", version="v1")

    @flow.node
    async def ready() -> None: ...

    flow.signal("frame", schema={"type": "integer"}, after=[ready])
    flow.signal("engine", schema={"type": "integer"}, after=[ready])

    @flow.node
    async def assemble(frame: int, engine: int) -> list[int]:
        return [frame, engine]

    @flow.repeat(back_to=ready, max_iterations=rounds)
    def again(assemble: list[int], ctx: Context) -> bool:
        return (ctx.iteration or 1) < rounds

    return flow


async def test_what_comes_too_soon_is_kept_for_a_later_round(world):
    async with begun(world, assembly()) as (w, run):
        await w.until(run, "node_started", node="engine")
        await send(w, run, "frame", 1)
        await send(w, run, "frame", 2)  # kept: there is no engine yet for the first
        assert "node_started assemble#1" not in await trace(w, run)
        await send(w, run, "engine", 1)
        await w.until(run, "node_completed", node="frame", iteration=2)
        assert "node_started assemble#2" not in await trace(w, run)
        await send(w, run, "engine", 2)
        assert await ended(w, run) == lines("""
            node_started ready#1
            node_completed ready#1
            node_started frame#1
            node_started engine#1
            signal_received frame
            node_completed frame#1
            signal_received frame
            signal_received engine
            node_completed engine#1
            node_started assemble#1
            node_completed assemble#1
            node_started again#1
            node_completed again#1 again
            node_started ready#2
            node_completed ready#2
            node_started frame#2
            node_completed frame#2
            node_started engine#2
            signal_received engine
            node_completed engine#2
            node_started assemble#2
            node_completed assemble#2
            node_started again#2
            node_completed again#2
            completed
        """)
        assert (await w.end(run))["result"] == [2, 2]
