"""Until when the clock of the machine has been trusted, as the file remembers it."""

from __future__ import annotations

from attrs import asdict, frozen

from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES


@frozen(kw_only=True)
class ClockRow:
    """What the clock said, in milliseconds. See schema/9_clock.sql."""

    seen: int
    last: int
    #: None: it is trusted.
    since: int | None = None


@frozen(eq=False)
class ClockStore:
    """The row of a database."""

    _db: Database

    async def read(self) -> ClockRow | None:
        """Return what was noted, or else when the newest event was written; None: there is neither."""
        row = await self._db.read_one("clock")
        if row is not None:
            return ClockRow(**dict(row))
        newest = await self._db.read_one("newest_event_at")
        return None if newest is None else ClockRow(seen=newest[0], last=newest[0])

    async def write(self, seen: ClockRow) -> None:
        """Note what the clock says.

        Raises:
            StorageUnavailable: the database cannot be written.
        """
        await self._db.transact(lambda db: db.execute(QUERIES["put_clock"], asdict(seen)))
