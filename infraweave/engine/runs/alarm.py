"""Wakes runs when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from infraweave.engine.clock import Clock, TimerHandle

#: Runs that one call of ``wake_due`` wakes. After a full batch, the next call follows at once.
BATCH = 500


class Alarm:
    """Sleeps until the earliest due time of the agenda, or until an earlier one is written."""

    def __init__(
        self,
        clock: Clock,
        next_due: Callable[[], Awaitable[int | None]],
        wake_due: Callable[[int], Awaitable[int]],
    ) -> None:
        self._clock, self._next_due, self._wake_due = clock, next_due, wake_due
        self._rung = asyncio.Event()
        self._target: int | None = None
        self._timer: TimerHandle | None = None

    def set(self, due_at: int) -> None:
        """Wake runs at this time too, in milliseconds since the Unix epoch."""
        if self._target is None or due_at < self._target:
            self._arm(due_at)

    async def run(self) -> None:
        """Wake runs for ever."""
        while True:
            self._rung.clear()
            self._target = None
            while await self._wake_due(BATCH) == BATCH:
                pass
            due_at = await self._next_due()
            if due_at is not None:
                self.set(due_at)
            await self._rung.wait()

    def _arm(self, due_at: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._target = due_at
        self._timer = self._clock.call_later(self._clock.until(due_at), self._rung.set)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
