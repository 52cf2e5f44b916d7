"""A clock that moves only when a test advances it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable

from attrs import define, field

from infraweave.engine.clock import TimerHandle

#: 2026-01-01T00:00:00Z. A fixed start lets tests contain literal times.
BEGINNING = 1_767_225_600_000


@define(order=True)
class _Timer:
    due_at: int
    place: int
    callback: Callable[[], object] = field(order=False)
    cancelled: bool = field(default=False, order=False)

    def cancel(self) -> None:
        """Cancel the callback."""
        self.cancelled = True


class VirtualClock:
    """A clock that stands still. ``advance`` moves it and calls due callbacks in order."""

    #: The longest sleep in seconds. Virtual time cannot pass unnoticed; tests that set the clock lower this.
    max_sleep = math.inf

    def __init__(self, now: int = BEGINNING) -> None:
        self._now = now
        #: Milliseconds by which the clock was set. Timers do not count them.
        self._set = 0
        self._timers: list[_Timer] = []
        self._places = itertools.count()

    def now(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self._now + self._set

    def set_by(self, seconds: float) -> None:
        """Set the clock forward or back, as an operator may. No time passes, and no timer is called."""
        self._set += round(seconds * 1000)

    def until(self, due_at: int) -> float:
        """Return the seconds until ``due_at``, or 0 if it has passed."""
        return min(max(0, due_at - self.now()) / 1000, self.max_sleep)

    def elapsed(self) -> float:
        """Return the seconds since an arbitrary moment, for measuring durations."""
        return self._now / 1000

    def call_later(self, seconds: float, callback: Callable[[], object]) -> TimerHandle:
        """Call ``callback`` once the clock has advanced that far; at once if that is not in the future."""
        if seconds <= 0:
            return asyncio.get_running_loop().call_soon(callback)
        timer = _Timer(self._now + round(seconds * 1000), next(self._places), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_due(self) -> int | None:
        """Return when the next callback is due, in milliseconds since the Unix epoch."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0].due_at + self._set if self._timers else None

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass. After each callback, other tasks get their turn."""
        await _run_other_tasks()  # they may set timers
        until = self._now + round(seconds * 1000)
        while self.next_due() is not None and self._timers[0].due_at <= until:
            timer = heapq.heappop(self._timers)
            self._now = max(self._now, timer.due_at)
            timer.callback()
            await _run_other_tasks()
        self._now = until


async def _run_other_tasks() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
