"""Nothing is answered before it is on disk, and one run's trouble is no other's."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from infraweave import Context, Retry, Workflow
from infraweave.errors import RunFinished
from tests.engine.conftest import beat
from tests.engine.test_lifetimes import gated


def asking() -> Workflow:
    flow = Workflow("ask", version="v1")
    flow.human_input("approval", prompt="?", schema={})
    return flow


async def test_a_duplicate_is_not_confirmed_before_the_first_is_on_disk(world, disk):
    async with world(asking()) as w:
        run = await w.start("ask")
        await w.until(run, "input_requested")
        disk.clear()
        calls = [
            asyncio.create_task(w.engine.service.signal(run, "approval", "s1", 1, by="eve")) for _ in range(2)
        ]
        await beat(w)
        assert [call.done() for call in calls] == [False, False]
        disk.set()
        assert [(await call).duplicate for call in calls] == [False, True]


async def test_a_signal_is_not_refused_before_what_it_is_refused_for_is_on_disk(world, disk):
    async with world(asking()) as w:
        run = await w.start("ask")
        await w.until(run, "input_requested")
        disk.clear()
        first = asyncio.create_task(w.engine.service.signal(run, "approval", "s1", 1, by="eve"))
        await beat(w)
        late = asyncio.create_task(w.engine.service.signal(run, "approval", "s2", 2, by="eve"))
        await beat(w)
        assert [first.done(), late.done()] == [False, False]
        disk.set()
        with pytest.raises(RunFinished):
            await late
        assert not (await first).duplicate


@pytest.mark.parametrize("first", ["cancel", "terminate"])
async def test_a_second_cancel_is_not_confirmed_before_the_first_is_on_disk(world, disk, first):
    async with world(asking()) as w:
        run = await w.start("ask")
        await w.until(run, "input_requested")
        disk.clear()
        calls = [asyncio.create_task(getattr(w.engine.service, first)(run, by="eve"))]
        await beat(w)
        calls.append(asyncio.create_task(w.engine.service.cancel(run, by="eve")))
        await beat(w)
        assert [call.done() for call in calls] == [False, False]
        disk.set()
        assert [await call for call in calls] == [True, False]


async def test_a_body_starts_only_once_its_start_is_on_disk(world, disk):
    flow, began = Workflow("order", version="v1"), []

    @flow.node
    async def first() -> None:
        began.append("first")

    async with world(flow) as w:
        await w.engine.ready()
        disk.clear()
        starting = asyncio.create_task(w.start(flow))
        await beat(w)
        assert (began, starting.done()) == ([], False)
        disk.set()
        await w.end(await starting)
    assert began == ["first"]


async def test_a_caller_who_hangs_up_does_not_stop_a_start(world, disk):
    flow, gate = gated()
    gate.set()
    async with world(flow) as w:
        disk.clear()
        starting = asyncio.create_task(w.start(flow))
        while not disk.reached.is_set():
            await beat(w)
        starting.cancel()
        disk.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        while not (rows := await w.engine.runs.list("default")):
            pass  # the disk takes its time
        (row,) = rows
        assert (await w.end(row))["result"] == "through"


async def test_every_queued_run_is_lined_up_again_although_the_queue_became_shorter(world):
    flow, gate = gated()
    async with world(flow, max_running=1) as w:
        runs = [await w.start(flow) for _ in range(6)]
        closing = asyncio.create_task(w.engine.drain())
        await w.clock.advance(6)
        await closing
    gate.set()
    async with world(flow, max_running=1, max_queued=2) as w, asyncio.timeout(10):
        assert [(await w.end(run))["result"] for run in runs] == ["through"] * 6


async def spoil(db, run) -> None:
    """Make the stored events of a run unreadable."""
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE events SET data = '{}' WHERE run_key = ? AND seq = 2", (run.run_key,))
    connection.close()


@pytest.mark.parametrize("kind", ["in flight", "in backoff", "queued"])
async def test_a_run_that_cannot_be_read_harms_no_other(world, db, caplog, kind):
    flow, gate = Workflow("mixed", version="v1"), asyncio.Event()

    @flow.node(retry=Retry(initial=60, jitter=False))
    async def work(input: dict, ctx: Context) -> int:
        if kind == "in backoff" and not gate.is_set():
            raise ValueError("not yet")
        await gate.wait()
        return ctx.attempt

    async with world(flow, max_running=1 if kind == "queued" else 10) as w:
        runs = [await w.start(flow, {"n": n}) for n in range(3)]
        if kind == "in backoff":
            for run in runs:
                await w.until(run, "status_changed", state="retrying")
        await beat(w)
        closing = asyncio.create_task(w.engine.drain())
        await w.clock.advance(6)
        await closing
    gate.set()
    await spoil(db, runs[0])
    if kind == "queued":
        with sqlite3.connect(db) as connection:
            connection.execute("UPDATE events SET data = '{}' WHERE run_key = ?", (runs[1].run_key,))
        connection.close()
    async with world(flow, max_running=2) as w, asyncio.timeout(10):
        await w.clock.advance(60)
        assert (await w.end(runs[2]))["type"] == "completed"
        assert (await w.end(await w.start(flow)))["type"] == "completed"
        await w.clock.advance(3600)
    assert runs[0].run_id in caplog.text or str(runs[0].run_key) in caplog.text


async def test_a_run_whose_rows_are_refused_gives_its_slot_back(world, db, caplog):
    flow, gate = gated()
    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run)
        with sqlite3.connect(db) as connection:  # a foreign hand has taken the next seq
            connection.execute(
                "INSERT INTO events (run_key, seq, type, at, data)"
                " SELECT run_key, 3, type, at, data FROM events WHERE run_key = ? AND seq = 2",
                (run.run_key,),
            )
        connection.close()
        gate.set()
        async with asyncio.timeout(10):
            while w.engine.registry.live:
                await w.engine.runs.counts()
            assert w.engine.slots.used == 0
            assert (await w.end(await w.start(flow)))["result"] == "through"
    assert run.run_id in caplog.text


async def test_what_json_cannot_carry_is_refused_and_the_run_goes_on(world):
    async with world(asking()) as w:
        run = await w.start("ask")
        await w.until(run, "input_requested")
        with pytest.raises(TypeError):
            await w.engine.service.cancel(run, by="eve", reason="\ud800")
        await w.engine.service.signal(run, "approval", "s1", 1, by="eve")
        end = await w.end(run)
        assert [event["seq"] for event in await w.events(run)] == list(range(1, end["seq"] + 1))
