"""The last trusted time of the machine's clock, as the file stores it."""

from __future__ import annotations

from attrs import asdict

from infraweave.core.lazy_records import frozen
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES


@frozen(kw_only=True)
class ClockRow:
    """Readings of the clock, in milliseconds. See schema/9_clock.sql."""

    seen: int
    last: int
    #: None: the clock is trusted.
    since: int | None = None


@frozen(eq=False)
class ClockStore:
    """The clock row of a database."""

    _db: Database

    async def read(self) -> ClockRow | None:
        """Return the stored row, else one made of the time of the newest event, else None."""
        row = await self._db.read_one("clock")
        if row is not None:
            return ClockRow(**dict(row))
        newest = await self._db.read_one("newest_event_at")
        return None if newest is None else ClockRow(seen=newest[0], last=newest[0])

    async def write(self, row: ClockRow) -> None:
        """Store the row.

        Raises:
            StorageUnavailable: the database cannot be written.
        """
        await self._db.transact(lambda db: db.execute(QUERIES["put_clock"], asdict(row)))
