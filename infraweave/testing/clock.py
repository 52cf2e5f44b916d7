"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable

from attrs import define, field

from infraweave.engine.clock import TimerHandle

#: 2026-01-01T00:00:00Z: a fixed beginning, so that tests can write times down.
BEGINNING = 1_767_225_600_000


@define(order=True)
class _Timer:
    due_at: int
    place: int
    callback: Callable[[], object] = field(order=False)
    cancelled: bool = field(default=False, order=False)

    def cancel(self) -> None:
        """Let it not happen."""
        self.cancelled = True


class VirtualClock:
    """Stands still; ``advance`` lets time pass and calls what falls due on the way, in order."""

    #: Time passes by timers alone, so none can miss any; a test that sets the clock bounds it first.
    max_sleep = math.inf

    def __init__(self, now: int = BEGINNING) -> None:
        self._now = now
        #: Milliseconds by which it was set, which no timer counts.
        self._set = 0
        self._timers: list[_Timer] = []
        self._places = itertools.count()

    def now(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self._now + self._set

    def set_by(self, seconds: float) -> None:
        """Set the clock forward, or back, as by mistake: no time passes, and no timer is called."""
        self._set += round(seconds * 1000)

    def until(self, due_at: int) -> float:
        """Return the seconds until it is ``due_at``, 0 if it is."""
        return min(max(0, due_at - self.now()) / 1000, self.max_sleep)

    def elapsed(self) -> float:
        """Return seconds since a moment that is nobody's business."""
        return self._now / 1000

    def call_later(self, seconds: float, callback: Callable[[], object]) -> TimerHandle:
        """Call ``callback`` once the clock has been advanced that far; what is due already, soon."""
        if seconds <= 0:
            return asyncio.get_running_loop().call_soon(callback)
        timer = _Timer(self._now + round(seconds * 1000), next(self._places), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_due(self) -> int | None:
        """Return when the next callback is due."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0].due_at + self._set if self._timers else None

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass; between two due times, whoever was called gets its turn."""
        await _let_others_go_on()  # what has just happened may set timers
        until = self._now + round(seconds * 1000)
        while self.next_due() is not None and self._timers[0].due_at <= until:
            timer = heapq.heappop(self._timers)
            self._now = max(self._now, timer.due_at)
            timer.callback()
            await _let_others_go_on()
        self._now = until


async def _let_others_go_on() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
