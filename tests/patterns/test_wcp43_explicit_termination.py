"""WCP-43 Explicit Termination: when one marked task is reached, the process ends, successfully, and
whatever else is still under way is stopped.

In the graph: by construction. The marked end is a node with ``join="any"`` behind the task that reaches it
and behind a node that waits for all the other branches; then everything leads to the end alone, and
reaching it stops the rest. (Cancelling the run would stop it too, but as ``cancelled`` and with what is
done undone.)
"""

from __future__ import annotations

from infraweave import Workflow
from tests.patterns.stage import begun, ended, lines


def party(hands) -> Workflow:
    flow = Workflow("party", version="v1")

    @flow.node
    async def music() -> str:
        return await hands.work("music")

    @flow.node
    async def dance(music: str) -> str:
        return await hands.work("dance")

    flow.sleep("cake", "2h")

    @flow.node
    async def neighbour() -> str:
        return await hands.work("neighbour")

    @flow.node(after=[dance, "cake"])
    async def all_else() -> None: ...

    @flow.node(join="any", after=[all_else])
    async def end(neighbour: str | None = None) -> str:
        return "stopped by the neighbour" if neighbour else "over"

    return flow


async def test_reaching_the_end_stops_the_rest_and_the_run_succeeds(world, hands):
    async with begun(world, party(hands)) as (w, run):
        await hands.finish(w, run, "music")
        await w.until(run, "node_started", node="dance")
        await hands.finish(w, run, "neighbour")
        told = await ended(w, run)
        assert told[:5] == lines("""
            node_started music
            node_started cake
            node_started neighbour
            node_completed music
            node_started dance
        """)
        assert sorted(told[5:]) == sorted(
            lines("""
            node_completed neighbour (skips all_else)
            node_failed cake cancelled
            node_started end
            node_failed dance cancelled
            node_completed end
            completed
        """)
        )
        assert (await w.engine.runs.get(run.run_id)).state == "succeeded"
        assert (await w.end(run))["result"] == "stopped by the neighbour"


async def test_what_has_not_begun_never_does(world, hands):
    async with begun(world, party(hands)) as (w, run):
        await hands.finish(w, run, "neighbour")
        told = await ended(w, run)
        assert "node_completed neighbour (skips dance all_else)" in told
        assert "node_started dance" not in told
