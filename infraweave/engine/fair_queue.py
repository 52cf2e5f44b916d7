"""A queue that is fair between tenants: each in turn, and first come, first served within one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of tenants. Not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        """How many items stand here, those that nobody wants any more among them."""
        return self._length

    def put(self, tenant: str, item: T) -> None:
        """Add an item at the end of its tenant's."""
        self._queues.setdefault(tenant, deque()).append(item)
        self._length += 1

    def take(self, wanted: Callable[[T], bool]) -> T | None:
        """Take the next item that is wanted, or None; items that are not wanted are dropped on the way."""
        while self._queues:
            tenant, queue = next(iter(self._queues.items()))
            del self._queues[tenant]
            found = self._first(queue, wanted)
            if queue:
                self._queues[tenant] = queue  # at the end: the other tenants come first
            if found is not None:
                return found
        return None

    def _first(self, queue: deque[T], wanted: Callable[[T], bool]) -> T | None:
        """Take the first wanted item of a tenant; those that were withdrawn cost the others no turn."""
        while queue:
            item = queue.popleft()
            self._length -= 1
            if wanted(item):
                return item
        return None
