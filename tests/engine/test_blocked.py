"""Runs whose code is not loaded: they wait, say so, cost nothing, and go on when the code is back."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from infraweave import Context, Retry, Workflow

STEADY = Retry(max_attempts=5, initial=60, jitter=False)


def flaky(*, loaded: bool = True, deadline: str | None = None, nap: str | None = None) -> list[Workflow]:
    """A node that fails until its third attempt, beside waits that need no code."""
    flow = Workflow("flaky", version="v1")

    @flow.node(retry=STEADY)
    async def shaky(ctx: Context) -> int:
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    if deadline:
        flow.human_input("approval", prompt="?", schema={}, timeout=deadline)
    if nap:
        flow.sleep("nap", nap)
    return [flow] if loaded else []


def count_loads(w) -> Counter:
    """How often each run is loaded from the table."""
    loads: Counter = Counter()
    load = w.engine.registry._load

    async def counted(run_key, *how):
        loads[run_key] += 1
        return await load(run_key, *how)

    w.engine.registry._load = counted
    return loads


async def taken_up(w, loads: Counter) -> None:
    """Wait until a run has been looked at, and then until nothing more comes of it."""
    async with asyncio.timeout(20):
        while not loads:
            await w.engine.runs.counts()
    await settle(w)


async def settle(w) -> None:
    """Let what goes round and round without end show itself, and what comes to rest leave memory."""
    for _ in range(40):
        await w.engine.runs.counts()
    async with asyncio.timeout(5):
        while any(not live.performer.attempts for live in w.engine.registry.live.values()):
            await w.engine.runs.counts()


async def test_a_retry_that_is_due_without_its_code_is_not_looked_at_again_and_again(world):
    async with world(*flaky()) as w:
        run = await w.start("flaky")
        await w.until(run, "status_changed", state="retrying")
    async with world(*flaky(loaded=False)) as w:
        loads = count_loads(w)
        await w.clock.advance(60)
        await taken_up(w, loads)
        assert (await w.engine.service.inspect(run)).blocked == ["shaky"]
        assert loads == {run.run_key: 1}
        await settle(w)  # to look at it was to take it up
        assert w.engine.registry.live == {}
    async with world(*flaky()) as w:
        await w.until(run, "node_failed", attempt=2)
        await w.clock.advance(120)
        assert (await w.end(run))["result"] == 3


async def test_a_blocked_run_still_hears_its_deadlines(world):
    async with world(*flaky(deadline="1h")) as w:
        run = await w.start("flaky")
        await w.until(run, "status_changed", state="retrying")
    async with world(*flaky(loaded=False)) as w:
        loads = count_loads(w)
        await w.clock.advance(60)
        await settle(w)
        assert w.engine.registry.live == {}
        await w.clock.advance(3600)
        assert (await w.end(run))["error"]["code"] == "input_timed_out"
        assert loads[run.run_key] <= 3


async def test_a_run_that_is_blocked_at_the_start_of_the_process_hears_its_timers(world):
    async with world(*flaky(nap="1h")) as w:
        run = await w.start("flaky")
        await w.until(run, "status_changed", state="retrying")
    for _ in range(2):
        async with world(*flaky(loaded=False)) as w:
            await w.clock.advance(60)
            await settle(w)
    async with world(*flaky(loaded=False)) as w:
        await w.clock.advance(3600)
        await w.until(run, "node_completed", node="nap")
        assert (await w.engine.service.inspect(run)).blocked == ["shaky"]


async def test_a_held_retry_beside_a_body_in_flight_does_not_keep_the_loop_busy(world):
    """While the server drains, a retry comes due and another node of the run is still at work."""
    flow, gate = Workflow("both", version="v1"), asyncio.Event()

    @flow.node(retry=Retry(initial=2, jitter=False))
    async def shaky(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ValueError("not yet")

    @flow.node
    async def slow() -> None:
        await gate.wait()

    async with world(flow, grace=60.0) as w:
        run = await w.start(flow)
        await w.until(run, "status_changed", state="retrying")
        looks = []
        live = w.engine.registry.live[run.run_key]
        apply = live.apply
        live.apply = lambda fact: looks.append(fact) or apply(fact)
        closing = asyncio.create_task(w.engine.drain())
        await w.clock.advance(3)
        await settle(w)
        assert len(looks) <= 2
        gate.set()
        await closing
    async with world(flow) as w:
        assert (await w.end(run))["type"] == "completed"


def undoable(*, undo: bool = True) -> Workflow:
    flow = Workflow("undo", version="v1")

    @flow.node
    async def first() -> int:
        return 1

    if undo:

        @first.compensate
        async def unmake(first: int) -> None:
            pass

    @flow.human_input(schema={})
    def approval(first: int) -> str:
        return "?"

    @flow.node
    async def last(approval: int) -> None:
        pass

    return flow


async def test_a_stopping_run_says_which_compensation_has_no_code(world):
    async with world(undoable()) as w:
        run = await w.start("undo")
        await w.until(run, "input_requested")
    async with world() as w:
        await w.engine.service.cancel(run, by="eve")
        assert (await w.engine.service.inspect(run)).blocked == ["first"]
        await settle(w)
        assert w.engine.registry.live == {}
    async with world(undoable()) as w:
        assert (await w.end(run))["compensated"] == ["first"]


async def test_what_a_stopping_run_will_not_open_does_not_block_it(world):
    flow = Workflow("halt", version="v1")
    flow.human_input("approval", prompt="?", schema={})

    @flow.node
    async def first(ctx: Context) -> None:
        await asyncio.Event().wait()

    @flow.node
    async def second(approval: int) -> None:
        pass

    @flow.node
    async def third() -> int:
        return 1

    @third.compensate(retry=Retry(initial=60, jitter=False))
    async def unmake() -> None:
        raise ValueError("not yet")

    async with world(flow) as w:
        run = await w.start("halt")
        await w.until(run, "node_completed", node="third")
        await w.engine.service.cancel(run, by="eve")
        await w.until(run, "node_failed", node="third")
    async with world() as w:
        assert (await w.engine.service.inspect(run)).blocked == ["third"]


async def test_with_one_attempt_it_is_taken_up_when_the_code_is_back(world):
    def flow(*, second: bool = True) -> Workflow:
        made = Workflow("one", version="v1")

        @made.human_input(schema={})
        def approval() -> str:
            return "?"

        if second:

            @made.node(retry=None)
            async def act(approval: int) -> int:
                return approval + 1

        return made

    async with world(flow()) as w:
        run = await w.start("one")
        await w.until(run, "input_requested")
    for _ in range(3):
        async with world() as w:
            await w.engine.service.signal(run, "approval", "s1", 1, by="eve")
            assert (await w.engine.service.inspect(run)).blocked == ["act"]
    async with world(flow()) as w:
        assert (await w.end(run))["result"] == 2


# --- which code -------------------------------------------------------------------------------------------


def versions(version: str, answer: str, *params: str) -> Workflow:
    flow = Workflow("steps", version=version)
    flow.human_input("approval", prompt="?", schema={})
    flow.human_input("other", prompt="?", schema={})

    if params == ("approval",):

        @flow.node
        async def act(approval: int) -> str:
            return answer
    else:

        @flow.node(name="act")
        async def needs_both(approval: int, other: int) -> str:
            return answer

    return flow


@pytest.mark.parametrize(
    ("loaded", "result"),
    [
        ([("v1", "exact", "approval"), ("v2", "newer", "approval")], "exact"),
        ([("v2", "newer", "approval"), ("v3", "newest", "approval")], "newest"),
        ([("v2", "fits", "approval"), ("v3", "does not", "approval", "other")], "fits"),
        ([("v3", "does not", "approval", "other")], None),
    ],
)
async def test_a_run_gets_its_versions_code_else_the_newest_that_fits(world, loaded, result):
    async with world(versions("v1", "old", "approval")) as w:
        run = await w.start("steps")
        await w.until(run, "input_requested", node="other")
    async with world(*(versions(*each) for each in loaded)) as w:
        await w.engine.service.signal(run, "other", None, 1, by="eve")
        await w.engine.service.signal(run, "approval", None, 1, by="eve")
        if result is None:
            assert (await w.engine.service.inspect(run)).blocked == ["act"]
        else:
            assert (await w.end(run))["result"] in (result, {"act": result, "other": 1})
