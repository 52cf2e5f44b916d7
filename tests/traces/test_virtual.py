"""Real workflow traces on the virtual clock: every task once, in order, and not a millisecond wasted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from infraweave import Context, Workflow
from infraweave.core.data import json_codec
from infraweave.engine.clock import sleep
from infraweave.engine.engine import Engine
from infraweave.settings import Settings
from tests.engine.conftest import World
from tests.traces.instances import Trace, check, each_trace, needs_traces, read

pytestmark = needs_traces

#: So that no task takes longer than the alarm sleeps in one go.
SCALE = 0.1
RUNS, SLOTS = 5, 2


@pytest.fixture
def opened(clock, db):
    @asynccontextmanager
    async def opening(*workflows: Workflow, **settings):
        async with Engine.open(db, workflows, clock=clock, settings=Settings(grace=0, **settings)) as engine:
            yield World(engine, clock)

    return opening


class Watched:
    """A run of a trace that begins ``offset`` milliseconds after the test, and what was seen of it."""

    def __init__(self, trace: Trace, offset: int, pages) -> None:
        self.trace, self.offset, self._pages = trace, offset, pages
        self.started, self.completed, self.ended = set(), set(), False

    def running(self, at: int) -> set[str]:
        """Return the tasks that are under way then."""
        ends = self.trace.finishes
        return {
            t.name
            for t in self.trace.tasks
            if self.trace.begins(t) + self.offset <= at < ends[t.name] + self.offset
        }

    async def until(self, at: int) -> None:
        """Wait until all that is due by then has happened."""
        ends = {name for name, end in self.trace.finishes.items() if end + self.offset <= at}
        begins = {t.name for t in self.trace.tasks if self.trace.begins(t) + self.offset <= at}
        is_over = len(ends) == len(self.trace.tasks)
        while not (self.completed >= ends and self.started >= begins and self.ended >= is_over):
            for stored in await anext(self._pages):
                self._see(json_codec.loads(stored.line("")))
        assert (self.completed, self.started, self.ended) == (ends, begins, is_over)

    def _see(self, event: dict) -> None:
        match event["type"]:
            case "node_started":
                self.started.add(event["node"])
            case "node_completed":
                self.completed.add(event["node"])
            case "completed":
                self.ended = True


async def play(world: World, runs: Sequence, trace: Trace, offsets: Sequence[int], is_set: Callable) -> None:
    """Turn the clock from one end of a task to the next; look each time that what is due has happened.

    ``is_set(watched, due)`` tells whether everything that will happen next has been set on the clock.
    """
    beginning = world.clock.now()
    async with AsyncExitStack() as stack:
        watched = []
        for run, offset in zip(runs, offsets, strict=True):
            follower = await stack.enter_async_context(world.engine.journal.follow(run.run_key))
            watched.append(Watched(trace, offset, aiter(follower)))
        ends = sorted({end + one.offset for one in watched for end in one.trace.finishes.values()} | {0})
        for at in ends:
            async with asyncio.timeout(30):
                while at and not is_set(watched, world.clock.now() - beginning, at):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await world.clock.advance((beginning + at - world.clock.now()) / 1000)
                for one in watched:
                    await one.until(at)


@each_trace
async def test_a_trace_of_timers_takes_exactly_its_critical_path(opened, file):
    trace = read(file, SCALE)
    async with opened() as world:
        await world.engine.catalog.publish("default", trace.document(), activate=True)
        beginning = world.clock.now()
        run = await world.start(trace.workflow_id)

        def alarm_is_set(watched, now, at):
            return world.clock.next_due() == beginning + at

        await play(world, [run], trace, [0], alarm_is_set)
        await world.end(run)
        check(trace, await world.events(run))
        row = await world.engine.runs.get(run.run_id)
        assert row.finished_at - row.started_at == trace.critical_path


@each_trace
async def test_traces_of_bodies_share_slots_and_each_takes_its_critical_path(opened, clock, file):
    trace = read(file, SCALE)
    asleep: set[tuple[str, str]] = set()
    async with opened(bodies(trace, clock, asleep), max_running=SLOTS) as world:
        runs = [await world.start(trace.workflow_id) for _ in range(RUNS)]
        by_id = [run.run_id for run in runs]
        offsets = [place // SLOTS * trace.critical_path for place in range(RUNS)]

        def all_asleep(watched, now, at):
            due = {(by_id[i], name) for i, one in enumerate(watched) for name in one.running(now)}
            return asleep >= due

        await play(world, runs, trace, offsets, all_asleep)
        for run, offset in zip(runs, offsets, strict=True):
            await world.end(run)
            check(trace, await world.events(run))
            row = await world.engine.runs.get(run.run_id)
            assert row.started_at - row.created_at == offset
            assert row.finished_at - row.started_at == trace.critical_path


def bodies(trace: Trace, clock, asleep: set) -> Workflow:
    """Return a trace as a workflow whose nodes sleep on the clock, and say that they do."""
    flow = Workflow(trace.workflow_id, version="v1")

    def declare(task):
        async def body(ctx: Context) -> None:
            asleep.add((ctx.run_id, task.name))
            await sleep(clock, task.ms / 1000)

        flow.node(name=task.name, after=task.parents)(body)

    for task in trace.tasks:
        declare(task)
    return flow
