"""Starts that wait for their time, and many starts in one commit."""

from __future__ import annotations

import asyncio

import pytest

from infraweave import Concurrency, Workflow
from infraweave.engine.runs.requests import Started, StartRequest
from infraweave.errors import (
    Capacity,
    IdempotencyMismatch,
    InputInvalid,
    StorageUnavailable,
    WorkflowNotFound,
)
from infraweave.store.runs import rebuild
from infraweave.testing.clock import BEGINNING
from tests.engine.conftest import TRACE

HOUR = 3_600_000


def quick(concurrency=()) -> Workflow:
    flow = Workflow("quick", version="v1", concurrency=concurrency, input={"type": "object"})

    @flow.node
    async def work(input: dict) -> int:
        return input.get("n", 0)

    return flow


def waiting(concurrency=()) -> Workflow:
    flow = Workflow("waits", version="v1", concurrency=concurrency)
    flow.human_input("approval", prompt="?", schema={})
    return flow


async def state(w, run) -> str:
    return (await w.engine.runs.get(run.run_id)).state


async def nothing_follows(w) -> None:
    for _ in range(3):
        await w.clock.advance(0)
        await w.engine.db.ping()


# --- delayed -----------------------------------------------------------------------------------------------


async def test_a_delayed_run_exists_at_once_holds_nothing_and_starts_at_its_time(world):
    async with world(quick()) as w:
        run = await w.start("quick", {"n": 7}, start_at=BEGINNING + HOUR)
        assert (run.state, run.started_at, run.start_at) == ("queued", None, BEGINNING + HOUR)
        await nothing_follows(w)
        assert (w.engine.registry.live, w.engine.admission.queued, w.engine.slots.used) == ({}, 0, 0)
        await w.clock.advance(3599)
        await nothing_follows(w)
        assert await state(w, run) == "queued"
        await w.clock.advance(1)
        assert (await w.end(run))["result"] == 7
        assert (await w.engine.runs.get(run.run_id)).started_at == BEGINNING + HOUR


async def test_the_past_means_now(world):
    async with world(quick()) as w:
        run = await w.start("quick", start_at=BEGINNING - 1)
        assert (run.state, run.start_at) == ("running", None)


async def test_a_delayed_run_survives_a_restart_whether_its_time_comes_before_or_after(world):
    async with world(quick()) as w:
        soon = await w.start("quick", start_at=BEGINNING + 1000)
        late = await w.start("quick", start_at=BEGINNING + HOUR)
    await w.clock.advance(10)
    async with world(quick()) as w:
        assert (await w.end(soon))["type"] == "completed"
        assert await state(w, late) == "queued"
        await w.clock.advance(3600)
        assert (await w.end(late))["type"] == "completed"


async def test_a_run_whose_time_has_come_is_lined_up_and_that_survives_a_restart(world):
    async with world(quick(), max_running=0) as w:
        run = await w.start("quick", start_at=BEGINNING + 1000)
        await w.clock.advance(1)
        while not w.engine.admission.queued:
            await w.engine.db.ping()
        await nothing_follows(w)
        assert await w.engine.wakeups._agenda.next_due() is None
    async with world(quick()) as w:
        assert (await w.end(run))["type"] == "completed"


async def test_a_delayed_run_can_be_cancelled_and_signalled(world):
    async with world(waiting()) as w:
        gone, kept = [await w.start("waits", start_at=BEGINNING + HOUR) for _ in range(2)]
        assert await w.engine.service.cancel(gone, by="eve")
        assert (await w.end(gone))["type"] == "cancelled"
        await w.engine.service.signal(kept, "approval", None, 1, by="eve")
        await nothing_follows(w)
        assert await state(w, kept) == "queued"
        await w.clock.advance(3600)
        assert (await w.end(kept))["result"] == 1
        assert await w.told(gone) == [
            "status_changed queued",
            "cancel_requested",
            "status_changed cancelled",
            "cancelled",
        ]


async def test_a_delayed_run_takes_its_place_in_a_lane_when_its_time_comes(world):
    async with world(waiting(Concurrency(1, when_full="reject"))) as w:
        later = await w.start("waits", start_at=BEGINNING + 1000)
        first = await w.start("waits")
        assert first.state == "running"
        await w.clock.advance(1)
        while not w.engine.admission.queued:
            await w.engine.db.ping()
        await w.engine.service.cancel(first, by="eve")
        await w.until(later, "input_requested")


async def test_a_thousand_delayed_runs_of_one_moment_all_start(world):
    async with world(quick(), max_running=20, max_queued=10) as w:
        runs = await asyncio.gather(*(w.start("quick", start_at=BEGINNING + 5000) for _ in range(1000)))
        await w.clock.advance(5)
        assert {(await w.end(run))["type"] for run in runs} == {"completed"}
        await nothing_follows(w)
        assert (w.engine.registry.live, w.engine.admission.queued, w.engine.slots.used) == ({}, 0, 0)


