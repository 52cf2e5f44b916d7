"""A cache of idle runs with long histories, because loading them is expensive.

An idle run needs no memory: it is loaded again when something arrives. But a run with a map of 50,000
children is loaded at the end of each child. Folding its whole history each time would take quadratic time. So
the cache keeps the latest long histories, within a bound. A run that it drops is loaded from disk.
"""

from __future__ import annotations

from collections.abc import Iterator

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.engine.runs.live_run import LiveRun

#: Shorter histories are not kept, because folding them is quick.
LONG = 200
#: The most bytes of the events of all kept runs, with payloads. As values they take several times as much.
#: The latest run stays, however long its history is.
MAX_BYTES = 32 << 20


class IdleRunCache:
    """Idle runs, the latest last."""

    def __init__(self) -> None:
        self._runs: BoundedCache[int, LiveRun] = BoundedCache(MAX_BYTES)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(self._runs)

    def store(self, live: LiveRun) -> None:
        """Keep a run that has nothing in flight, if its history is long; drop the oldest beyond the bound."""
        if live.state.seq >= LONG:
            self._runs.keep(live.run_key, live, live.size)

    def pop(self, run_key: int) -> LiveRun | None:
        """Remove and return a run."""
        return self._runs.take(run_key)

    def clear(self) -> None:
        """Drop all runs."""
        self._runs.clear()
