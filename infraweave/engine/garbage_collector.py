"""When the garbage collector looks through everything that lives: when memory has grown, and never else.

Nothing of a run hangs in a circle, so counts of objects say nothing here: full looks by count cost a fifth of
the throughput and find nothing. But authors' code may leave circles, an exception that a frame keeps for
one, and so may libraries; with a few objects each they can hold what they were given, however large.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

log = logging.getLogger("infraweave.engine")

#: Seconds between two looks at how much memory there is.
BEAT = 1.0
#: Growth since the last full look that leads to one: of so many bytes, and a quarter beside.
STEP = 64 << 20
_PAGES = Path("/proc/self/statm")


def tune() -> None:
    """Let the collector of a process that only serves look rarely, and not at what was imported.

    Events and futures are freed by their reference counts (``tests/bench`` shows what full looks cost).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def resident() -> int:
    """Return the bytes of memory that this process takes; where nothing tells, the most it ever took."""
    try:
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class GarbageCollector:
    """Has everything looked through once memory has grown."""

    def __init__(self, measure: Callable[[], int] = resident) -> None:
        self._measure, self._after = measure, measure()

    def look(self) -> bool:
        """Collect where memory has grown since the last time; tell whether."""
        before = self._measure()
        if before < self._after * 5 // 4 + STEP:
            return False
        found = gc.collect()
        self._after = self._measure()
        log.debug(
            "memory has grown to %s bytes; after a look for garbage (%s objects) it takes %s",
            before,
            found,
            self._after,
        )
        return True

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look once a second for the length of the block."""
        task = asyncio.create_task(self._look_again(), name="collector")
        try:
            yield
        finally:
            task.cancel()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            self.look()
