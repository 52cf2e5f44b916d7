"""Values that are kept because making them again costs much, and no more of them than their weight allows.

How many there are says little about the memory: what callers send stands in them. Nothing may depend on a
value that is kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Values by key, those used last at the end; the latest stays, however heavy it is."""

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
        """What all that is kept weighs."""
        return self._weight

    def get(self, key: K) -> V | None:
        """Return the value of a key, which so becomes the latest; None where none is kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, key: K, value: V, weight: int) -> None:
        """Keep a value as the latest, and drop the oldest while all together weigh too much."""
        with self._lock:
            self._drop(key)
            self._kept[key] = value, weight
            self._weight += weight
            while self._weight > self._most and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))

    def take(self, key: K) -> V | None:
        """Return the value of a key, and keep it no longer."""
        with self._lock:
            return self._drop(key)

    def clear(self) -> None:
        """Keep nothing any longer."""
        with self._lock:
            self._kept.clear()
            self._weight = 0

    def _drop(self, key: K) -> V | None:
        value, weight = self._kept.pop(key, (None, 0))
        self._weight -= weight
        return value
