"""When finished runs are removed: beside everything else, a little at a time, by a clock that is trusted."""

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

#: Seconds between sweeps at least, and between the portions of one.
EVERY, PAUSE = 60.0, 0.02
#: Milliseconds of a leap that are worth a word, where runs stay for longer.
WORTH = 3_600_000
DOUBTED = (
    "the clock of the machine says %s, which is %s more than has passed: by it %s ended runs would be"
    " removed. They stay until it has stood for a day, until %s. Set it right where it is wrong; where it is"
    " right, they go then, or at once when the server is started with --trust-clock"
)
BELIEVED = "the clock of the machine is believed after its leap: %s runs that ended before %s are removed now"


def what_stays(settings: Settings) -> RetentionPolicy:
    """Return what the settings say of finished runs."""
    age = None if settings.keep is None else round(settings.keep * 1000)
    return RetentionPolicy(age=age, runs=settings.keep_runs, size=settings.keep_bytes)


class Sweeper:
    """Removes what is overdue from a database that is served.

    It sleeps until the first run is too old, or until one has ended where their number or their size counts:
    a database in which nothing ends costs nothing.
    """

    def __init__(self, db: Database, clock: Clock, trust: ClockTrust, settings: Settings) -> None:
        self._clock, self._trust, self._keep = clock, trust, what_stays(settings)
        self._retention = Retention(db)
        self._ended = asyncio.Event()
        db.listen(self._committed)

    def _committed(self, written: Sequence[RowChanges]) -> None:
        if any(rows.ended for rows in written):
            self._ended.set()

    async def run(self) -> None:
        """Sweep for ever."""
        await self.sweep()
        while not self._keep.keeps_everything:
            await sleep(self._clock, await self._wait())
            await self.sweep()

    async def sweep(self) -> Removed:
        """Remove what is overdue now, and what an ended process left half removed."""
        self._ended.clear()
        pause = partial(sleep, self._clock, PAUSE)
        now = await self._trust.time()
        await self._tell_news(now)
        removed = await self._retention.sweep(self._keep, now, pause)
        if removed.runs:
            log.info("removed %s runs that had ended", removed.runs)
        return removed

    async def _tell_news(self, now: int) -> None:
        """Say what a clock that has leapt would remove, or removes now."""
        news, clock, since = self._trust.news(), self._clock.now(), self._trust.since
        if news is None or self._keep.age is None or news[1] < min(WORTH, self._keep.age):
            return
        runs = await self._retention.ended_before(clock - self._keep.age)
        if runs and since is not None:
            until, ahead = rfc3339(since + DAY), format_duration((clock - now) / 1000)
            log.warning(DOUBTED, rfc3339(clock), ahead, runs, until)
        elif runs:
            log.warning(BELIEVED, runs, rfc3339(clock - self._keep.age))

    async def _wait(self) -> float:
        """Return the seconds until something may be overdue; wait for an end, where there was none."""
        first = await self._retention.oldest_end()
        if first is None or self._keep.age is None:
            await self._ended.wait()
            first = await self._retention.oldest_end()
        wait = EVERY
        if self._keep.runs is None and self._keep.size is None and first is not None:
            wait = (first + (self._keep.age or 0) - await self._trust.time()) / 1000
        if self._trust.since is not None:
            wait = min(wait, (self._trust.since + DAY - self._clock.now()) / 1000)
        return min(max(wait, EVERY), self._clock.longest_nap)
