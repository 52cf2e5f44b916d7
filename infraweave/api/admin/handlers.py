"""Handlers of tenants, principals, grants and the audit log.

An admin's grant covers all tenants. Removing a grant also ends the open streams that needed it.
"""

from __future__ import annotations

from infraweave.api.admin import schemas
from infraweave.api.admin.tokens import read_grants
from infraweave.api.http.cursors import Cursors
from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.core.access import parse_grant
from infraweave.core.lazy_records import frozen
from infraweave.engine.engine import Engine
from infraweave.store.audit import AuditFilters


@frozen(eq=False)
class AdminHandlers:
    """The handlers of administration."""

    _engine: Engine
    _cursors: Cursors = Cursors.field()

    async def tenants(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """List the tenants."""
        rows = await self._engine.admin.tenants()
        return ApiResponse(schemas.TenantList(tenants=tuple(present(schemas.Tenant, row) for row in rows)))

    async def create_tenant(self, request: ApiRequest[NoQuery, schemas.CreateTenant]) -> ApiResponse:
        """Create a tenant and publish the loaded workflows to it."""
        engine, name = self._engine, request.body.tenant
        request.record.resource = f"tenant:{name}"
        row = await engine.admin.create_tenant(name, engine.clock.now(), request.record)
        await engine.catalog.publish_loaded(name)
        return ApiResponse(present(schemas.Tenant, row), 201)

    async def principals(self, request: ApiRequest[schemas.TenantQuery, None]) -> ApiResponse:
        """List principals and their grants."""
        rows = await self._engine.admin.principals(request.query.tenant)
        return ApiResponse(
            schemas.PrincipalList(principals=tuple(present(schemas.PrincipalShown, row) for row in rows))
        )

    async def create_principal(self, request: ApiRequest[NoQuery, schemas.CreatePrincipal]) -> ApiResponse:
        """Create a principal, or add grants to an existing one."""
        engine, body = self._engine, request.body
        grants = read_grants(body.grants)
        request.record.resource = _named(body.tenant, body.principal)
        request.record.detail = " ".join(body.grants) or None
        row = await engine.admin.create_principal(
            body.tenant, body.principal, grants, engine.clock.now(), request.record
        )
        await engine.catalog.publish_loaded(body.tenant)
        return ApiResponse(present(schemas.PrincipalShown, row), 201)

    async def delete_principal(self, request: ApiRequest[schemas.PrincipalQuery, None]) -> ApiResponse:
        """Delete a principal with its grants and tokens; its open streams end."""
        query = request.query
        request.record.resource = _named(query.tenant, query.principal)
        await self._engine.admin.delete_principal(query.tenant, query.principal, request.record)
        self._engine.revocation.notify()
        return ApiResponse(status=204)

    async def grants(self, request: ApiRequest[schemas.GrantsQuery, None]) -> ApiResponse:
        """List grants."""
        principal = request.query.principal
        rows = [
            present(schemas.GrantShown, row, grant=grant)
            for row in await self._engine.admin.principals(request.query.tenant)
            if principal in (None, row.principal)
            for grant in sorted(map(str, row.grants))
        ]
        return ApiResponse(schemas.GrantList(grants=tuple(rows)))

    async def add_grants(self, request: ApiRequest[NoQuery, schemas.AddGrants]) -> ApiResponse:
        """Add grants to a principal."""
        engine, body = self._engine, request.body
        grants = read_grants(body.grants)
        request.record.resource, request.record.detail = (
            _named(body.tenant, body.principal),
            " ".join(body.grants),
        )
        row = await engine.admin.grant(
            body.tenant, body.principal, grants, engine.clock.now(), request.record
        )
        return ApiResponse(present(schemas.PrincipalShown, row))

    async def delete_grant(self, request: ApiRequest[schemas.GrantQuery, None]) -> ApiResponse:
        """Remove a grant from a principal; streams that needed it end."""
        query, admin = request.query, self._engine.admin
        request.record.resource, request.record.detail = _named(query.tenant, query.principal), query.grant
        row = await admin.remove_grant(
            query.tenant, query.principal, parse_grant(query.grant), request.record
        )
        self._engine.revocation.notify()
        return ApiResponse(present(schemas.PrincipalShown, row))

    async def audit(self, request: ApiRequest[schemas.AuditQuery, None]) -> ApiResponse:
        """Read the audit log: who did what, or was denied it. Newest first."""
        query, engine = request.query, self._engine
        await engine.audit_buffer.flush()  # buffered denials belong to the log
        names = ("tenant", "principal", "token_id", "action", "resource", "outcome", "request_id")
        filters = AuditFilters(
            **{name: getattr(query, name) for name in names}, after=query.after, before=query.before
        )
        before = await self._cursors.read("audit", request)
        rows = await engine.audit.list(filters, limit=query.limit + 1, cursor=before)
        page, is_more = rows[: query.limit], len(rows) > query.limit
        last = page[-1].audit_id if is_more else None
        next_cursor = await self._cursors.issue("audit", request, last)
        return ApiResponse(
            schemas.AuditPage(
                audit=tuple(present(schemas.AuditEntry, row) for row in page), next_cursor=next_cursor
            )
        )


def _named(tenant: str, principal: str) -> str:
    return f"principal:{tenant}/{principal}"
