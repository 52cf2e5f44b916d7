"""Reads the agenda: when each run must be in memory again. The journal writes it with each append."""

from __future__ import annotations

from infraweave.core.lazy_records import frozen
from infraweave.store.sqlite.database import Database


@frozen(eq=False)
class Agenda:
    """The agenda of a database."""

    _db: Database

    async def urgent(self) -> list[int]:
        """Return the keys of runs that have something in flight; a server loads them when it starts."""
        return [row["run_key"] for row in await self._db.read("urgent")]

    async def due(self, now: int, limit: int) -> list[int]:
        """Return the keys of runs whose wake-up time has come, the earliest first."""
        return [row["run_key"] for row in await self._db.read("due", {"now": now, "limit": limit})]

    async def next_due(self) -> int | None:
        """Return the earliest wake-up time, which may have passed, or None."""
        row = await self._db.read_one("next_due")
        return row[0] if row else None