async def test_a_rebuilt_index_knows_times_and_lanes(world):
    limit = Concurrency(1, key="{input.n}")
    async with world(quick(limit)) as w:
        run = await w.start("quick", {"n": 3}, start_at=BEGINNING + HOUR)
        await w.engine.db.transact(lambda connection: connection.execute("DELETE FROM agenda").rowcount)
        assert await rebuild(w.engine.db) == []
        row = await w.engine.runs.get(run.run_id)
        assert (row.lane, row.start_at) == ("{input.n} = 3", BEGINNING + HOUR)
        assert await w.engine.wakeups._agenda.next_due() == BEGINNING + HOUR


# --- many --------------------------------------------------------------------------------------------------


def asked(workflow_id: str = "quick", **more) -> StartRequest:
    return StartRequest(tenant="default", by="story", workflow_id=workflow_id, trace=TRACE, **more)


async def test_many_starts_are_one_transaction_and_told_in_order(world):
    async with world(quick()) as w:
        commits = []
        w.engine.db.listen(lambda written: commits.append(sum(len(rows.runs) for rows in written)))
        outcomes = await w.engine.service.start_many([asked(input={"n": n}) for n in range(1000)])
        assert [count for count in commits if count] == [1000]
        for n in (0, 500, 999):
            assert (await w.end(outcomes[n].run))["result"] == n


async def test_a_refused_start_holds_up_no_other(world):
    async with world(quick(), waiting()) as w:
        outcomes = await w.engine.service.start_many(
            [asked(), asked("none"), asked(input=3), asked("waits", start_at=BEGINNING + HOUR)]
        )
        kinds = [o.run.state if isinstance(o, Started) else type(o) for o in outcomes]
        assert kinds == ["running", WorkflowNotFound, InputInvalid, "queued"]
        assert len(await w.engine.runs.list("default")) == 2


async def test_two_starts_with_one_key_make_one_run(world):
    async with world(quick()) as w:
        before = (await w.engine.service.start(asked(idempotency_key="old", body_digest="d"))).run
        first, again, other, known, fresh = await w.engine.service.start_many(
            [
                asked(idempotency_key="k", body_digest="d"),
                asked(idempotency_key="k", body_digest="d"),
                asked(idempotency_key="k", body_digest="e"),
                asked(idempotency_key="old", body_digest="d"),
                asked(),
            ]
        )
        assert (first.replayed, again.replayed, known.replayed, fresh.replayed) == (False, True, True, False)
        assert first.run.run_id == again.run.run_id
        assert known.run.run_id == before.run_id
        assert isinstance(other, IdempotencyMismatch)
        assert len(await w.engine.runs.list("default")) == 3


async def test_a_key_whose_first_start_was_refused_is_free_for_the_next_of_the_batch(world):
    async with world(quick()) as w:
        refused, made = await w.engine.service.start_many(
            [
                asked(input=3, idempotency_key="k", body_digest="d"),
                asked(idempotency_key="k", body_digest="e"),
            ]
        )
        assert isinstance(refused, InputInvalid)
        assert not made.replayed


async def test_batches_that_share_keys_and_single_starts_make_one_run_per_key(world):
    async with world(quick()) as w:
        requests = [asked(idempotency_key=f"k{n}", body_digest="d") for n in range(20)]
        batches = [requests, requests[::-1], requests[10:] + requests[:10]] * 3
        done = await asyncio.gather(
            *map(w.engine.service.start_many, batches),
            *(w.engine.service.start(request) for request in requests),
        )
        starts = [one for some in done for one in (some if isinstance(some, list) else [some])]
        assert len({start.run.run_id for start in starts}) == 20
        assert sum(not start.replayed for start in starts) == 20
        assert w.engine.service._starts._starting == {}


async def test_limits_and_the_queue_are_asked_for_each_of_many(world):
    flow = waiting([Concurrency(2, when_full="reject"), Concurrency(1, key="{input.customer_id}")])
    async with world(flow, quick(), max_running=3, max_queued=1) as w:
        requests = [asked("waits", input={"customer_id": name}) for name in "abbc"]
        outcomes = await w.engine.service.start_many([*requests, *[asked() for _ in range(3)]])
        kinds = [o.run.state if isinstance(o, Started) else type(o) for o in outcomes]
        # The workflow's limit refuses from the third on; one of the others is queued, then the queue is full.
        assert kinds == ["running", "running", Capacity, Capacity, "running", "queued", Capacity]


async def test_when_the_disk_fails_no_start_of_a_batch_is_told_as_done(world):
    async with world(quick()) as w:
        w.engine.db._writer._fail(OSError("gone"))
        with pytest.raises(StorageUnavailable):
            await w.engine.service.start_many([asked(), asked()])


async def test_what_json_cannot_carry_stops_a_batch_before_it_begins(world):
    async with world(quick()) as w:
        with pytest.raises(TypeError):
            await w.engine.service.start_many([asked(), asked(input={"n": "\ud800"})])
        assert await w.engine.runs.list("default") == []
