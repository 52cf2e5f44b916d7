"""A cache of idle runs with long histories, because to load them again would cost much.

An idle run costs nothing: it is loaded again when something arrives. But a map of 50,000 children hears of
the end of each. If its whole history were folded each time, an item would cost more, the more items there
are. So the cache keeps the latest long histories, within a bound. Whatever it drops is loaded again.
"""

from __future__ import annotations

from collections.abc import Iterator

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.engine.runs.live_run import LiveRun

#: Events that are folded so quickly that it is not worth the memory.
LONG = 200
#: Bytes of the events of all of them together, with payloads, which take several times that as values; the
#: latest run stays however long it is.
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
        """Return a run as it was when it came to rest, and keep it no longer."""
        return self._runs.take(run_key)

    def clear(self) -> None:
        """Keep nothing any longer."""
        self._runs.clear()
