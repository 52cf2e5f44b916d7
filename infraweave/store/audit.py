"""The audit log: who did what, or was refused, and why. Append-only; only the oldest rows are deleted.

An ``AuditRecord`` travels with a request. Whoever performs the action writes the record in the same
transaction and sets ``is_written``, so the file never holds an action without its row, nor the reverse.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.row_changes import RowChanges
from infraweave.store.sqlite.statements import QUERIES

Outcome: TypeAlias = Literal["allowed", "denied"]

#: Rows that one transaction deletes.
CHUNK = 1_000


@frozen(kw_only=True)
class AuditRow:
    """One row of the log; ``at`` in milliseconds."""

    audit_id: int
    at: int
    tenant: str | None
    principal: str | None
    token_id: str | None
    action: str
    resource: str
    outcome: Outcome
    reason: str | None
    detail: str | None
    request_id: str | None
    source: str


@frozen(kw_only=True)
class AuditFilters:
    """Which rows to list; None: all. Times in milliseconds."""

    tenant: str | None = None
    principal: str | None = None
    token_id: str | None = None
    action: str | None = None
    resource: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    after: int | None = None
    before: int | None = None


@define(eq=False)
class AuditLog:
    """The audit log of one database."""

    _db: Database

    def write(self, record: AuditRecord) -> None:
        """Write a record with the next commit, with all writes submitted without an await in between."""
        record.is_written = True
        self._db.append(RowChanges(audit=[record.row()]))

    async def write_all(self, records: Sequence[AuditRecord]) -> None:
        """Write records and wait until they are durable.

        Raises:
            StorageUnavailable: they cannot be written.
        """
        await self._db.append(RowChanges(audit=[record.row() for record in records]))

    async def list(self, filters: AuditFilters, *, limit: int, cursor: int | None = None) -> list[AuditRow]:
        """Return the newest rows that match, before ``cursor`` (an audit_id) if it is given."""
        names = ("tenant", "principal", "token_id", "action", "resource", "outcome", "request_id")
        params = {name: getattr(filters, name) for name in names}
        params |= {"after": filters.after, "until": filters.before, "limit": limit}
        rows = await self._db.read("list_audit", {**params, "before": cursor or 2**63 - 1})
        return [AuditRow(**dict(row)) for row in rows]

    async def prune(self, before: int, most: int, *, strangers: bool = False) -> int:
        """Delete rows that are older than ``before`` or exceed ``most`` rows; return how many.

        ``strangers``: among denials of unknown callers; otherwise among all other rows.
        """
        row = await self._db.read_one("audit_row_beyond", {"strangers": strangers, "most": most})
        beyond = 0 if row is None else row["audit_id"]
        params = {"strangers": strangers, "before": before, "beyond": beyond, "chunk": CHUNK}
        removed = 0
        while gone := await self._db.transact(lambda db: _prune(db, params)):
            removed += gone
        return removed


def _prune(db: sqlite3.Connection, params: Mapping[str, int]) -> int:
    return db.execute(QUERIES["prune_audit"], params).rowcount
