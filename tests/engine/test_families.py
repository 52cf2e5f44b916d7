"""Parents and children that stop while the other is being started, loaded, or written."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from infraweave import Context, NonRetryable, Workflow
from infraweave.core.run.facts import TerminateRequested
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.shutdown import drain
from infraweave.errors import StorageUnavailable
from infraweave.store.runs import Runs
from tests.engine.conftest import beat
from tests.engine.test_children import child_of, waiting


def slow_order(gate: asyncio.Event) -> Workflow:
    """An order whose child begins once the gate is open, beside a wait for a word."""
    flow = Workflow("order", version="v1")
    flow.signal("word", schema={})

    @flow.subworkflow("invoice")
    async def bill() -> dict:
        await gate.wait()
        return {"order": "o1"}

    return flow


async def born(w, run) -> None:
    """Wait until a run has decided to start a child, whether that is on disk or not."""
    while not any(entry.child_run_id for entry in w.engine.registry.live[run.run_key].state.entries.values()):
        await w.engine.runs.counts()


async def test_a_child_whose_start_is_on_its_way_to_the_disk_is_terminated_with_its_parent(world, disk):
    gate = asyncio.Event()
    async with world(slow_order(gate), waiting()) as w, asyncio.timeout(10):
        run = await w.start("order")
        await beat(w)
        disk.clear()
        gate.set()
        await born(w, run)
        ending = asyncio.create_task(w.engine.service.terminate(run, by="op"))
        await beat(w)
        disk.set()
        await ending
        assert (await w.end(await child_of(w, run)))["forced"]


async def test_a_child_that_begins_while_its_parents_family_is_gathered_is_terminated_with_it(
    world, monkeypatch
):
    gates = [asyncio.Event(), asyncio.Event()]
    flow = Workflow("order", version="v1", input={"type": "array"})

    @flow.map(over="input", subworkflow="invoice")
    async def bills(place: int) -> dict:
        await gates[place].wait()
        return {"order": "o1"}

    async with world(flow, waiting()) as w, asyncio.timeout(10):
        run = await w.start("order", [0, 1])
        gates[0].set()
        await w.until(run, "node_started", index=0)
        looked_up = Runs.get

        async def slow(runs, run_id):
            if run_id != run.run_id and not gates[1].is_set():
                gates[1].set()
                await w.until(run, "node_started", index=1)
            return await looked_up(runs, run_id)

        monkeypatch.setattr(Runs, "get", slow)
        await w.engine.service.terminate(run, by="op")
        rows = await w.engine.runs.list("default")
        assert [row.state for row in rows] == ["cancelled"] * 3


async def test_a_child_whose_start_is_on_its_way_to_the_disk_is_cancelled_with_its_parent(world, disk):
    gate = asyncio.Event()
    async with world(slow_order(gate), waiting()) as w, asyncio.timeout(10):
        run = await w.start("order")
        await beat(w)
        disk.clear()
        calls = [asyncio.create_task(w.engine.service.signal(run, "word", None, 1, by="eve"))]
        await beat(w)  # this is being written; the child's start and the cancel come after it
        gate.set()
        await born(w, run)
        calls.append(asyncio.create_task(w.engine.service.cancel(run, by="eve")))
        await beat(w)
        disk.set()
        await asyncio.gather(*calls)
        assert (await w.end(run))["type"] == "cancelled"
        assert (await w.end(await child_of(w, run)))["type"] == "cancelled"


async def test_a_child_that_lost_a_race_is_stopped_after_a_restart(world, monkeypatch):
    flow = Workflow("race", version="v1")
    flow.signal("word", schema={})

    @flow.subworkflow("invoice")
    def bill() -> dict:
        return {"order": "o1"}

    @flow.node(join="any", after=["bill", "word"])
    def first() -> None: ...

    async with world(flow, waiting()) as w:
        run = await w.start("race")
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")

        monkeypatch.setattr(LiveRun, "cancel_child", lambda *_: None)
        await w.engine.service.signal(run, "word", None, 1, by="eve")
        await w.until(run, "node_completed", node="first")
    monkeypatch.undo()
    async with world(flow, waiting()) as w, asyncio.timeout(10):
        assert (await w.end(run))["type"] == "completed"
        assert (await w.end(child))["type"] == "cancelled"


async def test_a_shutdown_leaves_no_run_that_is_being_taken_up(world, monkeypatch):
    flow = Workflow("nap", version="v1")
    flow.sleep("nap", "1h")
    loading = asyncio.Event()
    async with world(flow, grace=0) as w:
        run = await w.start("nap")
        await beat(w)
        assert w.engine.registry.live == {}

        async def endless(*_):
            loading.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Runs, "get_by_key", endless)
        await w.clock.advance(3600)
        await loading.wait()
    assert [task for task in asyncio.all_tasks() if task.get_name() == f"load {run.run_key}"] == []


async def test_nobody_waits_for_ever_for_an_answer_that_a_shutdown_came_before(world):
    gate = asyncio.Event()
    gate.set()
    async with world(slow_order(gate), waiting()) as w, asyncio.timeout(10):
        run = await w.start("order")
        await w.until(run, "node_started", node="bill")
        child = await child_of(w, run)
        await w.until(child, "input_requested")
        while w.engine.registry.live:
            await w.engine.db.ping()
        async with w.engine.registry.pinned(child.run_key) as live:
            w.engine.turns.apply(live, TerminateRequested(by="eve"))
            for task in w.engine.tasks._tasks:
                if task.get_name() == "notify parents":
                    task.cancel()
            with pytest.raises(StorageUnavailable):
                await live.durable()


@pytest.mark.parametrize("stop", ["cancel", "terminate"])
async def test_a_run_that_waits_for_code_is_stopped_as_soon_as_it_is_taken_up(world, caplog, stop):
    flow = Workflow("order", version="v1")
    flow.signal("word", schema={})

    @flow.node
    def ship(word: int) -> None: ...

    other = Workflow("other", version="v1")
    other.signal("word", schema={})
    async with world(flow) as w:
        run = await w.start("order")
    async with world(other) as w:
        await w.engine.service.signal(run, "word", None, 1, by="eve")
        await beat(w)
        assert w.engine.registry.live == {}
        await getattr(w.engine.service, stop)(run, by="eve")
        assert (await w.end(run))["type"] == "cancelled"
    assert caplog.text == ""


def napping(gate: asyncio.Event) -> Workflow:
    """A race that a prompt loses while it is being made, beside a nap of a minute."""
    flow = Workflow("race", version="v1")
    flow.sleep("nap", "60s")
    flow.signal("word", schema={})

    @flow.human_input(schema={})
    async def ask() -> str:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        return "Go?"

    @flow.node(join="any", after=["ask", "word"])
    async def first() -> None: ...

    return flow


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_nap_ends_though_a_wait_beside_it_lost_a_race_before_it_was_open(world, restarts):
    gate = asyncio.Event()
    async with AsyncExitStack() as stack:
        w = await stack.enter_async_context(world(napping(gate)))
        run = await w.start("race")
        await w.until(run, "node_started", node="nap")
        await w.engine.service.signal(run, "word", None, 1, by="eve")
        await w.until(run, "node_completed", node="first")
        if restarts:
            await drain(w.engine.resources, w.engine.registry, w.engine.wakeups, 0)
            gate.set()
            await stack.aclose()
            w = await stack.enter_async_context(world(napping(gate)))
        gate.set()
        async with asyncio.timeout(5):
            while w.engine.registry.live:
                await w.engine.db.ping()
            await w.clock.advance(61)
            assert (await w.end(run))["type"] == "completed"


async def test_a_run_that_undoes_what_came_before_a_wait_that_could_not_open_stays_in_memory(world):
    flow, undone, release = Workflow("trip", version="v1"), [], asyncio.Event()

    @flow.node
    async def book() -> str:
        return "booked"

    @book.compensate
    async def unbook(ctx: Context) -> None:
        undone.append(ctx.attempt)
        await release.wait()

    @flow.human_input(schema={}, after=[book])
    def approve() -> str:
        raise NonRetryable("no prompt")

    async with world(flow) as w:
        run = await w.start(flow)
        await w.at_work(run, phase="compensation")
        assert await w.engine.service.cancel(run, by="eve")
        await beat(w)
        release.set()
        assert (await w.end(run))["type"] == "failed"
        assert undone == [1]


async def ended_in_memory(w, run):
    while (live := w.engine.registry.live.get(run.run_key)) is None or live.state.end is None:
        await w.clock.advance(0)


async def test_nobody_hears_of_an_end_that_is_not_on_disk_while_a_grandparent_is_taken_up(world, monkeypatch):
    leaf, mid, top = (Workflow(name, version="v1") for name in ("leaf", "mid", "top"))
    leaf.signal("word", schema={})

    @mid.subworkflow("leaf")
    def below() -> dict:
        return {}

    @top.subworkflow("mid")
    def middle() -> dict:
        return {}

    gate, get = asyncio.Event(), Runs.get_by_key

    async def slow(self, run_key):
        if run_key == run.run_key:
            await gate.wait()
        return await get(self, run_key)

    async with world(leaf, mid, top) as w:
        run = await w.start(top)
        await w.until(run, "node_started")
        child = await child_of(w, run)
        await w.until(child, "node_started")
        grandchild = await child_of(w, child)
        await w.until(grandchild, "node_started")
        await beat(w)
        monkeypatch.setattr(Runs, "get_by_key", slow)
        answer = asyncio.create_task(w.engine.service.signal(grandchild, "word", None, {}, by="eve"))
        await ended_in_memory(w, child)
        stop = asyncio.create_task(w.engine.service.terminate(child, by="eve"))
        await beat(w)
        told, is_open = stop.done(), (await w.engine.runs.get(child.run_id)).finished_at is None
        gate.set()
        await answer
        assert (told, is_open) == (False, True)
        assert await stop is False
        assert (await w.end(run))["type"] == "completed"
