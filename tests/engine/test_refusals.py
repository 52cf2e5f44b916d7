"""What cannot be stored for its content fails what led to it, with a code, and no run goes on for ever."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from infraweave import Concurrency, Retry, Workflow
from infraweave.errors import Unstorable
from tests.engine.conftest import beat

#: What SQLite takes here of a text or a row; without it there would have to be gigabytes.
MOST = 50_000
LARGE = "x" * 30_000


async def limited(w):
    await w.engine.db.transact(lambda file: file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST))
    return w


async def seqs(w, run):
    return [event["seq"] for event in await w.events(run)]


async def failed(w, run, node=None):
    """Wait for the end of a run that fails so, and return its last event."""
    end = await w.end(run)
    assert end["type"] == "failed"
    assert (end["error"]["code"], end["error"]["node"]) == ("unstorable", node)
    assert "cannot be stored: string or blob too big" in end["error"]["message"]
    assert await seqs(w, run) == list(range(1, end["seq"] + 1))
    assert not w.engine.registry.live
    assert w.engine.slots.used == 0
    return end


def joining():
    """Two nodes whose outputs go into a row each, and not into one."""
    flow = Workflow("joining", version="v1")
    runs = []

    @flow.node
    async def left(input: dict) -> str:
        runs.append("left")
        return LARGE

    @flow.node
    async def right(left: str) -> str:
        runs.append("right")
        return LARGE

    @flow.node
    async def both(left: str, right: str) -> str:
        runs.append("both")
        return left + right

    return flow, runs


async def test_parameters_that_are_too_large_together_fail_the_node_that_led_to_them(world, caplog):
    flow, runs = joining()
    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow)
        await failed(w, run, "right")
        assert runs == ["left", "right"]  # nothing was tried again
        assert await w.told(run) == [
            *("status_changed running", "node_started left", "node_completed left", "node_started right"),
            *("node_failed right unstorable", "status_changed failed", "failed"),
        ]
    (told,) = [record for record in caplog.records if "cannot be stored" in record.getMessage()]
    assert run.run_id in told.getMessage()
    assert told.exc_info is not None


async def test_the_end_stands_after_a_restart(world):
    flow, runs = joining()
    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow)
        end = await failed(w, run, "right")
    async with world(flow) as w:
        assert (await w.events(run))[-1] == end
        assert runs == ["left", "right"]


async def test_a_result_that_is_too_large_fails_the_node_that_made_it_whole(world):
    flow = Workflow("sinks", version="v1")

    @flow.node
    async def one() -> str:
        return LARGE

    @flow.node(after=[one])
    async def two() -> str:
        return LARGE

    @flow.node
    async def three() -> str:
        return LARGE

    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow)
        end = await w.end(run)
        assert (end["type"], end["error"]["code"]) == ("failed", "unstorable")


async def test_the_results_of_a_map_that_are_too_large_together_fail_it(world):
    flow = Workflow("many", version="v1")

    @flow.map(over="input.items", max_concurrency=1)
    async def each(item: int) -> str:
        return "x" * 8_000

    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow, {"items": list(range(10))})
        end = await w.end(run)
        assert (end["type"], end["error"]["node"]) == ("failed", "each")
        assert await seqs(w, run) == list(range(1, end["seq"] + 1))


async def test_a_start_that_cannot_be_stored_is_refused_and_leaves_nothing(world):
    flow, _ = joining()
    async with world(flow, max_running=1) as w:
        await limited(w)
        for _ in range(3):
            with pytest.raises(Unstorable):
                await w.start(flow, {"text": "x" * MOST})
        assert not w.engine.registry.live
        assert await w.engine.runs.counts() == {}
        await failed(w, await w.start(flow), "right")


async def test_of_many_starts_only_the_one_that_cannot_be_stored_is_refused(world):
    flow = Workflow("echo", version="v1")

    @flow.node
    async def echo(input: dict) -> int:
        return len(input["text"])

    async with world(flow) as w:
        await limited(w)
        starts = [w.start(flow, {"text": "x" * size}) for size in (1, MOST, 2)]
        small, large, other = await asyncio.gather(*starts, return_exceptions=True)
        assert isinstance(large, Unstorable)
        assert [(await w.end(run))["result"] for run in (small, other)] == [1, 2]


async def test_a_signal_that_leads_to_what_cannot_be_stored_is_refused_and_the_run_fails(world):
    flow = Workflow("asking", version="v1")

    @flow.node
    async def before() -> str:
        return LARGE

    flow.signal("word", schema={"type": "string"}, after=[before])

    @flow.node
    async def after(before: str, word: str) -> str:
        return before + word

    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow)
        await w.until(run, "node_started", node="word")
        with pytest.raises(Unstorable):
            await w.engine.service.signal(run, "word", "one", LARGE, by="story")
        await failed(w, run)
        assert "signal_received" not in str(await w.told(run))


async def test_what_cannot_be_undone_for_its_size_is_told_as_not_undone_and_the_rest_is_undone(world):
    flow = Workflow("undoing", version="v1")
    undone = []

    @flow.node
    async def first() -> str:
        return "small"

    @first.compensate
    async def undo_first(first: str) -> None:
        undone.append(first)

    @flow.node(after=[first])
    async def second(input: dict) -> str:
        return LARGE

    @second.compensate
    async def undo_second(second: str, input: dict) -> None:
        undone.append("second")

    @flow.node(after=[second], retry=None)
    async def third() -> None:
        raise ValueError("no")

    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow, {"text": LARGE})
        end = await w.end(run)
        assert (end["type"], end["error"]["node"], undone) == ("failed", "third", ["small"])
        assert (end["compensated"], end["not_compensated"]) == (["first"], ["second"])
        assert await seqs(w, run) == list(range(1, end["seq"] + 1))


@pytest.mark.parametrize("deep", [False, True])
async def test_a_child_whose_result_cannot_be_stored_fails_and_so_does_its_parent(world, deep):
    child = Workflow("child", version="v1")

    @child.node
    async def one() -> str:
        return LARGE

    @child.node
    async def two(one: str) -> str:
        return LARGE

    @child.node
    async def side() -> str:
        return "" if deep else LARGE

    if deep:

        @child.node
        async def both(one: str, two: str) -> str:
            return one + two

    parent = Workflow("parent", version="v1")

    @parent.subworkflow("child")
    async def calls() -> dict:
        return {}

    async with world(child, parent) as w:
        await limited(w)
        end = await w.end(await w.start(parent))
        assert (end["type"], end["error"]["code"]) == ("failed", "child_failed")
        assert "cannot be stored" in end["error"]["message"]
        await beat(w)
        assert not w.engine.registry.live


async def test_a_child_that_cannot_be_stored_fails_the_node_that_starts_it(world):
    child = Workflow("child", version="v1")

    @child.node
    async def one(input: dict) -> str:
        return ""

    parent = Workflow("parent", version="v1")

    @parent.subworkflow("child")
    async def calls(input: dict) -> dict:
        return {"text": input["text"] * 2}  # small enough for a node, and too large for a row

    async with world(child, parent) as w:
        await limited(w)
        run = await w.start(parent, {"text": LARGE})
        await failed(w, run)
        assert await w.engine.runs.counts() == {"failed": 1}


async def test_what_comes_after_a_refusal_leaves_no_hole_in_the_log(world, disk):
    flow = Workflow("beside", version="v1")
    go, gone = asyncio.Event(), asyncio.Event()

    @flow.node
    async def large() -> str:
        await go.wait()
        return LARGE

    @flow.node
    async def with_input(large: str, input: dict) -> None:
        pass

    @flow.node(retry=Retry(max_attempts=3))
    async def beside() -> None:
        await go.wait()
        gone.set()

    async with world(flow) as w:
        await limited(w)
        run = await w.start(flow, {"text": LARGE})
        await w.at_work(run, node="beside")
        disk.clear()
        go.set()
        await gone.wait()
        await asyncio.sleep(0)
        disk.set()
        await failed(w, run, "large")


async def test_a_limit_counts_no_run_whose_start_or_end_was_refused(world):
    flow = Workflow("one-at-a-time", version="v1", concurrency=Concurrency(1, when_full="reject"))

    @flow.node
    async def one(input: dict) -> str:
        return LARGE if input else ""

    @flow.node(after=[one])
    async def two(input: dict) -> str:
        return LARGE if input else ""

    @flow.node
    async def three(one: str, two: str) -> None:
        pass

    async with world(flow) as w:
        await limited(w)
        for _ in range(2):
            with pytest.raises(Unstorable):
                await w.start(flow, {"text": "x" * MOST})
        await failed(w, await w.start(flow, {"text": "x"}), "two")
        assert (await w.end(await w.start(flow, {})))["type"] == "completed"
        (group,) = w.engine.admission._groups.values()
        assert (group.open, group.reserved, group.pending) == (0, 0, 0)
