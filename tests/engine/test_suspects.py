"""Runs that are set aside, because processes died while they loaded them: what can be done with them."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Concurrency, Workflow
from infraweave.engine.runs.wakeups import Wakeups
from infraweave.errors import RunSetAside
from infraweave.store.load_quarantine import MAX_CRASHES, LoadQuarantine


def asking() -> Workflow:
    flow = Workflow("asking", version="v1")

    @flow.node
    async def booked() -> int:
        return 1

    @booked.compensate
    async def cancel_booking(booked: int) -> None: ...

    @flow.human_input(schema={}, after=[booked])
    def person() -> str:
        return "well?"

    return flow


def parent() -> Workflow:
    flow = Workflow("parent", version="v1")

    @flow.subworkflow("asking")
    def child() -> dict:
        return {}

    return flow


def die_at(db, run_id: str, times: int = MAX_CRASHES) -> None:
    """Leave the files of processes that died while they loaded a run."""
    for _ in range(times):
        LoadQuarantine(db).begin_load(run_id)


async def waiting(w, flow: Workflow):
    run = await w.start(flow)
    await w.explained(run, "a person must answer")
    return run


async def test_a_run_that_is_set_aside_takes_no_signal_and_says_why(world, db):
    flow = asking()
    async with world(flow) as w, asyncio.timeout(20):
        run = await waiting(w, flow)
    die_at(db, run.run_id)
    async with world(flow) as w, asyncio.timeout(20):
        with pytest.raises(RunSetAside, match="3 processes in a row have died"):
            await w.engine.service.signal(run, "person", "r1", "yes", by="story")
        assert "is set aside" in (await w.engine.service.explain(run))[1].sentence
        assert await w.engine.service.resume(run)
        assert not await w.engine.service.resume(run)
        await w.engine.service.signal(run, "person", "r1", "yes", by="story")
        assert (await w.end(run))["type"] == "completed"
    async with world(flow) as w:
        assert w.engine.quarantine.suspected == frozenset()


async def test_a_run_that_is_set_aside_stays_so_over_clean_restarts(world, db):
    flow = asking()
    async with world(flow) as w, asyncio.timeout(20):
        run = await waiting(w, flow)
    die_at(db, run.run_id)
    for _ in range(2):
        async with world(flow) as w:
            assert w.engine.quarantine.quarantined == {run.run_id}


async def test_a_run_that_is_set_aside_can_be_cancelled_and_is_undone(world, db):
    flow = asking()
    async with world(flow) as w, asyncio.timeout(20):
        run = await waiting(w, flow)
    die_at(db, run.run_id)
    async with world(flow) as w, asyncio.timeout(20):
        assert await w.engine.service.cancel(run, by="story")
        end = await w.end(run)
        assert (end["type"], end["compensated"]) == ("cancelled", ["booked"])


async def test_a_run_that_is_set_aside_is_terminated_by_its_input_alone(world, db, monkeypatch):
    flow = asking()
    async with world(flow) as w, asyncio.timeout(20):
        run = await waiting(w, flow)
    die_at(db, run.run_id)
    async with world(flow) as w, asyncio.timeout(20):
        read, asked = w.engine.journal.read, []

        async def watched(self, run_key, after, limit, *, payloads=True):
            asked.append(payloads)
            return await read(run_key, after, limit, payloads=payloads)

        monkeypatch.setattr(type(w.engine.journal), "read", watched)
        assert await w.engine.service.terminate(run, by="story")
        monkeypatch.undo()
        assert asked.count(True) == 1
        assert False in asked
        assert (await w.end(run))["type"] == "cancelled"


async def test_a_parent_that_was_set_aside_hears_of_its_child_when_it_is_resumed(world, db):
    child, above = asking(), parent()
    async with world(child, above) as w, asyncio.timeout(20):
        run = await w.start(above)
        below_id = (await w.until(run, "node_started", node="child"))["child_run_id"]
        below = await w.engine.runs.get(below_id)
        await w.explained(below, "a person must answer")
    die_at(db, run.run_id)
    async with world(child, above) as w, asyncio.timeout(20):
        await w.engine.service.signal(below, "person", "r1", "yes", by="story")
        assert (await w.end(below))["type"] == "completed"
        assert await w.engine.service.resume(run)
        assert (await w.end(run))["result"] == "yes"


async def test_a_suspect_is_taken_up_by_itself_and_is_none_any_more_once_it_lives(world, db):
    flow, gate = Workflow("flow", version="v1"), asyncio.Event()

    @flow.node
    async def work() -> int:
        await gate.wait()
        return 1

    async with world(flow, grace=0) as w, asyncio.timeout(20):
        runs = [await w.start(flow) for _ in range(3)]
        for run in runs:
            await w.at_work(run)
        w.engine.abandon()
    for run in runs:
        die_at(db, run.run_id, MAX_CRASHES - 1)
    gate.set()
    async with world(flow) as w, asyncio.timeout(20):
        assert [(await w.end(run))["type"] for run in runs] == ["completed"] * 3
        while w.engine.quarantine.suspected:
            await w.clock.advance(0)


def one_at_a_time(order: list[int], **limits) -> Workflow:
    flow = Workflow("orders", version="v1", **limits)

    @flow.node
    async def work(input: dict) -> None:
        order.append(input["number"])

    return flow


async def queued_at_the_end(world, order: list[int], number: int, **limits):
    """Return runs that were queued, in order, when the process ended."""
    async with world(one_at_a_time(order, **limits), max_running=1, grace=0) as w:
        assert w.engine.slots.try_acquire()  # so nobody's turn comes
        runs = [await w.start("orders", {"number": i}) for i in range(number)]
        w.engine.abandon()
    return runs


@pytest.mark.parametrize("limits", [{}, {"concurrency": [Concurrency(1)]}])
@pytest.mark.parametrize("suspect", [0, 2])
async def test_a_suspect_in_the_queue_keeps_its_place(world, db, limits, suspect):
    order: list[int] = []
    runs = await queued_at_the_end(world, order, 4, **limits)
    die_at(db, runs[suspect].run_id, MAX_CRASHES - 1)
    async with world(one_at_a_time(order, **limits), max_running=1) as w, asyncio.timeout(20):
        assert [(await w.end(run))["type"] for run in runs] == ["completed"] * 4
    assert order == [0, 1, 2, 3]


async def test_a_suspect_that_was_cancelled_in_the_queue_keeps_no_place(world, db):
    order: list[int] = []
    runs = await queued_at_the_end(world, order, 3)
    die_at(db, runs[0].run_id, MAX_CRASHES - 1)
    async with world(one_at_a_time(order), max_running=1) as w, asyncio.timeout(20):
        await w.engine.service.cancel(runs[0], by="story")
        assert [(await w.end(run))["type"] for run in runs] == ["cancelled", "completed", "completed"]
    assert order == [1, 2]


async def test_a_suspect_whose_time_is_to_come_starts_no_sooner(world, db, clock):
    order: list[int] = []
    flow = one_at_a_time(order)
    async with world(flow, grace=0) as w:
        run = await w.start(flow, {"number": 1}, start_at=clock.now() + 60_000)
        w.engine.abandon()
    die_at(db, run.run_id, MAX_CRASHES - 1)
    async with world(flow) as w, asyncio.timeout(20):
        while w.engine.quarantine.suspected:
            await clock.advance(0)
        await w.start(flow, {"number": 0})
        while not order:
            await clock.advance(0)
        assert (await w.engine.service.inspect(run)).state.state == "queued"
        await clock.advance(60)
        await w.end(run)
    assert order == [0, 1]


async def test_a_queued_run_that_was_set_aside_starts_when_it_is_resumed(world, db):
    order: list[int] = []
    runs = await queued_at_the_end(world, order, 2)
    die_at(db, runs[0].run_id)
    async with world(one_at_a_time(order), max_running=1) as w, asyncio.timeout(20):
        await w.end(runs[1])
        assert await w.engine.service.resume(runs[0])
        await w.end(runs[0])
    assert order == [1, 0]


def sleeping() -> Workflow:
    flow = Workflow("sleeping", version="v1")
    first = flow.sleep("first", 10)
    flow.sleep("second", 10, after=[first])
    return flow


async def test_a_suspect_keeps_its_next_time_though_others_are_still_being_woken(
    world, db, clock, monkeypatch
):
    async with world(sleeping()) as w, asyncio.timeout(20):
        suspect, other = [await w.start("sleeping") for _ in range(2)]
        for run in (suspect, other):
            await w.until(run, "node_started", node="first")
    die_at(db, suspect.run_id, MAX_CRASHES - 1)
    await clock.advance(11)
    suspect_is_due, others_are_woken, all_are_woken = asyncio.Event(), asyncio.Event(), asyncio.Event()
    wake, wake_due, load_suspect = Wakeups.wake, Wakeups._wake_due, Wakeups._load_suspect

    async def slow(self, run_key):
        if run_key == suspect.run_key:
            suspect_is_due.set()
        elif not others_are_woken.is_set():
            await others_are_woken.wait()
        await wake(self, run_key)

    async def watched(self, limit):
        number = await wake_due(self, limit)
        all_are_woken.set()
        return number

    async def after_it_was_due(self, row):
        await suspect_is_due.wait()
        await load_suspect(self, row)

    monkeypatch.setattr(Wakeups, "wake", slow)
    monkeypatch.setattr(Wakeups, "_wake_due", watched)
    monkeypatch.setattr(Wakeups, "_load_suspect", after_it_was_due)
    async with world(sleeping()) as w, asyncio.timeout(20):
        await w.until(suspect, "node_started", node="second")
        others_are_woken.set()
        await all_are_woken.wait()
        await w.engine.journal.flush()
        await clock.advance(10)
        assert (await w.end(suspect))["type"] == "completed"
