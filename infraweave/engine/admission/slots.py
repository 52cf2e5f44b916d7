"""Who may execute now. A slot belongs to a run that has something in flight; waiting costs none.

Runs that were taken up again go before queued ones. The queue is fair between tenants: each in turn, first
come first served within one. Holds keys and callbacks only; a queued run is a row, not an object in memory.
What stands before the queue, limits of workflows, is ``gate``'s business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infraweave.engine.fair_queue import FairQueue


class Slots:
    """A limit, the line of resumed runs, and the queue."""

    def __init__(self, limit: int, grant: Callable[[int], None]) -> None:
        self.limit = limit
        self.used = 0
        self._grant = grant
        self._resumed: deque[Callable[[], None]] = deque()
        self._queue: FairQueue[int] = FairQueue()
        self._queued: set[int] = set()
        self._gathering = False

    @property
    def queued(self) -> int:
        """How many runs stand in the queue."""
        return len(self._queued)

    def take(self) -> bool:
        """Take a slot for a run that starts, if one is free and nobody stands before it."""
        if self.used >= self.limit or self._resumed or self._queued:
            return False
        self.used += 1
        return True

    def resume(self, granted: Callable[[], None]) -> None:
        """Call ``granted`` as soon as a resumed run may execute: at once, if a slot is free."""
        if self.used < self.limit:
            self.used += 1
            granted()
        else:
            self._resumed.append(granted)

    def enqueue(self, tenant: str, run_key: int) -> None:
        """Queue a run; ``grant`` is called with its key when its turn has come."""
        self._queue.put(tenant, run_key)
        self._queued.add(run_key)
        self.fill()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Hand out nothing to the queue within the block: all who come there come at the same moment."""
        self._gathering = True
        try:
            yield
        finally:
            self._gathering = False
            self.fill()

    def forget(self, run_key: int) -> None:
        """Take a run out of the queue: it was cancelled there."""
        self._queued.discard(run_key)

    def release(self) -> None:
        """Give a slot back."""
        self.used -= 1
        self.fill()

    def fill(self) -> None:
        """Hand free slots out."""
        while self.used < self.limit and self._resumed:
            self.used += 1
            self._resumed.popleft()()
        while not self._gathering and self.used < self.limit and (run_key := self._next()) is not None:
            self.used += 1
            self._grant(run_key)

    def _next(self) -> int | None:
        return self._queue.take(self._leaves)

    def _leaves(self, run_key: int) -> bool:
        """Take a run out of the queue; return False where it was cancelled there."""
        stands = run_key in self._queued
        self._queued.discard(run_key)
        return stands
