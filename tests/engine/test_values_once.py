"""A value is kept once on disk, and in memory only while something can still ask for it."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from infraweave import Retry, Workflow

LARGE = "x" * 100_000


def failing(attempts):
    flow = Workflow("failing", version="v1")
    given = []

    @flow.node(retry=Retry(max_attempts=attempts, initial=0, jitter=False))
    async def works(input: dict) -> str:
        given.append(len(input["text"]))
        raise ValueError("no")

    return flow, given


def stored(db):
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as file:
        ((size,),) = file.execute("SELECT sum(length(coalesce(payload, ''))) FROM events")
    file.close()
    return size


async def ended(w, run):
    end = asyncio.ensure_future(w.end(run))
    while not end.done():
        await w.clock.advance(0.01)
    return end.result()


async def test_what_many_attempts_are_given_is_stored_once_and_told_of_each(world, db):
    flow, given = failing(20)
    async with world(flow) as w:
        run = await w.start(flow, {"text": LARGE})
        assert (await ended(w, run))["type"] == "failed"
        assert given == [100_000] * 20
        events = [event for event in await w.events(run) if event["type"] == "node_started"]
        assert [event["input"]["input"]["text"] for event in events] == [LARGE] * 20
        assert all("input_seq" not in event for event in events)
    assert stored(db) < 300_000


async def test_a_page_that_begins_with_a_later_attempt_tells_what_that_was_given(world):
    flow, _ = failing(5)
    async with world(flow) as w:
        run = await w.start(flow, {"text": LARGE})
        await ended(w, run)
        third = next(event for event in await w.events(run) if event.get("attempt") == 3)
        (event, *_) = await w.events(run, third["seq"] - 1)
        assert event["input"]["input"]["text"] == LARGE


async def test_a_follower_of_a_live_run_is_told_what_each_attempt_was_given(world):
    flow, _ = failing(4)
    async with world(flow) as w:
        run = await w.start(flow, {"text": "short"})
        end = asyncio.ensure_future(ended(w, run))
        told = []
        async with w.engine.journal.follow(run.run_key) as follower:
            async for page in follower:
                told += [s.beside() for s in page if s.type == "node_started"]
        await end
        assert told == [{"input": {"input": {"text": "short"}}}] * 4


async def test_an_attempt_after_a_restart_is_given_the_same(world, db):
    flow, given = failing(3)
    async with world(flow) as w:
        run = await w.start(flow, {"text": LARGE})
        await w.until(run, "node_failed", attempt=1)
        w.engine.abandon()
    async with world(flow) as w:
        await ended(w, run)
        assert given == [100_000] * 3
        rows = [
            event["input"]["input"]["text"]
            for event in await w.events(run)
            if "attempt" in event and "input" in event
        ]
        assert rows == [LARGE] * 3
    assert stored(db) < 300_000


async def test_what_an_attempt_is_given_anew_is_stored_anew(world):
    """In a race, more may be there at the second attempt."""
    flow = Workflow("race", version="v1")
    slow, first = asyncio.Event(), []

    @flow.node
    async def quick() -> str:
        return "quick"

    @flow.node
    async def other() -> str:
        await slow.wait()
        return "other"

    @flow.node(join="any", retry=Retry(max_attempts=2, initial=1, jitter=False))
    async def wins(quick: str | None = None, other: str | None = None) -> list:
        first.append((quick, other))
        if len(first) == 1:
            raise ValueError("again")
        return [quick, other]

    async with world(flow) as w:
        run = await w.start(flow)
        await ended(w, run)
        inputs = [
            e["input"] for e in await w.events(run) if e["type"] == "node_started" and e["node"] == "wins"
        ]
        assert inputs == [{"quick": "quick"}] * 2


def looping(iterations, *, compensated):
    flow = Workflow("looping", version="v1")
    undone = []

    @flow.node
    async def makes(again: bool = False) -> str:
        return LARGE

    if compensated:

        @makes.compensate
        async def undo(makes: str) -> None:
            undone.append(len(makes))

    @flow.repeat(back_to=makes, max_iterations=iterations + 1)
    async def again(makes: str) -> bool:
        looping.turn += 1
        return looping.turn < iterations

    @flow.node(after=[again], retry=None)
    async def last() -> None:
        raise ValueError("no")

    looping.turn = 0
    return flow, undone


@pytest.mark.parametrize("compensated", [False, True])
async def test_a_loop_keeps_of_its_iterations_what_a_compensation_can_ask_for(world, compensated):
    flow, undone = looping(30, compensated=compensated)
    async with world(flow) as w:
        run = await w.start(flow)
        most = 0
        end = asyncio.ensure_future(w.end(run))
        while not end.done():
            for live in w.engine.registry.live.values():
                most = max(most, len(live.state.kept))
            await asyncio.sleep(0)
        assert (await end)["type"] == "failed"
        assert undone == ([100_000] * 30 if compensated else [])
        assert most >= 30 if compensated else most == 0


async def test_a_signal_that_was_taken_is_kept_as_its_digest_and_the_same_again_is_still_the_same(world):
    flow = Workflow("told", version="v1")
    flow.signal("word", schema={"type": "string"})
    flow.sleep("nap", "1h", after=["word"])
    async with world(flow) as w:
        run = await w.start(flow)
        await w.until(run, "node_started", node="word")
        assert not (await w.engine.service.signal(run, "word", "one", LARGE, by="story")).duplicate
        assert (await w.engine.service.signal(run, "word", "one", LARGE, by="story")).duplicate
        async with w.engine.registry.pinned(run.run_key) as live:
            assert LARGE not in repr(live.state.delivered)
