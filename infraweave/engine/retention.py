"""Removes old finished runs in the background, in small portions, by the trusted time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from infraweave.core.data.values import format_duration, rfc3339
from infraweave.engine.clock import Clock, sleep
from infraweave.engine.clock_trust import DAY, ClockTrust
from infraweave.settings import Settings
from infraweave.store.retention import Removed, Retention, RetentionPolicy
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.row_changes import RowChanges

log = logging.getLogger("infraweave.engine")

#: Seconds between two sweeps at least, and between the portions of one.
INTERVAL, PAUSE = 60.0, 0.02
#: Leaps below this many milliseconds are not logged, unless runs are kept for less.
MIN_LEAP = 3_600_000
_DOUBTED = (
    "the clock of the machine shows %s, %s more than the elapsed time: by it %s finished runs would be"
    " removed. They are kept for a day, until %s. If the clock is wrong, correct it; if it is right, they are"
    " removed then, or at once when the server is started with --trust-clock"
)
_BELIEVED = "the clock of the machine is trusted after its leap: %s runs that ended before %s are removed now"


def retention_limits(settings: Settings) -> RetentionPolicy:
    """Return how long and how many finished runs the settings keep."""
    age = None if settings.keep is None else round(settings.keep * 1000)
    return RetentionPolicy(age=age, runs=settings.keep_runs, size=settings.keep_bytes)


class Sweeper:
    """Removes overdue runs from the database of a running server.

    It sleeps until the first run is too old, or, if their number or size is limited, until a run has ended.
    """

    def __init__(self, db: Database, clock: Clock, trust: ClockTrust, settings: Settings) -> None:
        self._clock, self._trust, self._keep = clock, trust, retention_limits(settings)
        self._retention = Retention(db)
        self._ended = asyncio.Event()
        db.listen(self._committed)

    def _committed(self, written: Sequence[RowChanges]) -> None:
        if any(rows.ended for rows in written):
            self._ended.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        await self.sweep()
        while not self._keep.keeps_everything:
            await sleep(self._clock, await self._wait())
            await self.sweep()

    async def sweep(self) -> Removed:
        """Remove overdue runs, and the rest of runs whose removal an ended process did not finish."""
        self._ended.clear()
        pause = partial(sleep, self._clock, PAUSE)
        now = await self._trust.time()
        await self._log_leap(now)
        removed = await self._retention.sweep(self._keep, now, pause)
        if removed.runs:
            log.info("removed %s runs that had ended", removed.runs)
        return removed

    async def _log_leap(self, now: int) -> None:
        """Log what a leap of the clock would remove, or removes now."""
        change, clock, since = self._trust.pop_change(), self._clock.now(), self._trust.since
        if change is None or self._keep.age is None or change[1] < min(MIN_LEAP, self._keep.age):
            return
        runs = await self._retention.ended_before(clock - self._keep.age)
        if runs and since is not None:
            until, ahead = rfc3339(since + DAY), format_duration((clock - now) / 1000)
            log.warning(_DOUBTED, rfc3339(clock), ahead, runs, until)
        elif runs:
            log.warning(_BELIEVED, runs, rfc3339(clock - self._keep.age))

    async def _wait(self) -> float:
        """Return the seconds until a run may be overdue; wait for a run to end if there is none."""
        first = await self._retention.oldest_end()
        if first is None or self._keep.age is None:
            await self._ended.wait()
            first = await self._retention.oldest_end()
        wait = INTERVAL
        if self._keep.runs is None and self._keep.size is None and first is not None:
            wait = (first + (self._keep.age or 0) - await self._trust.time()) / 1000
        if self._trust.since is not None:
            wait = min(wait, (self._trust.since + DAY - self._clock.now()) / 1000)
        return min(max(wait, INTERVAL), self._clock.max_sleep)
