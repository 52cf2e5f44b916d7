"""Administration of tenants, principals and grants; ``principals`` has the tokens.

A tenant is never deleted, because its runs and its audit log refer to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from infraweave.core.access import Grant
from infraweave.core.lazy_records import frozen
from infraweave.errors import GrantNotFound, PrincipalNotFound, TenantNotFound
from infraweave.store.principals import add_principal, parse_grants
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.sqlite.database import Database
from infraweave.store.sqlite.statements import QUERIES, fetch


@frozen(kw_only=True)
class TenantRow:
    """A tenant, with the number of its principals."""

    tenant: str
    created_at: int
    principals: int


@frozen(kw_only=True)
class PrincipalRow:
    """A principal and its grants."""

    tenant: str
    principal: str
    created_at: int
    grants: frozenset[Grant]


@frozen(eq=False)
class Admin:
    """The tenants, principals and grants of a database."""

    _db: Database

    async def tenants(self) -> list[TenantRow]:
        """Return all tenants by name."""
        return [TenantRow(**dict(row)) for row in await self._db.read("list_tenants")]

    async def create_tenant(self, tenant: str, now: int, record: AuditRecord | None = None) -> TenantRow:
        """Create a tenant; one that exists is unchanged."""
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
        """Create a principal and its tenant unless they exist, and add grants to it."""
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
        """Add grants to a principal.

        Raises:
            TenantNotFound, PrincipalNotFound: it does not exist.
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
        """Remove one grant from a principal.

        Raises:
            TenantNotFound, PrincipalNotFound, GrantNotFound: it does not exist.
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
        """Delete a principal with its grants and its tokens.

        Raises:
            TenantNotFound, PrincipalNotFound: it does not exist.
        """

        def work(db: sqlite3.Connection) -> None:
            _find(db, tenant, principal)
            for statement in ("delete_tokens", "delete_grants", "delete_principal"):
                db.execute(QUERIES[statement], {"tenant": tenant, "principal": principal})

        await self._db.transact(work, record)


def _find(db: sqlite3.Connection, tenant: str, principal: str) -> PrincipalRow:
    if db.execute(QUERIES["tenant"], {"tenant": tenant}).fetchone() is None:
        raise TenantNotFound(f"No tenant {tenant}.")
    rows = fetch(db, "list_principals", {"tenant": tenant, "principal": principal})
    if not rows:
        raise PrincipalNotFound(f"Tenant {tenant} has no principal {principal}.")
    return _principal(rows[0])


def _principal(row: sqlite3.Row) -> PrincipalRow:
    return PrincipalRow(**{**dict(row), "grants": parse_grants(row["grants"])})
