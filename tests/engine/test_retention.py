"""Retention in a running engine, on the clock: what has ended for long goes, and whoever looks is told."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from infraweave import Workflow
from infraweave.errors import RunNotFound
from infraweave.store.maintenance.verify import verify
from infraweave.store.retention import Retention, RetentionPolicy

DAY = 86_400.0


def tea() -> Workflow:
    flow = Workflow("tea", version="v1", input={"type": "object"})

    @flow.node
    def boil(input: dict) -> dict:
        return input

    return flow


def patient() -> Workflow:
    flow = Workflow("patient", version="v1", input={"type": "object"})
    flow.signal("go", schema={"type": "object"})
    return flow


async def finished(w, count=1):
    made = [await w.start("tea", {"n": n}) for n in range(count)]
    for run in made:
        await w.end(run)
    return made


async def gone(w, run):
    """Wait until a run is gone; portions are paused on the clock."""
    for _ in range(500):
        if not await w.engine.journal.last_seq(run.run_key):
            return True
        await w.clock.advance(0.02)
        await asyncio.sleep(0.002)
    return False


async def test_runs_go_thirty_days_after_their_end_and_open_ones_stay(world, db):
    async with world(tea(), patient()) as w:
        waiting = await w.start("patient")
        (old,) = await finished(w)
        await w.clock.advance(29 * DAY)
        assert await w.engine.runs.get(old.run_id)
        (young,) = await finished(w)
        await w.clock.advance(1.1 * DAY)
        assert await gone(w, old)
        assert await w.engine.runs.get(old.run_id) is None
        assert [row.run_id for row in await w.engine.runs.list("default")] == [young.run_id, waiting.run_id]
        assert list(verify(db)) == []


async def test_with_nothing_finished_no_timer_runs(world):
    async with world(patient()) as w:
        await w.start("patient")
        await asyncio.sleep(0)
        assert w.clock.next_due() is None


async def test_what_may_be_kept_for_ever_is_kept(world):
    async with world(tea(), keep=None) as w:
        (run,) = await finished(w)
        await w.clock.advance(9_000 * DAY)
        assert await w.engine.runs.get(run.run_id)


async def test_the_oldest_go_where_too_many_have_ended(world):
    async with world(tea(), keep_runs=2) as w:
        runs = await finished(w, 5)
        await w.clock.advance(61)
        assert await gone(w, runs[0])
        left = {row.run_id for row in await w.engine.runs.list("default")}
        assert len(left) == 2


async def test_a_run_that_is_being_removed_is_not_found(world):
    """Whoever had its row before finds no end in its history, and must not take it up again."""
    async with world(tea(), keep=None) as w:
        (run,) = await finished(w)
        row = await w.engine.runs.get(run.run_id)
        await w.engine.db.transact(
            lambda connection: connection.execute(
                "DELETE FROM events WHERE run_key = ? AND seq > 2", (row.run_key,)
            )
        )
        for ask in (
            w.engine.service.inspect(row),
            w.engine.service.signal(row, "x", None, {}, by="story"),
            w.engine.service.cancel(row, by="story"),
        ):
            with pytest.raises(RunNotFound, match=run.run_id):
                await ask
        assert row.run_key not in w.engine.registry.live


async def test_waiting_for_the_end_of_a_run_that_is_gone_ends(world):
    async with world(tea(), keep=None) as w:
        (run,) = await finished(w)
        await Retention(w.engine.db).sweep(RetentionPolicy(age=0), w.clock.now())
        assert await w.engine.service.wait_end(run.run_key)


async def test_an_idempotency_key_lives_as_long_as_its_run(world):
    async with world(tea(), keep=None) as w:
        first = await w.start("tea", {}, idempotency_key="k", body_digest="d")
        await w.end(first)
        assert (await w.start("tea", {}, idempotency_key="k", body_digest="d")).run_id == first.run_id
        await Retention(w.engine.db).sweep(RetentionPolicy(age=0), w.clock.now())
        assert (await w.start("tea", {}, idempotency_key="k", body_digest="d")).run_id != first.run_id


async def test_runs_go_on_and_are_read_while_others_are_removed(world, db):
    """Nobody sees half a run: it is there whole, or it is not found."""
    async with world(tea(), keep=None) as w:
        runs = await finished(w, 40)
        rows = [await w.engine.runs.get(run.run_id) for run in runs]
        seen, over = [], asyncio.Event()

        async def look():
            for row in itertools.cycle(rows):
                if over.is_set():
                    return
                await asyncio.sleep(0)  # a short log is read without suspending
                try:
                    seen.append((await w.engine.service.inspect(row)).state.end is not None)
                except RunNotFound:
                    seen.append(None)
                await asyncio.sleep(0)  # a look may need no wait at all

        looking = asyncio.create_task(look())
        for row in range(len(rows)):
            await Retention(w.engine.db).sweep(
                RetentionPolicy(runs=len(rows) - 1 - row), w.clock.now(), _turn
            )
            await finished(w)
        over.set()
        await looking
        assert False not in seen
        assert {True, None} <= set(seen)
        assert list(verify(db)) == []


async def _turn():
    await asyncio.sleep(0)
