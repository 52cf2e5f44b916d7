"""When runs must next be in memory. Written by the journal with each append; read here by the engine."""

from __future__ import annotations

from attrs import frozen

from infraweave.store.sqlite.database import Database


@frozen(eq=False)
class Agenda:
    """The open runs of a database, by the time at which something is due."""

    _db: Database

    async def urgent(self) -> list[int]:
        """Return the keys of runs of which something is in flight; a start takes these up at once."""
        return [row["run_key"] for row in await self._db.read("urgent")]

    async def due(self, now: int, limit: int) -> list[int]:
        """Return the keys of runs whose wake-up has come, the earliest first."""
        return [row["run_key"] for row in await self._db.read("due", {"now": now, "limit": limit})]

    async def next_due(self) -> int | None:
        """Return the earliest wake-up of all, past ones included, or None."""
        row = await self._db.read_one("next_due")
        return row[0] if row else None
