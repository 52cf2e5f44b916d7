"""Administration: tenants, principals, grants, and what the audit log says of them all.

An admin's grant is on all tenants. What is taken away ends open streams too.
"""

from __future__ import annotations

from attrs import field, frozen

from infraweave.api.admin import schemas as shapes
from infraweave.api.admin.tokens import read_grants
from infraweave.api.http.cursors import Cursors
from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.runs import presenters
from infraweave.core.access import parse_grant
from infraweave.core.data.values import rfc3339
from infraweave.engine.engine import Engine
from infraweave.store.admin import PrincipalRow, TenantRow
from infraweave.store.audit import AuditFilters, AuditRow


@frozen(eq=False)
class AdminRoutes:
    """The handlers of administration."""

    _engine: Engine
    _cursors: Cursors = field(init=False)

    @_cursors.default
    def _made(self) -> Cursors:
        return Cursors(self._engine)

    async def tenants(self, call: Call[NoQuery, None]) -> Answer:  # noqa: ARG002 - every handler takes a call
        """List the tenants."""
        rows = await self._engine.admin.tenants()
        return Answer(shapes.TenantList(tenants=tuple(map(_tenant, rows))))

    async def create_tenant(self, call: Call[NoQuery, shapes.CreateTenant]) -> Answer:
        """Make a tenant and publish the loaded workflows to it."""
        engine, name = self._engine, call.body.tenant
        call.record.resource = f"tenant:{name}"
        row = await engine.admin.create_tenant(name, engine.clock.now(), call.record)
        await engine.catalog.publish_loaded(name)
        return Answer(_tenant(row), 201)

    async def principals(self, call: Call[shapes.TenantQuery, None]) -> Answer:
        """List principals."""
        rows = await self._engine.admin.principals(call.query.tenant)
        return Answer(shapes.PrincipalList(principals=tuple(map(_principal, rows))))

    async def create_principal(self, call: Call[NoQuery, shapes.CreatePrincipal]) -> Answer:
        """Make a principal, or give one that exists more grants."""
        engine, body = self._engine, call.body
        grants = read_grants(body.grants)
        call.record.resource = _named(body.tenant, body.principal)
        call.record.detail = " ".join(body.grants) or None
        row = await engine.admin.create_principal(
            body.tenant, body.principal, grants, engine.clock.now(), call.record
        )
        await engine.catalog.publish_loaded(body.tenant)
        return Answer(_principal(row), 201)

    async def delete_principal(self, call: Call[shapes.PrincipalQuery, None]) -> Answer:
        """Forget a principal, its grants and its tokens."""
        query = call.query
        call.record.resource = _named(query.tenant, query.principal)
        await self._engine.admin.delete_principal(query.tenant, query.principal, call.record)
        self._engine.revocation.notify()
        return Answer(status=204)

    async def grants(self, call: Call[shapes.GrantsQuery, None]) -> Answer:
        """List grants, one row each."""
        wanted = call.query.principal
        shown = [
            shapes.GrantShown(tenant=row.tenant, principal=row.principal, grant=grant)
            for row in await self._engine.admin.principals(call.query.tenant)
            if wanted in (None, row.principal)
            for grant in presenters.grants(row.grants)
        ]
        return Answer(shapes.GrantList(grants=tuple(shown)))

    async def add_grants(self, call: Call[NoQuery, shapes.AddGrants]) -> Answer:
        """Let a principal do more."""
        engine, body = self._engine, call.body
        grants = read_grants(body.grants)
        call.record.resource, call.record.detail = _named(body.tenant, body.principal), " ".join(body.grants)
        row = await engine.admin.grant(body.tenant, body.principal, grants, engine.clock.now(), call.record)
        return Answer(_principal(row))

    async def delete_grant(self, call: Call[shapes.GrantQuery, None]) -> Answer:
        """Take one grant from a principal."""
        query, admin = call.query, self._engine.admin
        call.record.resource, call.record.detail = _named(query.tenant, query.principal), query.grant
        row = await admin.remove_grant(query.tenant, query.principal, parse_grant(query.grant), call.record)
        self._engine.revocation.notify()
        return Answer(_principal(row))

    async def audit(self, call: Call[shapes.AuditQuery, None]) -> Answer:
        """Read the audit log, newest first; what has been gathered is written before."""
        query, engine = call.query, self._engine
        await engine.audit_buffer.flush()
        names = ("tenant", "principal", "token_id", "action", "resource", "outcome", "request_id")
        filters = AuditFilters(
            **{name: getattr(query, name) for name in names}, after=query.after, before=query.before
        )
        before = await self._cursors.read("audit", call)
        rows = await engine.audit.list(filters, limit=query.limit + 1, cursor=before)
        page, is_more = rows[: query.limit], len(rows) > query.limit
        following = await self._cursors.give("audit", call, page[-1].audit_id) if is_more else None
        return Answer(shapes.AuditPage(audit=tuple(map(_entry, page)), next_cursor=following))


def _named(tenant: str, principal: str) -> str:
    return f"principal:{tenant}/{principal}"


def _tenant(row: TenantRow) -> shapes.Tenant:
    return shapes.Tenant(tenant=row.tenant, created_at=rfc3339(row.created_at), principals=row.principals)


def _principal(row: PrincipalRow) -> shapes.PrincipalShown:
    return shapes.PrincipalShown(
        tenant=row.tenant,
        principal=row.principal,
        created_at=rfc3339(row.created_at),
        grants=presenters.grants(row.grants),
    )


def _entry(row: AuditRow) -> shapes.AuditEntry:
    return shapes.AuditEntry(
        at=rfc3339(row.at),
        tenant=row.tenant,
        principal=row.principal,
        token_id=row.token_id,
        action=row.action,
        resource=row.resource,
        outcome=row.outcome,
        reason=row.reason,
        detail=row.detail,
        request_id=row.request_id,
        source="cli" if row.source == "cli" else "http",
    )
