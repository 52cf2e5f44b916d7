"""Whole runs through the engine: bodies, retries, timeouts, waits, cancellation, sagas."""

from __future__ import annotations

import asyncio
import threading

import pytest

from infraweave import Context, NonRetryable, Retry, Workflow
from infraweave.errors import PayloadInvalid, RunFinished, RunStopping, SignalConflict


async def test_branches_run_side_by_side_and_join(world):
    flow = Workflow("join", version="v1")
    both = asyncio.Barrier(2)

    @flow.node
    async def left() -> int:
        await both.wait()
        return 1

    @flow.node
    async def right() -> int:
        await both.wait()
        return 2

    @flow.node
    def total(left: int, right: int) -> int:
        return left + right

    async with world(flow) as w:
        assert (await w.end(await w.start(flow)))["result"] == 3


async def test_a_sync_body_does_not_block_the_loop(world):
    flow = Workflow("threads", version="v1")
    free = threading.Event()

    @flow.node
    def blocks() -> str:
        assert free.wait(10)
        return threading.current_thread().name

    @flow.node
    async def frees() -> None:
        free.set()

    flow.output(blocks)
    async with world(flow) as w:
        assert "infraweave-node" in (await w.end(await w.start(flow)))["result"]


async def test_a_failure_is_retried_with_backoff_and_the_run_says_so(world):
    flow = Workflow("flaky", version="v1")
    keys = []

    @flow.node(retry=Retry(max_attempts=3, initial=10, jitter=False))
    async def shaky(ctx: Context) -> int:
        keys.append((ctx.attempt, ctx.idempotency_key))
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return ctx.attempt

    async with world(flow) as w:
        run = await w.start(flow)
        first = await w.until(run, "node_failed")
        assert first["message"] == "ValueError: not yet — retrying in 10s (attempt 2 of 3)"
        await w.until(run, "status_changed", state="retrying")
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert w.engine.registry.live == {}
        await w.clock.advance(10)
        await w.until(run, "node_failed", attempt=2)
        await w.clock.advance(20)
        assert (await w.end(run))["result"] == 3
        assert await w.told(run) == [
            "status_changed running",
            "node_started shaky",
            "node_failed shaky error",
            "status_changed retrying",
            "status_changed running",
            "node_started shaky",
            "node_failed shaky error",
            "status_changed retrying",
            "status_changed running",
            "node_started shaky",
            "node_completed shaky",
            "status_changed succeeded",
            "completed",
        ]
    assert [attempt for attempt, _ in keys] == [1, 2, 3]
    assert len({key for _, key in keys}) == 1


async def test_a_final_failure_ends_the_run_with_its_error(world):
    flow = Workflow("final", version="v1")

    @flow.node
    def refuses() -> None:
        raise NonRetryable("no such customer")

    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert end["error"] == {
        "code": "non_retryable",
        "message": "no such customer",
        "node": "refuses",
        "iteration": None,
        "index": None,
        "attempt": 1,
    }


@pytest.mark.parametrize("value", [float("nan"), 2**70, object(), {"a": {1, object()}}, [{(1, 2): 3}]])
async def test_what_json_cannot_carry_is_a_final_failure(world, value):
    flow = Workflow("output", version="v1")

    @flow.node
    def returns():
        return value

    async with world(flow) as w:
        end = await w.end(await w.start(flow))
    assert end["error"]["code"] == "output_invalid"


async def test_a_timeout_counts_per_attempt_and_is_retried(world):
    flow = Workflow("slow", version="v1")
    cleaned = []

    @flow.node(timeout="30s", retry=Retry(max_attempts=2, initial=1, jitter=False))
    async def slow(ctx: Context) -> str:
        try:
            if ctx.attempt == 1:
                await asyncio.Event().wait()
        finally:
            cleaned.append(ctx.attempt)
        return "done"

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(30)
        failed = await w.until(run, "node_failed")
        assert (failed["code"], failed["latency_ms"]) == ("timeout", 30_000)
        await w.clock.advance(1)
        assert (await w.end(run))["result"] == "done"
    assert cleaned == [1, 2]


async def test_the_retry_of_a_timed_out_sync_body_waits_for_its_thread(world):
    flow = Workflow("stuck", version="v1")
    release, inside, most = threading.Event(), [], []

    @flow.node(timeout="5s", retry=Retry(max_attempts=2, initial=0, jitter=False))
    def stuck(ctx: Context) -> int:
        inside.append(ctx.attempt)
        most.append(len(inside))
        if ctx.attempt == 1:
            assert release.wait(10)
        inside.remove(ctx.attempt)
        return ctx.attempt

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        await w.until(run, "node_failed", code="timeout")
        await w.until(run, "node_started", attempt=2)
        release.set()
        assert (await w.end(run))["result"] == 2
    assert most == [1, 1]


