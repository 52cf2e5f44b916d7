"""The secret keys of a file. They sign values that the server must still accept after a restart."""

from __future__ import annotations

from infraweave.core.lazy_records import frozen
from infraweave.store.sqlite.database import Database


@frozen(eq=False)
class Keys:
    """The keys of a database, created with it."""

    _db: Database

    async def get(self, name: str) -> bytes:
        """Return a key, 32 bytes.

        Raises:
            LookupError: there is no key of that name.
        """
        row = await self._db.peek("key", {"name": name})
        if row is None:
            raise LookupError(f"no key {name}")
        return bytes(row["key"])
