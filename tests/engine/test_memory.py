"""What runs leave behind in memory: nothing that only the collector of cycles would find."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import contextmanager

import pytest

from infraweave import Context, NonRetryable, Retry, Workflow
from tests.engine.conftest import beat

#: Runs of each kind of story; a thousand in all.
RUNS = 100
SOON = Retry(max_attempts=2, initial=0.001, jitter=False)


@contextmanager
def counted_garbage():
    """Collect nothing within the block, and then count, by class, what only the collector could free."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def plain() -> Workflow:
    flow = Workflow("plain", version="v1")

    @flow.node
    async def first(input: dict) -> dict:
        return input

    @flow.node
    def second(first: dict) -> dict:
        return first

    return flow


def failing() -> Workflow:
    flow = Workflow("failing", version="v1")

    @flow.node
    async def done() -> int:
        return 1

    @done.compensate
    async def undone(done: int) -> None: ...

    @flow.node(retry=SOON)
    async def again(done: int, ctx: Context) -> None:
        raise ValueError(f"no, and no ({ctx.attempt})")

    return flow


def refusing() -> Workflow:
    flow = Workflow("refusing", version="v1")

    @flow.node
    def never() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise NonRetryable("outer") from error

    return flow


def late() -> Workflow:
    flow = Workflow("late", version="v1")

    @flow.node(timeout="1ms", retry=None)
    async def waits() -> None:
        await asyncio.Event().wait()

    return flow


def mapping() -> Workflow:
    flow = Workflow("mapping", version="v1")

    @flow.node
    async def items() -> list[int]:
        return [1, 2, 3]

    @flow.map(over="items", max_concurrency=2)
    async def each(item: int) -> int:
        return item

    return flow


def looping() -> Workflow:
    flow = Workflow("looping", version="v1")

    @flow.node
    async def draft() -> int:
        return 1

    @flow.repeat(back_to=draft, max_iterations=3, on_exhausted="continue")
    def more(draft: int) -> bool:
        return True

    return flow


def parent() -> Workflow:
    flow = Workflow("parent", version="v1")

    @flow.subworkflow("plain")
    def child(input: dict) -> dict:
        return input

    return flow


def bereft() -> Workflow:
    flow = Workflow("bereft", version="v1")

    @flow.subworkflow("refusing")
    def child(input: dict) -> dict:
        return input

    return flow


def asking() -> Workflow:
    flow = Workflow("asking", version="v1")

    @flow.human_input(schema={"type": "object"}, timeout="1ms", on_timeout={})
    def person() -> str:
        return "?"

    return flow


def sleeping() -> Workflow:
    flow = Workflow("sleeping", version="v1")
    flow.sleep("nap", 0.001)
    return flow


def calling() -> Workflow:
    flow = Workflow("calling", version="v1")
    flow.http("call", url="http://127.0.0.1:1/", retry=SOON)  # refused: nobody has allowed that address
    return flow


def endless() -> Workflow:
    flow = Workflow("endless", version="v1")

    @flow.node
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)

    return flow


KINDS = (plain, failing, refusing, late, mapping, looping, parent, bereft, asking, sleeping, calling, endless)


async def end_many(w, flow: Workflow, times: int) -> None:
    """Start so many runs, more at once than there are slots for, and bring them to their ends."""
    runs = [await w.start(flow, {"n": 1}) for _ in range(times)]
    for run in runs if flow.workflow_id == "endless" else ():
        await w.engine.service.cancel(run, by="story")
    waiting = asyncio.gather(*(w.engine.service.wait_end(run.run_key) for run in runs))
    while not waiting.done():
        await w.clock.advance(1)
        await beat(w)
    await waiting
    await beat(w)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_ended_runs_leave_nothing_that_only_a_collector_would_find(world, kind):
    flow, others = kind(), [other() for other in (plain, refusing) if other is not kind]
    async with world(flow, *others, max_running=10) as w:
        await end_many(w, flow, 3)
        with counted_garbage() as garbage:
            await end_many(w, flow, RUNS)
        assert not w.engine.registry.live
        # A run that hangs in a circle is some thirty objects.
        assert sum(garbage.values()) < RUNS, garbage.most_common(10)
