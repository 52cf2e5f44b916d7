"""Tenants, principals and grants as those see them who hand them out: list, make, take away.

Tokens are in ``principals``. A tenant is not deleted: its runs and its audit log name it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from attrs import frozen

from infraweave.core.access import Grant, parse_grant
from infraweave.core.data.json_codec import loads
from infraweave.errors import GrantNotFound, PrincipalNotFound, TenantNotFound
from infraweave.store.principals import add_principal
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES


@frozen(kw_only=True)
class TenantRow:
    """A tenant, and how many principals it has."""

    tenant: str
    created_at: int
    principals: int


@frozen(kw_only=True)
class PrincipalRow:
    """A principal, and what it may do."""

    tenant: str
    principal: str
    created_at: int
    grants: frozenset[Grant]


@frozen(eq=False)
class Admin:
    """Who there is in one database, and what they may do."""

    _db: Database

    async def tenants(self) -> list[TenantRow]:
        """Return all tenants by name."""
        return [TenantRow(**dict(row)) for row in await self._db.read("list_tenants")]

    async def create_tenant(self, tenant: str, now: int, record: AuditRecord | None = None) -> TenantRow:
        """Make a tenant; one that exists stays as it is."""
        await self._db.transact(lambda db: db.execute(QUERIES["add_tenant"], (tenant, now)), record)
        return next(row for row in await self.tenants() if row.tenant == tenant)

    async def principals(self, tenant: str | None = None) -> list[PrincipalRow]:
        """Return the principals of a tenant, or all, by name."""
        rows = await self._db.read("list_principals", {"tenant": tenant, "principal": None})
        return [_principal(row) for row in rows]

    async def create_principal(
        self,
        tenant: str,
        principal: str,
        grants: Iterable[Grant],
        now: int,
        record: AuditRecord | None = None,
    ) -> PrincipalRow:
        """Make a principal, and its tenant, unless they exist, and add grants to what it may do."""
        wanted = tuple(grants)

        def work(db: sqlite3.Connection) -> PrincipalRow:
            add_principal(db, tenant, principal, wanted, now)
            return _find(db, tenant, principal)

        return await self._db.transact(work, record)

    async def grant(
        self,
        tenant: str,
        principal: str,
        grants: Iterable[Grant],
        now: int,
        record: AuditRecord | None = None,
    ) -> PrincipalRow:
        """Add grants to what a principal may do.

        Raises:
            TenantNotFound, PrincipalNotFound: there is none.
        """
        wanted = tuple(grants)

        def work(db: sqlite3.Connection) -> PrincipalRow:
            _find(db, tenant, principal)
            add_principal(db, tenant, principal, wanted, now)
            return _find(db, tenant, principal)

        return await self._db.transact(work, record)

    async def remove_grant(
        self, tenant: str, principal: str, grant: Grant, record: AuditRecord | None = None
    ) -> PrincipalRow:
        """Take one grant from a principal.

        Raises:
            TenantNotFound, PrincipalNotFound, GrantNotFound: there is none.
        """

        def work(db: sqlite3.Connection) -> PrincipalRow:
            if grant not in _find(db, tenant, principal).grants:
                raise GrantNotFound(f"Principal {principal} of tenant {tenant} has no grant {grant}.")
            params = {"tenant": tenant, "principal": principal}
            db.execute(
                QUERIES["delete_grant"], {**params, "action": grant.action, "resource": grant.resource}
            )
            return _find(db, tenant, principal)

        return await self._db.transact(work, record)

    async def delete_principal(self, tenant: str, principal: str, record: AuditRecord | None = None) -> None:
        """Forget a principal with its grants and its tokens.

        Raises:
            TenantNotFound, PrincipalNotFound: there is none.
        """

        def work(db: sqlite3.Connection) -> None:
            _find(db, tenant, principal)
            for statement in ("delete_tokens", "delete_grants", "delete_principal"):
                db.execute(QUERIES[statement], {"tenant": tenant, "principal": principal})

        await self._db.transact(work, record)


def _find(db: sqlite3.Connection, tenant: str, principal: str) -> PrincipalRow:
    if db.execute(QUERIES["tenant"], {"tenant": tenant}).fetchone() is None:
        raise TenantNotFound(f"No tenant {tenant}.")
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    params = {"tenant": tenant, "principal": principal}
    row = cursor.execute(QUERIES["list_principals"], params).fetchone()
    if row is None:
        raise PrincipalNotFound(f"Tenant {tenant} has no principal {principal}.")
    return _principal(row)


def _principal(row: sqlite3.Row) -> PrincipalRow:
    return PrincipalRow(
        tenant=row["tenant"],
        principal=row["principal"],
        created_at=row["created_at"],
        grants=frozenset(parse_grant(text) for text in loads(row["grants"])),
    )
