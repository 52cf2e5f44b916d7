"""The time by which removal goes: a clock that leaps ahead may be wrong, and what is removed is gone.

A leap is more than has passed while the server ran; time for which nobody served is one too. Until the
clock has stood for a day after a leap, removal goes by the time before it and by what has passed since. A
clock that is set back again has not stood.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from infraweave.engine.clock import Clock
from infraweave.settings import Settings
from infraweave.store.clock_trust import ClockRow, ClockStore

MINUTE, NIGHT, DAY = 60_000, 20 * 3_600_000, 24 * 3_600_000
#: Seconds between two notes in the file, where nothing else has changed.
NOTES = 600.0

#: What may be told of the clock: it has begun to be doubted, or is believed, and its leap in milliseconds.
News: TypeAlias = tuple[Literal["doubted", "believed"], int]


def look(before: ClockRow, now: int, passed: int | None, leap: int) -> ClockRow:
    """Return what is to be thought of a clock that says ``now``, ``passed`` milliseconds after ``before``.

    A difference of more than ``leap`` milliseconds to what has passed is doubted. None: nobody served
    meanwhile, and that may have been a night.
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
        # To doubt too much only puts removal off by what is doubted, for a day.
        self._leap = MINUTE if settings.keep is None else min(MINUTE, round(settings.keep * 100))
        self._believes = settings.trust_clock
        self._seen: ClockRow | None = None
        self._looked = self._noted = 0.0
        self._news: News | None = None

    async def begin(self) -> None:
        """Look at the clock before anything is written by it.

        Raises:
            StorageUnavailable: what is thought of it cannot be noted.
        """
        now, found = self._clock.now(), await self._sightings.read()
        self._looked = self._clock.elapsed()
        self._seen = found or ClockRow(seen=now, last=now)
        await self._look(begins=True)
        if self._believes and self._seen.since is not None:
            self._news = "believed", now - self._seen.seen
            self._seen = ClockRow(seen=now, last=now)
            await self._note()

    async def time(self) -> int:
        """Return the time by which removal goes, in milliseconds.

        Raises:
            StorageUnavailable: what is thought of the clock cannot be noted.
        """
        if self._seen is None:
            await self.begin()
        return (await self._look()).seen

    def news(self) -> News | None:
        """Return what has come to be thought of the clock, once."""
        news, self._news = self._news, None
        return news

    @property
    def since(self) -> int | None:
        """Since when a clock that is doubted has stood, by itself; None: it is believed."""
        return None if self._seen is None else self._seen.since

    async def _look(self, *, begins: bool = False) -> ClockRow:
        before, elapsed = self._seen, self._clock.elapsed()
        if before is None:
            raise RuntimeError("trust has not begun")
        passed, self._looked = round((elapsed - self._looked) * 1000), elapsed
        seen = self._seen = look(before, self._clock.now(), None if begins else passed, self._leap)
        changed = seen.since != before.since
        if changed and seen.since is not None:
            self._news = "doubted", seen.last - seen.seen
        elif changed:
            leapt = seen.seen - before.seen - passed
            self._news = ("believed", leapt) if leapt > self._leap else None
        if changed or begins or elapsed - self._noted >= NOTES:
            await self._note()
        return seen

    async def _note(self) -> None:
        self._noted = self._clock.elapsed()
        if self._seen is not None:
            await self._sightings.write(self._seen)
