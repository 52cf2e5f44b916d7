"""The machine's clock is set back, or forward, under the engine."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest

from infraweave import Workflow
from infraweave.engine import clock as seam
from infraweave.engine.clock import SystemClock
from infraweave.engine.runs.alarm import Alarm
from infraweave.testing import VirtualClock
from tests.engine.conftest import beat

SECOND, DAY = 1_000, 86_400_000


class Machine:
    """A machine's two clocks, in milliseconds: the one on the wall, and the one that nobody sets."""

    def __init__(self, monkeypatch) -> None:
        self.wall, self.elapsed = 1_767_225_600_000, 0
        turned = SimpleNamespace(time_ns=lambda: self.wall * 1_000_000, monotonic=lambda: self.elapsed / 1000)
        monkeypatch.setattr(seam, "time", turned)

    def passes(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.elapsed += milliseconds


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_a_clock_that_is_set_back_goes_on_from_the_corrected_time(machine, caplog):
    clock = SystemClock()
    began = clock.now()
    machine.passes(10 * SECOND)
    machine.wall -= 8 * SECOND
    assert clock.now() == began + 2 * SECOND
    assert clock.until(began + 6 * SECOND) == 4.0
    machine.passes(4 * SECOND)
    assert clock.now() == began + 6 * SECOND
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("the clock of the machine was set back by 8s, to 2026-01-01T00:00:02")


def test_a_glitch_of_the_clock_is_told_both_ways_with_its_size_and_leaves_nothing(machine, caplog):
    clock = SystemClock()
    began = clock.now()
    machine.wall += DAY
    assert clock.now() == began + DAY
    machine.passes(2 * SECOND)
    machine.wall -= DAY
    assert clock.now() == began + 2 * SECOND
    assert [(record.levelno, " ".join(record.getMessage().split()[6:10])) for record in caplog.records] == [
        (logging.WARNING, "set forward by 1d,"),
        (logging.WARNING, "set back by 1d,"),
    ]


def test_a_small_step_back_is_stood_through(machine, caplog):
    clock = SystemClock()
    began = clock.now()
    machine.wall -= SECOND
    assert clock.now() == began
    machine.passes(SECOND + 1)
    assert clock.now() == began + 1
    assert not caplog.records


def test_small_steps_back_one_after_the_other_are_a_large_one(machine, caplog):
    clock = SystemClock()
    began = clock.now()
    for _ in range(3):
        machine.wall -= SECOND
        clock.now()
    assert clock.now() < began
    assert len(caplog.records) == 1


def test_a_clock_that_is_slewed_is_not_set(machine, caplog):
    """NTP makes a second half a millisecond longer or shorter, for days."""
    for slew in (-0.0005, 0.0005):
        clock = SystemClock()
        for _ in range(200):
            machine.elapsed += 3_600 * SECOND
            machine.wall += round(3_600 * SECOND * (1 + slew))
            clock.now()
    assert not caplog.records


def test_nobody_counts_on_a_clock_for_longer_than_a_nap(machine):
    clock = SystemClock()
    assert clock.until(clock.now() + 30 * DAY) == SystemClock.max_sleep


class Rings(SystemClock):
    """A clock whose timers are only noted."""

    def __init__(self) -> None:
        super().__init__()
        self.naps = []

    def now(self) -> int:
        return 0

    def call_later(self, seconds, callback):
        self.naps.append(seconds)
        return self

    def cancel(self) -> None:
        """Let it not ring."""


def napper(delay: str = "6s") -> Workflow:
    flow = Workflow("napper", version="v1", input={"type": "object"})
    flow.sleep("nap", delay)
    return flow


async def ends_after(w, run, seconds: float) -> None:
    """Let a timer end so many seconds from now, and no sooner."""
    await w.until(run, "node_started")
    await w.clock.advance(seconds - 0.001)
    await beat(w)
    assert (await w.engine.runs.get(run.run_id)).finished_at is None
    await w.clock.advance(0.001)
    assert (await w.end(run))["type"] == "completed"


@pytest.fixture
def clock():
    """One that looks again as the machine's does."""
    clock = VirtualClock()
    clock.max_sleep = 60.0
    return clock


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_a_timer_is_late_by_a_step_back_and_no_more(world, after):
    async with world(napper()) as w:
        run = await w.start("napper")
        await w.until(run, "node_started")
        await w.clock.advance(after)
        w.clock.set_by(-8)
        await ends_after(w, run, 14 - after)


async def test_a_timer_that_begins_after_a_glitch_does_not_wait_for_its_day(world):
    async with world(napper()) as w:
        w.clock.set_by(86_400)
        await w.clock.advance(2)
        w.clock.set_by(-86_400)
        run = await w.start("napper")
        await ends_after(w, run, 6)


async def test_a_timer_that_is_not_looked_at_during_a_glitch_ends_in_its_time(world):
    async with world(napper("2h")) as w:
        run = await w.start("napper")
        await w.until(run, "node_started")
        w.clock.set_by(3_600)
        await w.clock.advance(2)
        w.clock.set_by(-3_600)
        await ends_after(w, run, 7_198)


async def test_what_a_glitch_has_put_off_is_late_by_the_glitch_and_no_more(world):
    async with world(napper()) as w:
        w.clock.set_by(3_600)
        run = await w.start("napper")
        await w.until(run, "node_started")
        w.clock.set_by(-3_600)
        await ends_after(w, run, 3_606)


async def test_nobody_sleeps_so_long_that_a_clock_set_forward_goes_unnoticed():
    async def nothing(*_):
        return None

    clock = Rings()
    Alarm(clock, nothing, nothing).set(time.time_ns() // 1_000_000 + 30 * 86_400_000)
    assert clock.naps == [60.0]
