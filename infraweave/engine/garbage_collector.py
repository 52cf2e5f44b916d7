"""Runs full garbage collections when memory has grown, instead of by the number of objects.

InfraWeave leaves no reference circles in a run, so full collections by object count cost a fifth of the
throughput and find nothing. Author code and libraries may leave circles, such as an exception that a frame
keeps; few objects of them can hold much memory.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

log = logging.getLogger("infraweave.engine")

#: Seconds between two measurements of memory.
INTERVAL = 1.0
#: Growth since the last full collection that causes the next: this many bytes plus a quarter.
STEP = 64 << 20
_PAGES = Path("/proc/self/statm")


@contextmanager
def paused_for_imports() -> Iterator[None]:
    """Collect nothing within the block, and never look at what it made: the modules of a program stay.

    Collections while modules are imported take a seventh of the time of a start, and free nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def tune() -> None:
    """Let a serving process collect rarely, and skip what was imported.

    Events and futures are freed by reference counting; ``tests/bench`` shows the cost of full collections.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def resident() -> int:
    """Return the resident memory of this process in bytes; on other systems than Linux, its peak."""
    try:
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class GarbageCollector:
    """Runs a full collection after memory has grown."""

    def __init__(self, measure: Callable[[], int] = resident) -> None:
        self._measure, self._after = measure, measure()

    def collect_if_grown(self) -> bool:
        """Collect if memory has grown since the last collection; return whether it did."""
        before = self._measure()
        if before < self._after * 5 // 4 + STEP:
            return False
        found = gc.collect()
        self._after = self._measure()
        log.debug(
            "memory has grown to %s bytes; after a full garbage collection (%s objects) it is %s",
            before,
            found,
            self._after,
        )
        return True

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Check memory once a second within the block."""
        task = asyncio.create_task(self._watch(), name="collector")
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            self.collect_if_grown()
