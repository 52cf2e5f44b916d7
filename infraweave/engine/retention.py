"""When finished runs are removed: beside everything else, a little at a time, on the engine's clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from infraweave.engine.clock import Clock, sleep
from infraweave.settings import Settings
from infraweave.store.database import Database
from infraweave.store.retention import Keep, Removed, Retention
from infraweave.store.rows import Rows

log = logging.getLogger("infraweave.engine")

#: Seconds between sweeps at least, and between the portions of one.
EVERY, PAUSE = 60.0, 0.02


def what_stays(settings: Settings) -> Keep:
    """Return what the settings say of finished runs."""
    age = None if settings.keep is None else round(settings.keep * 1000)
    return Keep(age=age, runs=settings.keep_runs, size=settings.keep_bytes)


class Sweeper:
    """Removes what is overdue from a database that is served.

    It sleeps until the first run is too old, or until one has ended where their number or their size counts:
    a database in which nothing ends costs nothing.
    """

    def __init__(self, db: Database, clock: Clock, settings: Settings) -> None:
        self._clock, self._keep = clock, what_stays(settings)
        self._retention = Retention(db)
        self._ended = asyncio.Event()
        db.listen(self._committed)

    def _committed(self, written: Sequence[Rows]) -> None:
        if any(rows.done for rows in written):
            self._ended.set()

    async def run(self) -> None:
        """Sweep for ever."""
        await self.sweep()
        while not self._keep.is_everything:
            await sleep(self._clock, await self._wait())
            await self.sweep()

    async def sweep(self) -> Removed:
        """Remove what is overdue now, and what an ended process left half removed."""
        self._ended.clear()
        pause = partial(sleep, self._clock, PAUSE)
        removed = await self._retention.sweep(self._keep, self._clock.now(), pause)
        if removed.runs:
            log.info("removed %s runs that had ended", removed.runs)
        return removed

    async def _wait(self) -> float:
        """Return the seconds until something may be overdue; wait for an end, where there was none."""
        first = await self._retention.first_end()
        if first is None or self._keep.age is None:
            await self._ended.wait()
            first = await self._retention.first_end()
        wait = EVERY
        if self._keep.runs is None and self._keep.size is None and first is not None:
            wait = (first + (self._keep.age or 0) - self._clock.now()) / 1000
        return min(max(wait, EVERY), self._clock.longest_nap)