async def test_a_waiting_run_costs_no_slot_and_no_memory_and_an_answer_wakes_it(world):
    flow = Workflow("ask", version="v1")

    @flow.human_input(schema={"type": "object", "required": ["ok"]}, timeout="48h")
    def approval() -> dict:
        return {"prompt": "Go on?", "data": {"total": 5}}

    @flow.node
    def after(approval: dict) -> dict:
        return approval

    async with world(flow) as w:
        run = await w.start(flow)
        asked = await w.until(run, "input_requested")
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert (w.engine.registry.live, w.engine.slots.used) == ({}, 0)
        with pytest.raises(PayloadInvalid):
            await w.engine.service.signal(run, "approval", None, {}, by="eve")
        said = await w.engine.service.signal(run, "approval", asked["request_id"], {"ok": 1}, by="eve")
        assert not said.duplicate
        assert (await w.end(run))["result"] == {"ok": 1}
        again = await w.engine.service.signal(run, "approval", asked["request_id"], {"ok": 1}, by="eve")
        assert again.duplicate
        with pytest.raises(SignalConflict):
            await w.engine.service.signal(run, "approval", asked["request_id"], {"ok": 2}, by="eve")
        with pytest.raises(RunFinished):
            await w.engine.service.signal(run, "approval", "new", {"ok": 1}, by="eve")


async def test_nobody_answers_within_the_deadline(world):
    flow = Workflow("deadline", version="v1")
    flow.human_input("approval", prompt="Go on?", schema={}, timeout="48h")

    async with world(flow) as w:
        run = await w.start(flow)
        await w.until(run, "input_requested")
        await w.clock.advance(48 * 3600)
        end = await w.end(run)
    assert end["error"]["code"] == "input_timed_out"
    assert end["error"]["message"] == "No answer to approval within 2d"


async def test_a_signal_that_comes_early_is_kept(world):
    flow = Workflow("early", version="v1")
    gate = asyncio.Event()

    @flow.node
    async def slow() -> None:
        await gate.wait()

    flow.human_input("approval", prompt="Go on?", schema={"type": "integer"}, after=["slow"])
    async with world(flow) as w:
        run = await w.start(flow)
        await w.engine.service.signal(run, "approval", "s1", 1, by="eve")
        await w.engine.service.signal(run, "approval", "s2", 2, by="eve")
        gate.set()
        assert (await w.end(run))["result"] == 1


async def test_a_timer_is_durable_and_runs_no_code(world):
    flow = Workflow("nap", version="v1")
    flow.sleep("cool_down", "24h")

    @flow.sleep(after=["cool_down"])
    def chosen() -> str:
        return "1h"

    async with world(flow) as w:
        run = await w.start(flow)
        started = await w.until(run, "node_started")
        assert started["wake_at"] == "2026-01-02T00:00:00.000Z"
    async with world(flow) as w:
        await w.clock.advance(24 * 3600)
        await w.until(run, "node_started", node="chosen")
        await w.clock.advance(3600)
        assert (await w.end(run))["type"] == "completed"


async def test_cancel_cleans_up_and_undoes_in_reverse_order(world):
    flow = Workflow("saga", version="v1")
    did = []

    @flow.node
    async def first() -> str:
        return "one"

    @first.compensate
    async def undo_first(first: str) -> None:
        did.append(f"undo {first}")

    @flow.node
    async def second(first: str) -> str:
        return "two"

    @second.compensate
    def undo_second(second: str, ctx: Context) -> None:
        did.append(f"undo {second}")

    @flow.node
    async def third(second: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            did.append("clean up")

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run, node="third")
        assert await w.engine.service.cancel(run, by="eve", reason="no need")
        end = await w.end(run)
        assert did == ["clean up", "undo two", "undo one"]
        assert (end["type"], end["forced"], end["compensated"]) == ("cancelled", False, ["second", "first"])
        before = await w.told(run)
        assert not await w.engine.service.cancel(run, by="eve")
        assert await w.told(run) == before
    assert before[-8:] == [
        "cancel_requested",
        "node_failed third cancelled",
        "node_started second compensation",
        "node_completed second compensation",
        "node_started first compensation",
        "node_completed first compensation",
        "status_changed cancelled",
        "cancelled",
    ]


