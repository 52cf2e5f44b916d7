"""The timer of a run that is in memory and has something due later."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from infraweave.core.run.facts import Fact, TimerDue
from infraweave.engine.clock import Clock, TimerHandle


class TimedRun(Protocol):
    """What the timer needs from its run."""

    def next_due(self) -> int | None:
        """Return when time will next change something, in milliseconds."""

    def apply(self, fact: Fact) -> object:
        """Apply a fact."""


class RunTimer:
    """One timer, for the earliest due time of a run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._soon: asyncio.Handle | None = None
        self._timer: TimerHandle | None = None

    @property
    def is_armed(self) -> bool:
        """True while the timer may ring."""
        return self._timer is not None

    def arm_soon(self, run: TimedRun) -> None:
        """Set the timer, once for all turns of one moment: the due time depends on all open entries."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._arm, run)

    def cancel(self) -> None:
        """Cancel the timer."""
        if self._soon is not None:
            self._soon.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._soon = self._timer = None

    def _arm(self, run: TimedRun) -> None:
        self.cancel()
        due_at = run.next_due()
        if due_at is not None:
            self._timer = self._clock.call_later(self._clock.until(due_at), partial(self._ring, run))

    def _ring(self, run: TimedRun) -> None:
        """Apply ``TimerDue`` if something is due. Otherwise set the timer again: the clock may have moved."""
        due_at = run.next_due()
        if due_at is not None and due_at <= self._clock.now():
            run.apply(TimerDue())
        else:
            self._arm(run)
