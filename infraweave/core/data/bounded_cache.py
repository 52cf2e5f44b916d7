"""A cache of values that are expensive to compute, bounded by weight.

The number of values says little about memory, because they hold what callers send. No code may depend on a
value being in the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Least-recently-used values by key. The newest value stays, however heavy it is."""

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[V]:
        return iter([value for value, _ in list(self._kept.values())])

    @property
    def weight(self) -> int:
        """The total weight of the values."""
        return self._weight

    def get(self, key: K) -> V | None:
        """Return the value of a key and mark it as used; None where there is none."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, key: K, value: V, weight: int) -> None:
        """Add a value, and drop the least recently used ones while the total weight is too large."""
        with self._lock:
            self._drop(key)
            self._kept[key] = value, weight
            self._weight += weight
            while self._weight > self._most and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))

    def take(self, key: K) -> V | None:
        """Remove and return the value of a key; None where there is none."""
        with self._lock:
            return self._drop(key)

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._kept.clear()
            self._weight = 0

    def _drop(self, key: K) -> V | None:
        value, weight = self._kept.pop(key, (None, 0))
        self._weight -= weight
        return value
