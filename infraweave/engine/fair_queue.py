"""A queue that is fair between tenants: each in turn, first come first served within one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """The queued items of all tenants. Not thread-safe."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        """Return the number of items, unwanted ones included."""
        return self._length

    def put(self, tenant: str, item: T) -> None:
        """Append an item to its tenant's queue."""
        self._queues.setdefault(tenant, deque()).append(item)
        self._length += 1

    def pop(self, wanted: Callable[[T], bool]) -> T | None:
        """Remove and return the next wanted item, or None; unwanted items before it are dropped."""
        while self._queues:
            tenant, queue = next(iter(self._queues.items()))
            del self._queues[tenant]
            found = self._pop_from(queue, wanted)
            if queue:
                self._queues[tenant] = queue  # at the end: the other tenants come first
            if found is not None:
                return found
        return None

    def _pop_from(self, queue: deque[T], wanted: Callable[[T], bool]) -> T | None:
        """Return a tenant's first wanted item; unwanted ones cost the tenant no turn."""
        while queue:
            item = queue.popleft()
            self._length -= 1
            if wanted(item):
                return item
        return None
