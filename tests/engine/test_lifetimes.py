"""What outlives what: slots and queue, restarts, missing code, versions, shutdown, a failing disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from infraweave import Context, Retry, Workflow
from infraweave.core.trace_context import TraceContext
from infraweave.engine.runs.requests import StartRequest
from infraweave.errors import (
    Capacity,
    Draining,
    IdempotencyMismatch,
    InputInvalid,
    StorageUnavailable,
    VersionConflict,
    VersionNotFound,
    WorkflowNotFound,
)
from tests.engine.conftest import beat


def gated(name: str = "gated") -> tuple[Workflow, asyncio.Event]:
    """Return a workflow of one node that waits for a gate."""
    flow, gate = Workflow(name, version="v1"), asyncio.Event()

    @flow.node
    async def wait() -> str:
        await gate.wait()
        return "through"

    return flow, gate


# --- slots and queue ---------------------------------------------------------------------------------------


async def test_without_a_free_slot_a_run_is_queued_and_starts_when_one_is(world):
    flow, gate = gated()
    async with world(flow, max_running=1) as w:
        first, second = await w.start(flow), await w.start(flow)
        assert (first.state, second.state, second.started_at) == ("running", "queued", None)
        gate.set()
        assert (await w.end(second))["result"] == "through"
        assert await w.told(second) == [
            "status_changed queued",
            "status_changed running",
            "node_started wait",
            "node_completed wait",
            "status_changed succeeded",
            "completed",
        ]
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert w.engine.slots.used == 0


async def test_after_a_restart_runs_in_flight_go_before_queued_ones(world):
    flow, gate, begun = Workflow("order", version="v1"), asyncio.Event(), []

    @flow.node
    async def wait(ctx: Context) -> None:
        begun.append(ctx.run_id)
        await gate.wait()

    async with world(flow, max_running=2, grace=1) as w:
        runs = [(await w.start(flow)).run_id for _ in range(4)]
        while len(begun) < 2:
            await beat(w)
        closing = asyncio.create_task(w.engine.drain())
        await w.clock.advance(1)
        await closing
    begun.clear()
    async with world(flow, max_running=2) as w, asyncio.timeout(10):
        while len(begun) < 2:
            await beat(w)
        gate.set()
        for run_id in runs:
            await w.end(await w.engine.runs.get(run_id))
    assert set(begun[:2]) == set(runs[:2])
    assert set(begun[2:]) == set(runs[2:])


async def stop(w) -> None:
    """Let a server end as a signal asks it to, its grace period over."""
    closing = asyncio.create_task(w.engine.drain())
    await beat(w)
    await w.clock.advance(w.engine.settings.grace)
    await closing


async def test_what_waits_for_a_slot_as_the_server_stops_is_not_taken_for_begun(world):
    flow, called = Workflow("pay", version="v1"), []
    flow.human_input("ok", prompt="?", schema={})

    @flow.node(retry=None)
    async def charge(ok: bool) -> str:
        called.append(ok)
        return "paid"

    busy, gate = gated()
    async with world(flow, busy, max_running=1, grace=1) as w:
        run = await w.start(flow)
        await w.until(run, "input_requested")
        await w.start(busy)
        await w.engine.service.signal(run, "ok", "s1", True, by="eve")
        await w.until(run, "node_started")
        _, why = await w.engine.service.explain(run)
        assert (why.moving, why.sentence) == (False, "It waits: charge waits for a free slot.")
        await stop(w)
    assert called == []
    gate.set()
    async with world(flow, busy, max_running=1) as w, asyncio.timeout(10):
        assert (await w.end(run))["result"] == "paid"
    assert called == [True]


async def test_what_waits_for_a_thread_as_the_server_stops_is_not_taken_for_begun(world):
    flow, called, gate = Workflow("sync", version="v1"), [], threading.Event()

    @flow.node(retry=None)
    def work(ctx: Context) -> str:
        called.append(ctx.run_id)
        gate.wait(10)
        return "done"

    async with world(flow, threads=1, grace=1) as w:
        begun = await w.start(flow)
        while not called:
            await beat(w)
        waits = await w.start(flow)
        sentence = await w.explained(waits, "It waits")
        assert sentence == "It waits: work waits for a free thread or process."
        await stop(w)
    gate.set()
    async with world(flow, threads=1) as w, asyncio.timeout(10):
        assert (await w.end(waits))["result"] == "done"
        assert (await w.end(begun))["error"]["code"] == "interrupted"
    assert called == [begun.run_id, waits.run_id]


async def test_the_queue_is_fair_between_tenants(world):
    flow, gate = gated()
    async with world(flow, max_running=1) as w:
        await w.start(flow)
        many = [await w.start(flow, tenant="many") for _ in range(3)]
        few = await w.start(flow, tenant="few")
        gate.set()
        for run in (*many, few):
            await w.end(run)
        began = {run.run_id: (await w.engine.runs.get(run.run_id)).started_at for run in (*many, few)}
        order = [
            row.run_key
            for row in sorted(
                [await w.engine.runs.get(run.run_id) for run in (*many, few)],
                key=lambda row: (row.started_at, row.finished_at),
            )
        ]
        assert len(set(order)) == 4
        assert began[few.run_id] <= began[many[1].run_id]


async def test_a_full_queue_refuses(world):
    flow, gate = gated()
    async with world(flow, max_running=1, max_queued=1) as w:
        await w.start(flow)
        queued = await w.start(flow)
        with pytest.raises(Capacity):
            await w.start(flow)
        assert await w.engine.service.cancel(queued, by="eve")
        assert (await w.end(queued))["type"] == "cancelled"
        await w.start(flow)
        gate.set()


async def test_five_hundred_runs_end_on_ten_slots(world):
    flow = Workflow("many", version="v1")

    @flow.node
    async def one() -> int:
        return 1

    @flow.node
    def two(one: int) -> int:
        return one + 1

    async with world(flow, max_running=10) as w:
        runs = [await w.start(flow) for _ in range(500)]
        results = [(await w.end(run))["result"] for run in runs]
        assert results == [2] * 500
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert (w.engine.registry.live, w.engine.slots.used) == ({}, 0)


# --- starting ----------------------------------------------------------------------------------------------


async def test_fifty_starts_with_one_key_make_one_run(world):
    flow, gate = gated()
    gate.set()
    async with world(flow) as w:
        rows = await asyncio.gather(*(w.start(flow, idempotency_key="k", body_digest="d") for _ in range(50)))
        assert len({row.run_id for row in rows}) == 1
        with pytest.raises(IdempotencyMismatch):
            await w.start(flow, idempotency_key="k", body_digest="other")
        other = await w.start(flow, idempotency_key="k", body_digest="d", tenant="other")
        assert other.run_id != rows[0].run_id


async def test_what_cannot_start_stores_nothing(world):
    flow = Workflow("strict", version="v1", input={"type": "object", "required": ["a"]})
    flow.human_input("approval", prompt="?", schema={})
    async with world(flow) as w:
        for error, options in (
            (InputInvalid, {}),
            (VersionNotFound, {"value": {"a": 1}, "workflow_version": "v9"}),
        ):
            with pytest.raises(error):
                await w.start(flow, **options)
        with pytest.raises(WorkflowNotFound):
            await w.start("nothing")
        assert await w.engine.runs.list("default") == []
        await w.clock.advance(0)  # the effects of a commit follow its news
        assert w.engine.slots.used == 0


# --- restarts, code and versions ---------------------------------------------------------------------------


def two_steps(version: str = "v1", *, second: bool = True, retry: Retry | None = None) -> Workflow:
    flow = Workflow("steps", version=version)

    @flow.human_input(schema={})
    def approval() -> str:
        return "go on?"

    if second:

        @flow.node(retry=retry)
        async def act(approval: int) -> int:
            return approval + 1

    return flow


async def test_a_waiting_run_survives_a_restart(world):
    async with world(two_steps()) as w:
        run = await w.start("steps")
        await w.until(run, "input_requested")
    async with world(two_steps()) as w:
        await w.engine.service.signal(run, "approval", None, 1, by="eve")
        assert (await w.end(run))["result"] == 2


async def test_without_its_code_a_run_waits_says_so_and_goes_on_when_it_is_back(world):
    async with world(two_steps(retry=None)) as w:
        run = await w.start("steps")
        await w.until(run, "input_requested")
    async with world() as w:
        await w.engine.service.signal(run, "approval", None, 1, by="eve")
        await w.until(run, "input_resolved")
        assert (await w.engine.service.inspect(run)).blocked == ["act"]
        assert (await w.engine.runs.get(run.run_id)).state == "running"
    async with world(two_steps(retry=None)) as w:
        assert (await w.end(run))["result"] == 2
        assert "node_failed act interrupted" not in await w.told(run)


async def test_a_mended_body_under_a_new_version_serves_runs_of_the_old_one(world):
    async with world(two_steps("v1")) as w:
        run = await w.start("steps")
        await w.until(run, "input_requested")
    async with world(two_steps("v2")) as w:
        await w.engine.service.signal(run, "approval", None, 1, by="eve")
        assert (await w.end(run))["result"] == 2
        assert (await w.start("steps")).workflow_version == "v2"


async def test_a_version_that_a_run_has_used_cannot_change(world):
    async with world(two_steps()) as w:
        await w.start("steps")
    with pytest.raises(VersionConflict, match="node act is gone"):
        async with world(two_steps(second=False)):
            pass


async def test_a_roll_back_survives_a_restart(world):
    async with world(two_steps("v1")):
        pass
    async with world(two_steps("v2")) as w:
        await w.engine.catalog.activate("default", "steps", "v1")
    async with world(two_steps("v2")) as w:
        assert (await w.start("steps")).workflow_version == "v1"


# --- shutdown ----------------------------------------------------------------------------------------------


async def test_a_shutdown_lets_a_body_finish_and_opens_nothing_new(world):
    flow = Workflow("drain", version="v1")
    began, gate = asyncio.Event(), asyncio.Event()

    @flow.node
    async def first() -> int:
        began.set()
        await gate.wait()
        return 1

    @flow.node(retry=None)
    async def second(first: int, ctx: Context) -> int:
        return ctx.attempt

    async with world(flow) as w:
        run = await w.start(flow)
        await began.wait()
        closing = asyncio.create_task(w.engine.drain())
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await w.start(flow)
        assert await w.engine.ready() == "draining"
        gate.set()
        await closing
        assert (await w.told(run))[-1] == "node_completed first"
    async with world(flow) as w:
        assert (await w.end(run))["result"] == 1
        assert "node_failed second interrupted" not in await w.told(run)


async def test_what_outlasts_the_grace_is_interrupted_and_tried_again(world):
    flow = Workflow("long", version="v1")

    @flow.node
    async def endless(ctx: Context) -> int:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return ctx.attempt

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        closing = asyncio.create_task(w.engine.drain())
        await w.clock.advance(5)
        await closing
    async with world(flow) as w:
        assert (await w.end(run))["result"] == 2
        assert "node_failed endless interrupted" in await w.told(run)


async def test_what_a_stop_cut_off_is_an_interruption_of_its_true_length_and_fails_no_node(world):
    flow, begun = Workflow("hour", version="v1"), []

    @flow.node
    async def works(ctx: Context) -> int:
        begun.append(ctx.attempt)
        ctx.report(tokens=1)
        if ctx.attempt < 13:
            await asyncio.Event().wait()
        return ctx.attempt

    run = None
    for attempt in range(1, 13):
        async with world(flow, grace=1.0) as w:
            run = run or await w.start(flow)
            await w.at_work(run, attempt=attempt)
            await w.clock.advance(60)
            await stop(w)
        await w.clock.advance(3600)  # nobody serves
    async with world(flow) as w:
        assert (await w.end(run))["result"] == 13
        cut = [event for event in await w.events(run) if event["type"] == "node_failed"]
        assert [(one["code"], one["latency_ms"], one["planned"]) for one in cut] == [
            ("interrupted", 61_000, True)
        ] * 12
        assert (await w.engine.service.inspect(run)).state.tokens == 13
    assert begun == list(range(1, 14))


async def test_after_the_disk_failed_nothing_is_acknowledged(world, monkeypatch):
    flow, gate = gated()
    async with world(flow) as w:
        run = await w.start(flow)

        def broken(*_):
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr("infraweave.store.sqlite.batch.write_rows", broken)
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await w.start(flow)
        with pytest.raises(StorageUnavailable):
            await w.engine.service.cancel(run, by="eve")
        assert await w.engine.ready() == "storage_unavailable"
        monkeypatch.undo()
    async with world(flow) as w:
        gate.set()
        assert (await w.end(run))["result"] == "through"
        assert len(await w.engine.runs.list("default")) == 1


def test_a_start_request_is_a_plain_value():
    trace = TraceContext("a" * 32)
    assert StartRequest(tenant="t", by="b", workflow_id="w", trace=trace).input == {}
