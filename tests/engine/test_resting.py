"""What long histories and wide runs cost: nothing is looked through again for each thing that arrives."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from infraweave import Context, Retry, Workflow
from infraweave.engine.runs import idle_cache, inspection
from infraweave.engine.runs.live_run import LiveRun
from infraweave.store.journal import Journal


async def naps(w, run, children: int) -> None:
    """Let time pass until so many children have ended and everything is at rest."""
    done = 0
    while done < children or w.engine.registry.live:
        await w.clock.advance(30)
        await w.engine.db.ping()
        events = await w.events(run)
        done = sum(e["type"] == "node_completed" and "index" in e for e in events)


@pytest.fixture
def loads(monkeypatch) -> list[int]:
    """The runs that were folded."""
    found, load = [], Journal.load

    async def counted(journal, run_key, **more):
        found.append(run_key)
        return await load(journal, run_key, **more)

    monkeypatch.setattr(Journal, "load", counted)
    return found


def parent() -> tuple[Workflow, Workflow]:
    flow = Workflow("parent", version="v1", input={"type": "array"})

    @flow.map(over="input", subworkflow="child", max_concurrency=1)
    async def items(item: int) -> dict:
        return {}

    child = Workflow("child", version="v1")
    child.sleep("nap", "60s")
    return flow, child


async def test_a_parent_with_a_long_history_is_folded_once_for_many_children(world, loads, monkeypatch):
    monkeypatch.setattr(idle_cache, "LONG", 20)
    async with world(*parent()) as w, asyncio.timeout(20):
        run = await w.start("parent", list(range(40)))
        await naps(w, run, 40)
        assert (await w.end(run))["type"] == "completed"
        assert loads.count(run.run_key) < 20  # while it was short
        assert len(w.engine.registry.idle) == 0


async def test_what_is_kept_goes_on_where_it_was_after_a_restart_too(world, monkeypatch):
    monkeypatch.setattr(idle_cache, "LONG", 0)
    async with world(*parent()) as w, asyncio.timeout(20):
        run = await w.start("parent", [1, 2, 3])
        await naps(w, run, 2)
        assert run.run_key in [live.run_key for live in w.engine.registry.idle]
    async with world(*parent()) as w, asyncio.timeout(20):
        await naps(w, run, 3)
        assert (await w.end(run))["type"] == "completed"
        await w.engine.service.cancel(run, by="eve")
        events = await w.events(run)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def run(key: int, seq: int, size: int):
    return SimpleNamespace(run_key=key, state=SimpleNamespace(seq=seq), size=size)


def test_no_more_is_kept_than_may_be(monkeypatch):
    monkeypatch.setattr(idle_cache, "MAX_BYTES", 1_000)
    kept = idle_cache.IdleRunCache()
    kept.store(run(1, 10, 300))
    assert len(kept) == 0  # quickly folded again
    for key in (2, 3, 4, 5):
        kept.store(run(key, 250, 300))
    assert [live.run_key for live in kept] == [3, 4, 5]
    assert kept.pop(4).run_key == 4
    assert kept.pop(4) is None
    kept.store(run(6, 900, 900))
    assert [live.run_key for live in kept] == [6]
    kept.store(run(7, 500, 5_000))
    assert [live.run_key for live in kept] == [7]
    kept.pop(7)
    for key in (8, 9, 10):
        kept.store(run(key, 300, 300))
    assert len(kept) == 3


@pytest.mark.parametrize("taken_up", [False, True], ids=["as it ran", "taken up"])
async def test_runs_at_rest_are_weighed_by_what_was_sent_to_them(world, monkeypatch, taken_up):
    monkeypatch.setattr(idle_cache, "LONG", 0)
    monkeypatch.setattr(idle_cache, "MAX_BYTES", 500_000)
    flow = Workflow("flow", version="v1")
    flow.signal("word")
    async with world(flow) as w, asyncio.timeout(20):
        runs = [await w.start(flow, {"text": "x" * 200_000}) for _ in range(5)]
        for each in runs:
            await w.until(each, "node_started")
            while each.run_key in w.engine.registry.live:
                await w.clock.advance(0)
        if taken_up:
            w.engine.registry.idle.clear()
            for each in runs:
                async with w.engine.registry.pinned(each.run_key):
                    pass
            while w.engine.registry.live:
                await w.clock.advance(0)
        kept = list(w.engine.registry.idle)
        assert [live.run_key for live in kept] == [each.run_key for each in runs[-2:]]
        for live in kept:
            stored = await w.engine.journal.read(live.run_key, 0, 100)
            assert live.size == sum(one.size for one in stored)


async def test_many_failures_of_one_moment_cost_few_looks_at_all_that_is_open(world, monkeypatch):
    flow, looks, next_due = Workflow("wide", version="v1", input={"type": "array"}), [], LiveRun.next_due

    @flow.map(over="input", max_concurrency=300, retry=Retry(max_attempts=2, initial=1, jitter=False))
    async def items(item: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return item

    def counted(live):
        looks.append(live)
        return next_due(live)

    monkeypatch.setattr(LiveRun, "next_due", counted)
    async with world(flow) as w:
        run = await w.start("wide", list(range(300)))
        await w.until(run, "node_failed", index=299)
        await w.clock.advance(1)
        assert (await w.end(run))["result"] == list(range(300))
    assert len(looks) < 60


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """How many events each reading brought."""
    found, read = [], Journal.read

    async def counted(journal, run_key, after, limit, **more):
        page = await read(journal, run_key, after, limit, **more)
        found.append(len(page))
        return page

    monkeypatch.setattr(Journal, "read", counted)
    return found


def wide(items: int) -> Workflow:
    flow = Workflow("wide", version="v1", input={"type": "array"})

    @flow.map(over="input", max_concurrency=items)
    async def each(item: int) -> int:
        return item

    flow.signal("word", after=[each])
    return flow


async def test_a_long_history_that_is_looked_at_again_is_folded_from_where_it_was(world, reads):
    async with world(wide(200)) as w, asyncio.timeout(20):
        run = await w.start("wide", list(range(200)))
        await w.until(run, "node_started", node="word")
        first = await w.engine.service.inspect(run)
        assert first.state.nodes["word"].state == "waiting"
        reads.clear()
        await w.engine.service.signal(run, "word", "r1", {}, by="eve")
        await w.end(run)
        seen, folded = (
            await w.engine.service.inspect(run),
            await w.engine.journal.fold(run.run_key, run.run_id, payloads=False),
        )
        assert sum(reads) < 2 * 200 + 20  # of the one fold; not of two
        assert seen.state == folded


async def test_of_long_histories_that_were_looked_at_only_so_much_is_kept(world, monkeypatch):
    monkeypatch.setattr(inspection, "MAX_BYTES", 100_000)
    async with world(wide(100)) as w, asyncio.timeout(20):
        for _ in range(4):
            run = await w.start("wide", list(range(100)))
            await w.until(run, "node_started", node="word")
            await w.engine.service.inspect(run)
        await w.engine.service.inspect(await w.start("wide", []))  # short ones are not kept
        assert len(w.engine.service._inspections) == 2


async def test_who_look_at_one_time_see_the_same(world):
    async with world(wide(200)) as w, asyncio.timeout(20):
        run = await w.start("wide", list(range(200)))
        await w.until(run, "node_started", node="word")
        seen = await asyncio.gather(*(w.engine.service.inspect(run) for _ in range(5)))
        folded = await w.engine.journal.fold(run.run_key, run.run_id, payloads=False)
        assert all(one.state == folded for one in seen)