async def test_terminate_ends_at_once_and_undoes_nothing(world):
    flow = Workflow("force", version="v1")
    undone = []

    @flow.node
    async def first() -> str:
        return "one"

    @first.compensate
    async def undo(first: str) -> None:
        undone.append(first)

    @flow.node
    async def stubborn(first: str) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run, node="stubborn")
        assert await w.engine.service.terminate(run, by="op", reason="stuck")
        end = await w.end(run)
        assert (end["type"], end["forced"]) == ("cancelled", True)
        assert end["not_compensated"] == ["first"]
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert w.engine.registry.live == {}
    assert undone == []


async def test_a_body_that_returns_within_the_grace_counts_and_is_undone(world):
    flow = Workflow("graceful", version="v1")
    undone = []

    @flow.node
    async def finishing() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "in time"

    @finishing.compensate
    async def undo(finishing: str) -> None:
        undone.append(finishing)

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.engine.service.cancel(run, by="eve")
        assert (await w.end(run))["compensated"] == ["finishing"]
    assert undone == ["in time"]


async def test_a_body_that_does_not_stop_is_left_after_the_grace(world):
    flow = Workflow("deaf", version="v1")
    stop = asyncio.Event()

    @flow.node
    async def deaf() -> None:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    async with world(flow, grace=5.0) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.engine.service.cancel(run, by="eve")
        await w.clock.advance(5)
        assert (await w.end(run))["type"] == "cancelled"
        stop.set()
        await asyncio.sleep(0)


async def test_a_failing_compensation_does_not_stop_the_others(world):
    flow = Workflow("broken", version="v1")
    undone = []

    @flow.node
    async def first() -> int:
        return 1

    @first.compensate
    async def undo_first() -> None:
        undone.append("first")

    @flow.node
    async def second(first: int) -> int:
        return 2

    @second.compensate(retry=None)
    async def undo_second() -> None:
        raise ValueError("cannot")

    @flow.node(retry=None)
    async def fails(second: int) -> None:
        raise ValueError("boom")

    async with world(flow) as w:
        run = await w.start(flow)
        end = await w.end(run)
        seen = await w.engine.service.inspect(run)
    assert (end["compensated"], end["not_compensated"]) == (["first"], ["second"])
    assert seen.state.nodes["second"].state == "succeeded"
    assert undone == ["first"]


async def test_while_a_run_is_undone_it_takes_no_signals(world):
    flow = Workflow("closing", version="v1")
    gate = asyncio.Event()
    flow.human_input("approval", prompt="?", schema={})

    @flow.node
    async def first() -> int:
        return 1

    @first.compensate
    async def undo() -> None:
        await gate.wait()

    async with world(flow) as w:
        run = await w.start(flow)
        await w.until(run, "node_completed")
        await w.engine.service.cancel(run, by="eve")
        with pytest.raises(RunStopping):
            await w.engine.service.signal(run, "approval", None, 1, by="eve")
        gate.set()
        assert (await w.end(run))["compensated"] == ["first"]


async def test_what_a_body_does_to_its_input_stays_there(world):
    flow = Workflow("mutable", version="v1")

    @flow.node
    def source() -> dict:
        return {"items": [1]}

    @flow.node
    def greedy(source: dict) -> int:
        source["items"].clear()
        return 0

    @flow.node(after=[greedy])
    def reader(source: dict) -> list:
        return source["items"]

    async with world(flow) as w:
        assert (await w.end(await w.start(flow)))["result"] == [1]


async def test_usage_is_reported_and_summed_over_attempts(world):
    flow = Workflow("llm", version="v1")

    @flow.node(kind="llm", retry=Retry(initial=0, jitter=False))
    async def model(ctx: Context) -> str:
        ctx.report(tokens=10, cost_micro_usd=3, model="small")
        ctx.report(tokens=5)
        if ctx.attempt == 1:
            raise ValueError("again")
        return "text"

    async with world(flow) as w:
        run = await w.start(flow)
        await w.end(run)
        state = (await w.engine.service.inspect(run)).state
        done = await w.until(run, "node_completed")
    assert (state.tokens, state.cost_micro_usd) == (30, 6)
    assert (done["tokens"], done["cost_micro_usd"], done["model"]) == (15, 3, "small")


async def test_the_callers_trace_is_handed_on_under_the_nodes_span(world):
    flow = Workflow("trace", version="v1")

    @flow.node
    async def calls(ctx: Context) -> list:
        return [ctx.trace_headers, ctx.trace_headers]

    async with world(flow) as w:
        one, two = (await w.end(await w.start(flow)))["result"]
    assert one["traceparent"].startswith(f"00-{'a' * 32}-")
    assert one["tracestate"] == "vendor=1"
    assert one["traceparent"] != two["traceparent"]
