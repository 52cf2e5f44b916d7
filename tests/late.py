"""Makes everything late at random, as on a busy machine: ``pytest -p tests.late``.

Finds tests that take what usually happens first for what must. Which things are late, and how often, is drawn
for each test from its name and ``LATE_SEED``: bodies begin late, commits reach the disk or are told late,
threads wake late, reads answer late, the loop stalls. Servers that a test starts as processes are not slowed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from asyncio.base_events import BaseEventLoop
from concurrent.futures.thread import _WorkItem

import aiosqlite
import pytest
from aiosqlite.context import contextmanager

from infraweave.engine.execution.attempt import Attempt
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.writer_thread import WriterThread

SEED = os.environ.get("LATE_SEED", "0")
#: The longest that anything is late, in seconds.
MOST = float(os.environ.get("LATE_MOST", "0.01"))
KINDS = ("begin", "commit", "tell", "thread", "read", "loop")
#: Where time is not the machine's.
SPARED = "tests/simulate"


class Lateness:
    """How late things of each kind are: all at rest until a test begins."""

    def __init__(self) -> None:
        self.dice = random.Random()
        self.chances: dict[str, float] = {}

    def begin(self, name: str) -> None:
        self.dice.seed(f"{SEED} {name}")
        self.chances = {kind: self.dice.choice((0, 0, 0.2, 1)) for kind in KINDS}

    def of(self, kind: str) -> float:
        chance = self.chances.get(kind, 0)
        return self.dice.random() * MOST if chance and self.dice.random() < chance else 0


late = Lateness()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if not item.nodeid.startswith(SPARED):
        late.begin(item.nodeid)
    try:
        return (yield)
    finally:
        late.chances = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.sections.append(("late", f"LATE_SEED={SEED} {late.chances}"))
    return report


class _LateRoom:
    def __init__(self, room):
        self.room = room

    def locked(self):
        return self.room is not None and self.room.locked()

    async def __aenter__(self):
        if seconds := late.of("begin"):
            await asyncio.sleep(seconds)
        if self.room is not None:
            await self.room.__aenter__()

    async def __aexit__(self, *error):
        if self.room is not None:
            await self.room.__aexit__(*error)


def _waking_late(work):
    def wake(*args):
        time.sleep(late.of("thread"))
        # The traceback of a failed body leads to this frame, which must not hold its work in a circle.
        held = [*args]
        del args
        work(*(held.pop(0) for _ in range(len(held))))

    return wake


def _patch() -> None:
    make, run_once = Attempt.__init__, BaseEventLoop._run_once
    send, fetch = WriterThread.submit, aiosqlite.Connection.execute_fetchall
    peek_at_once = Database.peek

    def attempt(self, *args, **more):
        make(self, *args, **more)
        self._room = _LateRoom(self._room)

    def submit(self, work, then):
        def told(*outcome):
            if seconds := late.of("tell"):
                loop.call_later(seconds, then, *outcome)
            else:
                then(*outcome)

        loop = asyncio.get_running_loop()
        if seconds := late.of("commit"):
            loop.call_later(seconds, send, self, work, told)
        else:
            send(self, work, told)

    def stall(self):
        if (seconds := late.of("loop")) and late.dice.random() < 0.1:
            time.sleep(seconds / 3)
        run_once(self)

    @contextmanager
    async def read(self, *args):
        rows = await fetch(self, *args)
        if seconds := late.of("read"):
            await asyncio.sleep(seconds)
        return rows

    async def peek(self, *args):
        row = await peek_at_once(self, *args)
        if late.chances:  # at rest, not even a turn of the loop is added
            await asyncio.sleep(late.of("read"))
        return row

    Attempt.__init__, WriterThread.submit = attempt, submit
    aiosqlite.Connection.execute_fetchall, Database.peek = read, peek
    BaseEventLoop._run_once = stall
    _WorkItem.run, ThreadPool._do = _waking_late(_WorkItem.run), _waking_late(ThreadPool._do)


_patch()
