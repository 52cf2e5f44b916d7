"""The part of the table for those who administer: tokens, tenants, principals, grants, the audit log."""

from __future__ import annotations

from typing import Any

from infraweave.api.admin import schemas as admin_schemas
from infraweave.api.admin.handlers import AdminRoutes
from infraweave.api.admin.tokens import TokenRoutes
from infraweave.api.http.routing import Reply, Route
from infraweave.api.runs import schemas
from infraweave.engine.engine import Engine
from infraweave.errors import (
    GrantNotFound,
    InvalidCursor,
    PrincipalNotFound,
    StorageUnavailable,
    TenantNotFound,
    TokenNotFound,
)

_NONE = (TenantNotFound, PrincipalNotFound)


def admin_routes(engine: Engine) -> list[Route]:
    """Return the routes of administration, bound to an engine."""
    tokens, admin = TokenRoutes(engine), AdminRoutes(engine)
    return [
        *_tokens(tokens, "", "/v1/tokens"),
        *_tokens(tokens, "admin_", "/v1/admin/tokens"),
        *_tenants(admin),
        *_principals(admin),
        *_grants(admin),
        _audit(admin),
    ]


def _route(name: str, method: Any, path: str, handler: Any, summary: str, **more: Any) -> Route:
    errors = (*more.pop("errors", ()), *(() if method == "GET" else (StorageUnavailable,)))
    return Route(
        name=name,
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        on="tenant",
        action="admin",
        errors=errors,
        **more,
    )


def _tokens(tokens: TokenRoutes, prefix: str, path: str) -> list[Route]:
    return [
        _route(
            f"{prefix}create_token",
            "POST",
            path,
            tokens.create,
            "Create a token; it is told this once",
            body=schemas.CreateToken,
            replies={201: Reply(doc="The token.", shape=schemas.NewToken)},
        ),
        _route(
            f"{prefix}list_tokens",
            "GET",
            path,
            tokens.list,
            "List tokens",
            replies={200: Reply(doc="All tokens, without their text.", shape=schemas.TokenList)},
        ),
        _route(
            f"{prefix}revoke_token",
            "DELETE",
            f"{path}/{{token_id}}",
            tokens.revoke,
            "Revoke a token, from its next request on; its open streams end",
            replies={200: Reply(doc="The token, revoked.", shape=schemas.Token)},
            errors=(TokenNotFound,),
        ),
    ]


def _tenants(admin: AdminRoutes) -> list[Route]:
    path = "/v1/admin/tenants"
    return [
        _route(
            "list_tenants",
            "GET",
            path,
            admin.tenants,
            "List tenants",
            replies={200: Reply(doc="All tenants.", shape=admin_schemas.TenantList)},
        ),
        _route(
            "create_tenant",
            "POST",
            path,
            admin.create_tenant,
            "Make a tenant; the loaded workflows are published to it",
            body=admin_schemas.CreateTenant,
            replies={201: Reply(doc="The tenant.", shape=admin_schemas.Tenant)},
        ),
    ]


def _principals(admin: AdminRoutes) -> list[Route]:
    path = "/v1/admin/principals"
    return [
        _route(
            "list_principals",
            "GET",
            path,
            admin.principals,
            "List principals and what they may do",
            query=admin_schemas.TenantQuery,
            replies={200: Reply(doc="The principals.", shape=admin_schemas.PrincipalList)},
        ),
        _route(
            "create_principal",
            "POST",
            path,
            admin.create_principal,
            "Make a principal, or give one that exists more grants",
            body=admin_schemas.CreatePrincipal,
            replies={201: Reply(doc="The principal.", shape=admin_schemas.PrincipalShown)},
        ),
        _route(
            "delete_principal",
            "DELETE",
            path,
            admin.delete_principal,
            "Forget a principal with its grants and its tokens; its open streams end",
            query=admin_schemas.PrincipalQuery,
            replies={204: Reply(doc="It is gone; its runs and its audit log stay.")},
            errors=_NONE,
        ),
    ]


def _grants(admin: AdminRoutes) -> list[Route]:
    path, shown = "/v1/admin/grants", Reply(doc="The principal.", shape=admin_schemas.PrincipalShown)
    return [
        _route(
            "list_grants",
            "GET",
            path,
            admin.grants,
            "List grants",
            query=admin_schemas.GrantsQuery,
            replies={200: Reply(doc="The grants.", shape=admin_schemas.GrantList)},
        ),
        _route(
            "add_grants",
            "POST",
            path,
            admin.add_grants,
            "Let a principal do more",
            body=admin_schemas.AddGrants,
            replies={200: shown},
            errors=_NONE,
        ),
        _route(
            "delete_grant",
            "DELETE",
            path,
            admin.delete_grant,
            "Take a grant from a principal; streams that needed it end",
            query=admin_schemas.GrantQuery,
            replies={200: shown},
            errors=(*_NONE, GrantNotFound),
        ),
    ]


def _audit(admin: AdminRoutes) -> Route:
    return _route(
        "read_audit",
        "GET",
        "/v1/audit",
        admin.audit,
        "Read the audit log: who did what, or was kept from it",
        query=admin_schemas.AuditQuery,
        replies={200: Reply(doc="A page, newest first.", shape=admin_schemas.AuditPage)},
        errors=(InvalidCursor, StorageUnavailable),
    )
