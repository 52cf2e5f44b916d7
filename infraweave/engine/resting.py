"""Waiting runs that are kept in memory, within bounds, because taking them up again would cost much.

A run that waits costs nothing: it is folded again when something arrives. But a map of 50,000 children hears
of the end of each, and folding its whole history each time would make the time for one item grow with the
number of items. So the long histories among the waiting runs stay, those that came last. Nothing depends on
it: what is dropped here is folded again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infraweave.engine.live import LiveRun

#: Events that are folded so quickly that it is not worth the memory.
LONG = 200
#: Runs, and events of all of them together; the latest run stays however long it is.
MOST_RUNS = 100
MOST_EVENTS = 500_000


class Resting:
    """Runs at rest, the latest last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, LiveRun] = OrderedDict()
        self._events = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def keep(self, live: LiveRun) -> None:
        """Keep a run that has nothing in flight, if its history is long; drop the oldest beyond the bound."""
        if live.state.seq < LONG:
            return
        self._runs[live.run_key] = live
        self._events += live.state.seq
        while len(self._runs) > MOST_RUNS or (self._events > MOST_EVENTS and len(self._runs) > 1):
            _, oldest = self._runs.popitem(last=False)
            self._events -= oldest.state.seq

    def take(self, run_key: int) -> LiveRun | None:
        """Return a run as it was when it came to rest, and keep it no longer."""
        live = self._runs.pop(run_key, None)
        if live is not None:
            self._events -= live.state.seq
        return live

    def clear(self) -> None:
        """Keep nothing any longer."""
        self._runs.clear()
        self._events = 0
