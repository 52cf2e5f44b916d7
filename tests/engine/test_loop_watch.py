"""Who holds the event loop is named, with where, and again when it ends."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time

import pytest

from infraweave import Workflow
from infraweave.core.run.address import Address
from infraweave.engine import loop_watch
from infraweave.engine.clock import SystemClock
from infraweave.engine.execution.context import CURRENT_BODY, RunContext
from infraweave.engine.loop_watch import LoopWatch
from tests.crash.server import Process

FLOW = """
import asyncio
import time
from pathlib import Path

from infraweave import Workflow

flow = Workflow("blocking", version="v1", input={"type": "object"})


@flow.node(retry=None)
async def polite(input: dict) -> None:
    await asyncio.sleep(0.3)


@flow.node(retry=None)
async def blocks(polite: None, input: dict) -> None:
    while not Path(input["go"]).exists():
        time.sleep(0.01)


@flow.node(retry=None)
async def helped(blocks: None, input: dict) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(helper())


async def helper() -> None:
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pass
"""


@pytest.fixture
def process(tmp_path):
    (tmp_path / "flows.py").write_text(FLOW)
    server = Process(tmp_path)
    yield server
    server.kill()


async def test_a_body_that_holds_the_loop_is_named_with_its_run_and_its_place(process, tmp_path):
    go = tmp_path / "go"
    async with process.start() as client:
        run = await client.start("blocking", {"go": str(go)})
        await asyncio.to_thread(process.await_words, "has held the event loop")
        go.touch()
        await asyncio.to_thread(process.await_words, f"{run.run_id} blocks attempt 1 held the event loop")
        await run.result()
        await asyncio.to_thread(process.await_words, f"{run.run_id} helped attempt 1 held the event loop")
    said = process.said()
    assert f"{run.run_id} blocks attempt 1 has held the event loop" in said
    assert re.search(r"flows\.py:\d+ in blocks", said)
    assert f"{run.run_id} helped attempt 1 has held the event loop" in said
    assert " in helper" in said
    assert "polite attempt 1 holds" not in said


class Turned:
    """A clock that a test turns."""

    now = 0.0

    def elapsed(self) -> float:
        return self.now


class Held:
    """A loop in a thread, in which a callback stands still until it is let go."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def hold(self, body: RunContext | None) -> None:
        def stand() -> None:
            CURRENT_BODY.set(body)
            self.inside.set()
            assert self.go.wait(20)

        self.loop.call_soon_threadsafe(stand)
        assert self.inside.wait(20)

    def frame(self):
        return loop_watch.sys._current_frames()[self.thread.ident]

    def end(self) -> None:
        self.go.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@pytest.fixture
def held():
    one = Held()
    yield one
    one.end()


def test_what_is_no_body_may_hold_the_loop_longer_before_it_is_told(held, caplog):
    clock = Turned()
    watch = LoopWatch(clock, 0.1)
    held.hold(None)
    for seconds in (0.0, 0.05, 0.5, 0.9):
        clock.now = seconds
        watch.sample(held.frame())
    assert caplog.messages == []
    clock.now = 1.0
    watch.sample(held.frame())
    watch.sample(held.frame())
    clock.now = 3.0
    watch.sample(None)
    first, last = caplog.messages
    assert first.startswith("Code that is not a body has held the event loop for 1.0 s")
    assert " in stand < " in first
    assert last == "Code that is not a body held the event loop for 3.0 s"


def test_a_body_is_told_once_it_has_held_the_loop_for_so_long(held, caplog):
    clock, context = Turned(), RunContext("run_1", None, Address("work"), 2)
    watch = LoopWatch(clock, 0.1)
    held.hold(context)
    for seconds in (0.0, 0.05, 0.09):
        clock.now = seconds
        watch.sample(held.frame())
    assert caplog.messages == []
    clock.now = 0.11
    watch.sample(held.frame())
    (told,) = caplog.records
    assert (told.run_id, told.node, told.attempt, told.levelno) == ("run_1", "work", 2, logging.WARNING)


async def test_how_late_the_loop_is_is_told_while_it_is_watched(monkeypatch):
    monkeypatch.setattr(loop_watch, "_BEAT", 0.001)
    watch, found = LoopWatch(SystemClock(), 0.1), asyncio.Queue()
    watch.on_beat = found.put_nowait
    async with watch.watching(), asyncio.timeout(20):
        await found.get()
        time.sleep(0.05)  # noqa: ASYNC251 - it is what is watched for
        while await found.get() < 0.04:
            pass


async def test_a_virtual_clock_has_no_loop_watched(world):
    flow = Workflow("a", version="v1")
    flow.node(lambda: 5, name="five")
    async with world(flow) as w:
        async with w.engine.loop_watch.watching():
            assert (await w.end(await w.start(flow)))["result"] == 5
        assert not [t for t in threading.enumerate() if t.name == "infraweave-loop-watch"]
