"""Threads of sync bodies: who gets one next, and what becomes of one that does not come back."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future

import pytest

from infraweave import Context, Retry, Workflow
from infraweave.engine.execution.thread_pool import ThreadPool


@pytest.fixture
def threads():
    made = []

    def make(count: int, spare: int = 0) -> ThreadPool:
        made.append(ThreadPool(count, spare, "test"))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()


class Door:
    """A call that stays inside until it is let out."""

    def __init__(self) -> None:
        self.inside, self.out = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.inside.set()
        assert self.out.wait(20)
        return "out"


def occupied(pool: ThreadPool, count: int) -> list[tuple[Door, Future]]:
    doors = [Door() for _ in range(count)]
    calls = [(door, pool.submit("busy", door)) for door in doors]
    for door in doors:
        assert door.inside.wait(20)
    return calls


def test_the_next_free_thread_is_another_tenants_turn(threads):
    pool, order = threads(1), []
    ((door, _),) = occupied(pool, 1)
    calls = [pool.submit("many", lambda n=n: order.append(f"many {n}")) for n in range(5)]
    calls.append(pool.submit("few", lambda: order.append("few")))
    door.out.set()
    for call in calls:
        call.result(20)
    assert order[:3] == ["many 0", "few", "many 1"]


def test_a_call_that_was_withdrawn_costs_nobody_a_turn(threads):
    pool, order = threads(1), []
    ((door, _),) = occupied(pool, 1)
    gone = [pool.submit("many", lambda: order.append("gone")) for _ in range(3)]
    last = pool.submit("many", lambda: order.append("last"))
    assert all(call.cancel() for call in gone)
    door.out.set()
    last.result(20)
    assert order == ["last"]


def test_no_more_threads_than_wanted_work_at_once(threads):
    pool = threads(3)
    calls = occupied(pool, 3)
    waiting = pool.submit("other", lambda: "served")
    assert (pool.busy, pool.queued) == (3, 1)
    for door, _ in calls:
        door.out.set()
    assert waiting.result(20) == "served"


def test_lost_threads_are_replaced_up_to_a_bound_and_counted_until_they_are_back(threads):
    pool = threads(2, spare=1)
    calls = occupied(pool, 2)
    waiting = Door()
    served = pool.submit("other", waiting)
    assert pool.mark_lost(calls[0][1]) is not None
    assert waiting.inside.wait(20)
    assert pool.mark_lost(calls[1][1]) is not None
    assert pool.mark_lost(calls[1][1]) is None  # it is lost already
    assert (pool.lost, pool.can_replace, pool.busy) == (2, False, 3)
    beyond = pool.submit("other", lambda: "later")
    for door, future in calls:
        door.out.set()
        assert future.result(20) == "out"
    assert pool.lost == 0
    waiting.out.set()
    assert (served.result(20), beyond.result(20)) == ("out", "later")
    assert pool.mark_lost(served) is None


def test_what_a_call_raises_reaches_who_waits_for_it(threads):
    def fail() -> None:
        raise SystemExit(3)

    pool = threads(1)
    assert isinstance(pool.submit("one", fail).exception(20), SystemExit)
    assert pool.submit("one", lambda: "still there").result(20) == "still there"


def test_after_a_shutdown_nothing_more_begins(threads):
    pool = threads(1)
    ((door, running),) = occupied(pool, 1)
    waiting = pool.submit("busy", lambda: None)
    pool.shutdown()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="has stopped"):
        pool.submit("busy", lambda: None)
    door.out.set()
    assert running.result(20) == "out"


# --- with runs ---------------------------------------------------------------------------------------------


async def test_the_bodies_of_one_tenant_do_not_hold_up_anothers(world):
    flow, order = Workflow("fair", version="v1"), []
    release, inside = threading.Event(), threading.Event()

    @flow.node
    def work(input: dict) -> None:
        order.append(input["name"])
        inside.set()
        assert release.wait(20)

    async with world(flow, threads=1) as w:
        first = await w.start(flow, {"name": "first"}, tenant="many")
        await asyncio.to_thread(inside.wait, 20)
        many = [await w.start(flow, {"name": "many"}, tenant="many") for _ in range(5)]
        for run in many:
            await w.explained(run, "waits for a free thread")
        few = await w.start(flow, {"name": "few"}, tenant="few")
        await w.explained(few, "waits for a free thread")
        release.set()
        for run in (first, *many, few):
            await w.end(run)
    assert order.index("few") == 2  # one of the many was the next, then came the other tenant


def endless(retry: Retry | None) -> tuple[Workflow, threading.Event, list[int]]:
    """A node whose first body does not return, whatever it is told."""
    flow, release, calls = Workflow("endless", version="v1"), threading.Event(), []

    @flow.node(timeout="5s", retry=retry)
    def stuck(ctx: Context) -> int:
        calls.append(ctx.attempt)
        if ctx.attempt == 1:
            assert release.wait(20)
        return ctx.attempt

    return flow, release, calls


async def test_a_body_that_never_returns_does_not_keep_its_run_open(world, caplog):
    flow, release, calls = endless(Retry(max_attempts=3, initial=0, jitter=False))
    async with world(flow, threads=1, stuck_after=60.0) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        await w.until(run, "node_started", attempt=2)
        while (await w.engine.runs.get(run.run_id)).finished_at is None:
            await w.clock.advance(60)  # the second attempt begins to wait at some time after its event
        error = (await w.end(run))["error"]
        assert (error["code"], error["attempt"]) == ("body_stuck", 2)
        assert error["message"] == "The body of an earlier attempt has not returned within 1m"
        release.set()
    assert calls == [1]


async def test_a_lost_thread_is_told_and_replaced_until_it_is_back(world, caplog):
    flow, release, _ = endless(None)
    other = Workflow("other", version="v1")
    other.node(lambda: "served", name="work")
    async with world(flow, other, threads=1, grace=5.0) as w:
        run = await w.start(flow)
        await w.at_work(run)
        waiting = await w.start(other)
        await w.explained(waiting, "waits for a free thread")
        await w.clock.advance(5)
        assert (await w.end(run))["error"]["code"] == "timeout"
        assert w.engine.workers.threads.lost == 0
        await w.clock.advance(5)
        assert (await w.end(waiting))["result"] == "served"
        assert w.engine.workers.threads.lost == 1
        release.set()
        while w.engine.workers.orphans:
            await w.engine.runs.counts()
        assert w.engine.workers.threads.lost == 0
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.getMessage().startswith(f"{run.run_id} stuck attempt 1 has not returned")
    assert " in stuck < " in told.getMessage()


async def test_a_retry_waits_for_a_body_that_is_late_and_not_stuck(world):
    flow, release, calls = endless(Retry(max_attempts=2, initial=0, jitter=False))
    async with world(flow, stuck_after=60.0) as w:
        run = await w.start(flow)
        await w.at_work(run)
        await w.clock.advance(5)
        await w.until(run, "node_started", attempt=2)
        await w.clock.advance(59)
        release.set()
        assert (await w.end(run))["result"] == 2
    assert calls == [1, 2]


async def test_the_timeout_of_a_body_that_blocked_the_loop_counts(world):
    flow = Workflow("blocking", version="v1")

    async with world(flow_that_blocks(flow, lambda: w.clock)) as w:
        error = (await w.end(await w.start(flow)))["error"]
    assert (error["code"], error["message"]) == ("timeout", "No result within 5s")


def flow_that_blocks(flow: Workflow, clock) -> Workflow:
    @flow.node(timeout="5s", retry=None)
    async def blocks() -> str:
        clock()._now += 6_000  # time passes, and nothing that is due can happen
        return "late"

    return flow
