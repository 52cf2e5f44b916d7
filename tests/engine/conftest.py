"""An engine of its own for each story, on a real file and a clock that the story turns."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from infraweave import Workflow
from infraweave.core.data import json_codec
from infraweave.core.run.address import Address
from infraweave.core.trace_context import TraceContext
from infraweave.engine.engine import Engine
from infraweave.engine.execution.attempt import Attempt
from infraweave.engine.runs.requests import StartRequest
from infraweave.settings import Settings
from infraweave.store.runs import RunRow
from infraweave.store.sqlite import batch
from infraweave.testing import VirtualClock

TRACE = TraceContext("a" * 32, "b" * 16, 1, "vendor=1")


class World:
    """One engine and what a story asks of it."""

    def __init__(self, engine: Engine, clock: VirtualClock) -> None:
        self.engine, self.clock = engine, clock

    async def start(self, workflow: Workflow | str, value=None, **more) -> RunRow:
        name = workflow if isinstance(workflow, str) else workflow.workflow_id
        given = {"tenant": "default", "by": "story", "trace": TRACE, **more}
        request = StartRequest(workflow_id=name, input={} if value is None else value, **given)
        return (await self.engine.service.start(request)).run

    async def events(self, run: RunRow, after: int = 0) -> list[dict]:
        return [
            {**json_codec.loads(stored.line(run.run_id)), **stored.beside()}
            for stored in await self.engine.journal.read(run.run_key, after, 10_000)
        ]

    async def until(self, run: RunRow, kind: str, **fields) -> dict:
        """Wait for an event that is there or comes."""
        async with self.engine.journal.follow(run.run_key) as follower:
            async for page in follower:
                for stored in page:
                    event = json_codec.loads(stored.line(run.run_id))
                    if event["type"] == kind and all(event.get(k) == v for k, v in fields.items()):
                        return event
        raise AssertionError(f"ended without {kind} {fields}: {await self.told(run)}")

    async def at_work(self, run: RunRow, **where) -> None:
        """Wait until a body was called; when its start is told, it still has that before it."""
        started = await self.until(run, "node_started", **where)
        phase = started.get("phase", "forward")
        address = Address(started["node"], started.get("iteration"), started.get("index"), phase)
        while not any(self._is_called(one) for one in self._attempts(run) if one.address == address):
            await self.clock.advance(0)
        await self.clock.advance(0)  # a thread has told the loop: the timeout counts from here

    async def explained(self, run: RunRow, words: str) -> str:
        """Wait until it is for this that a run waits; return the sentence."""
        while words not in (sentence := (await self.engine.service.explain(run))[1].sentence):
            await self.clock.advance(0)
        return sentence

    def _attempts(self, run: RunRow) -> list[Attempt]:
        live = self.engine.registry.live.get(run.run_key)
        return live.performer.attempts if live else []

    @staticmethod
    def _is_called(attempt: Attempt) -> bool:
        # A thread may have taken the call and not begun it: until then, no time counts against it.
        return attempt.orphan() is not None and attempt._invocation._started_at is not None

    async def end(self, run: RunRow) -> dict:
        """Wait for the end and return the last event with its payload."""
        assert await self.engine.service.wait_end(run.run_key)
        return (await self.events(run, await self.engine.journal.last_seq(run.run_key) - 1))[-1]

    async def told(self, run: RunRow) -> list[str]:
        """The run in short: one line an event."""
        return [_short(event) for event in await self.events(run)]


def _short(event: dict) -> str:
    words = [event["type"], event.get("node"), event.get("phase"), event.get("state"), event.get("code")]
    if event.get("cancel_requested"):
        words = ["cancel_requested"]
    return " ".join(word for word in words if word)


@pytest.fixture
def world(clock, db):
    """Open an engine: ``async with world(flow) as w``."""

    @asynccontextmanager
    async def opened(*workflows: Workflow, **settings) -> AsyncIterator[World]:
        chosen = Settings(**{"grace": 5.0, **settings})
        async with Engine.open(db, workflows, clock=clock, settings=chosen) as engine:
            yield World(engine, clock)

    return opened


class Disk(threading.Event):
    """Set while the disk moves. ``reached`` is set once something waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def clear(self) -> None:
        self.reached.clear()
        super().clear()


@pytest.fixture
def disk(monkeypatch):
    """A disk that stands still while its event is clear."""
    moving, write_rows = Disk(), batch.write_rows
    moving.set()

    def slow(*args):
        moving.reached.set()
        assert moving.wait(10)
        write_rows(*args)

    monkeypatch.setattr(batch, "write_rows", slow)
    yield moving
    moving.set()


async def beat(w) -> None:
    """Give what does not wait for the disk the time to end."""
    for _ in range(20):
        await w.engine.runs.counts()
