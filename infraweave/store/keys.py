"""The keys of a file: what the server signs with so that it knows its own again, after a restart too."""

from __future__ import annotations

from attrs import frozen

from infraweave.store.sqlite.database import Database


@frozen(eq=False)
class Keys:
    """The keys of a database, each made with it."""

    _db: Database

    async def get(self, name: str) -> bytes:
        """Return a key, 32 bytes.

        Raises:
            LookupError: there is none of that name.
        """
        row = await self._db.read_one("key", {"name": name})
        if row is None:
            raise LookupError(f"no key {name}")
        return bytes(row["key"])
