"""Execution slots: how many runs may execute at once. A run that waits for time or a signal holds no slot.

Resumed runs go before queued ones. The queue is fair between tenants: each in turn, first come first served
within one. It holds keys only: a queued run is a row in the database, not an object in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infraweave.engine.fair_queue import FairQueue


class Slots:
    """``limit`` slots, the resumed runs that wait for one, and the queue of runs that have not started."""

    def __init__(self, limit: int, grant: Callable[[int], None]) -> None:
        self.limit = limit
        self.used = 0
        self._grant = grant
        self._resumed: deque[Callable[[], None]] = deque()
        self._queue: FairQueue[int] = FairQueue()
        self._queued: set[int] = set()
        self._batching = False

    @property
    def queued(self) -> int:
        """The number of queued runs."""
        return len(self._queued)

    def try_acquire(self) -> bool:
        """Take a slot for a run that starts, if one is free and no other run waits for it."""
        if self.used >= self.limit or self._resumed or self._queued:
            return False
        self.used += 1
        return True

    def resume(self, granted: Callable[[], None]) -> None:
        """Call ``granted`` as soon as a resumed run has a slot: at once, if one is free."""
        if self.used < self.limit:
            self.used += 1
            granted()
        else:
            self._resumed.append(granted)

    def enqueue(self, tenant: str, run_key: int) -> None:
        """Queue a run; ``grant`` is called with its key when it has a slot."""
        self._queue.put(tenant, run_key)
        self._queued.add(run_key)
        self.fill()

    @contextmanager
    def batching(self) -> Iterator[None]:
        """Grant no slots to queued runs within the block: all runs that it queues count as simultaneous."""
        self._batching = True
        try:
            yield
        finally:
            self._batching = False
            self.fill()

    def remove(self, run_key: int) -> None:
        """Remove a cancelled run from the queue."""
        self._queued.discard(run_key)

    def release(self) -> None:
        """Give a slot back."""
        self.used -= 1
        self.fill()

    def fill(self) -> None:
        """Grant the free slots."""
        while self.used < self.limit and self._resumed:
            self.used += 1
            self._resumed.popleft()()
        while not self._batching and self.used < self.limit:
            run_key = self._queue.pop(self._is_wanted)
            if run_key is None:
                return
            self.used += 1
            self._grant(run_key)

    def _is_wanted(self, run_key: int) -> bool:
        """Tell whether a run taken from the queue was not removed meanwhile."""
        wanted = run_key in self._queued
        self._queued.discard(run_key)
        return wanted
