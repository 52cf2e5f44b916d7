"""The machine's clock is set back, or forward, under the engine."""

from __future__ import annotations

import time

from infraweave.engine.alarm import Alarm
from infraweave.engine.clock import SystemClock


def test_a_clock_that_is_set_back_stands_still_until_it_is_right_again(monkeypatch):
    clock, wall = SystemClock(), [10_000]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0] * 1_000_000)
    assert clock.now() == 10_000
    wall[0] = 4_000
    assert clock.now() == 10_000
    wall[0] = 10_001
    assert clock.now() == 10_001


def test_whoever_waits_while_the_clock_stands_still_does_not_look_again_and_again(monkeypatch):
    clock, wall = SystemClock(), [100_000]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0] * 1_000_000)
    assert clock.until(100_001) == 0.001
    wall[0] = 90_000
    assert clock.until(100_001) == 10.001
    assert clock.until(100_000) == 0


def test_nobody_counts_on_a_clock_for_longer_than_a_nap(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert SystemClock().until(30 * 86_400_000) == SystemClock.longest_nap


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


async def test_nobody_sleeps_so_long_that_a_clock_set_forward_goes_unnoticed():
    async def nothing(*_):
        return None

    clock = Rings()
    Alarm(clock, nothing, nothing).set(time.time_ns() // 1_000_000 + 30 * 86_400_000)
    assert clock.naps == [60.0]
