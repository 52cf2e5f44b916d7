"""The trusted time, by which old runs and audit rows are removed.

A clock that leaps ahead may be wrong, and removal cannot be undone. A leap is more than the elapsed time
while the server ran; time without a server counts as one too. For a day after a leap the clock is doubted:
the trusted time goes on from before the leap. If the clock is set back or leaps again, the day starts anew.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from infraweave.engine.clock import Clock
from infraweave.settings import Settings
from infraweave.store.clock_trust import ClockRow, ClockStore

MINUTE, NIGHT, DAY = 60_000, 20 * 3_600_000, 24 * 3_600_000
#: Seconds between two writes to the file while nothing else changes.
WRITE_INTERVAL = 600.0

#: The clock is doubted from now on, or believed again; and the size of its leap in milliseconds.
TrustChange: TypeAlias = tuple[Literal["doubted", "believed"], int]


def assess(before: ClockRow, now: int, passed: int | None, leap: int) -> ClockRow:
    """Return the state of a clock that shows ``now``, ``passed`` milliseconds after ``before``.

    It is doubted if it differs from that by more than ``leap`` milliseconds. ``passed`` is None if no server
    ran meanwhile, which may have been a night.
    """
    trusted = before.seen + (passed or 0)
    if now - trusted <= leap:
        return ClockRow(seen=now, last=now)
    since, step = before.since, now - before.last - (passed or 0)
    if since is None or now < before.last or step > (NIGHT if passed is None else leap):
        since = now
    if now - since >= DAY:
        return ClockRow(seen=now, last=now)
    return ClockRow(seen=trusted, last=now, since=since)


class ClockTrust:
    """Whether the clock of the machine is believed, for one process."""

    def __init__(self, sightings: ClockStore, clock: Clock, settings: Settings) -> None:
        self._sightings, self._clock = sightings, clock
        # An unnecessary doubt only delays removal by a day.
        self._leap = MINUTE if settings.keep is None else min(MINUTE, round(settings.keep * 100))
        self._believes = settings.trust_clock
        self._seen: ClockRow | None = None
        self._checked_at = self._written_at = 0.0
        self._change: TrustChange | None = None

    async def start(self) -> None:
        """Check the clock before anything is written with its time.

        Raises:
            StorageUnavailable: the result cannot be written.
        """
        now, found = self._clock.now(), await self._sightings.read()
        self._checked_at = self._clock.elapsed()
        self._seen = found or ClockRow(seen=now, last=now)
        await self._check(begins=True)
        if self._believes and self._seen.since is not None:
            self._change = "believed", now - self._seen.seen
            self._seen = ClockRow(seen=now, last=now)
            await self._write()

    async def time(self) -> int:
        """Return the trusted time (Unix ms).

        Raises:
            StorageUnavailable: the state of the clock cannot be written.
        """
        if self._seen is None:
            await self.start()
        return (await self._check()).seen

    def pop_change(self) -> TrustChange | None:
        """Return the last change of trust, once."""
        change, self._change = self._change, None
        return change

    @property
    def since(self) -> int | None:
        """Since when the clock has been doubted, by its own time (Unix ms); None if it is believed."""
        return None if self._seen is None else self._seen.since

    async def _check(self, *, begins: bool = False) -> ClockRow:
        before, elapsed = self._seen, self._clock.elapsed()
        if before is None:
            raise RuntimeError("the clock has not been checked yet")
        passed, self._checked_at = round((elapsed - self._checked_at) * 1000), elapsed
        seen = self._seen = assess(before, self._clock.now(), None if begins else passed, self._leap)
        changed = seen.since != before.since
        if changed and seen.since is not None:
            self._change = "doubted", seen.last - seen.seen
        elif changed:
            leapt = seen.seen - before.seen - passed
            self._change = ("believed", leapt) if leapt > self._leap else None
        if changed or begins or elapsed - self._written_at >= WRITE_INTERVAL:
            await self._write()
        return seen

    async def _write(self) -> None:
        self._written_at = self._clock.elapsed()
        if self._seen is not None:
            await self._sightings.write(self._seen)
