"""Routes of administration: tokens, tenants, principals, grants and the audit log."""

from __future__ import annotations

from typing import Any

from infraweave.api.admin import schemas
from infraweave.api.admin.handlers import AdminHandlers
from infraweave.api.admin.tokens import TokenHandlers
from infraweave.api.http.routing import ResponseSpec, Route
from infraweave.engine.engine import Engine
from infraweave.errors import GrantNotFound, InvalidCursor, PrincipalNotFound, TenantNotFound, TokenNotFound

_NONE = (TenantNotFound, PrincipalNotFound)
_PRINCIPALS, _GRANTS = "/v1/admin/principals", "/v1/admin/grants"


def admin_routes(engine: Engine) -> list[Route]:
    """Return the routes of administration, bound to an engine."""
    tokens, admin = TokenHandlers(engine), AdminHandlers(engine)
    return [
        *_tokens(tokens, "", "/v1/tokens"),
        *_tokens(tokens, "admin_", "/v1/admin/tokens"),
        *_tenants(admin),
        *_principals(admin),
        *_grants(admin),
        _audit(admin),
    ]


def _route(name: str, method: Any, path: str, handler: Any, responses: Any, **more: Any) -> Route:
    return Route(
        name=name,
        method=method,
        path=path,
        handler=handler,
        on="tenant",
        action="admin",
        responses=responses,
        **more,
    )


def _response(status: int, doc: str, schema: Any = None) -> dict[int, ResponseSpec]:
    return {status: ResponseSpec(doc=doc, schema=schema)}


def _tokens(tokens: TokenHandlers, prefix: str, path: str) -> list[Route]:
    return [
        _route(
            f"{prefix}create_token",
            "POST",
            path,
            tokens.create,
            _response(201, "The token.", schemas.NewToken),
            body=schemas.CreateToken,
        ),
        _route(
            f"{prefix}list_tokens",
            "GET",
            path,
            tokens.list,
            _response(200, "All tokens, without their text.", schemas.TokenList),
        ),
        _route(
            f"{prefix}revoke_token",
            "DELETE",
            f"{path}/{{token_id}}",
            tokens.revoke,
            _response(200, "The token, revoked.", schemas.Token),
            errors=(TokenNotFound,),
        ),
    ]


def _tenants(admin: AdminHandlers) -> list[Route]:
    path = "/v1/admin/tenants"
    return [
        _route(
            "list_tenants", "GET", path, admin.tenants, _response(200, "All tenants.", schemas.TenantList)
        ),
        _route(
            "create_tenant",
            "POST",
            path,
            admin.create_tenant,
            _response(201, "The tenant.", schemas.Tenant),
            body=schemas.CreateTenant,
        ),
    ]


def _principals(admin: AdminHandlers) -> list[Route]:
    return [
        _route(
            "list_principals",
            "GET",
            _PRINCIPALS,
            admin.principals,
            _response(200, "The principals.", schemas.PrincipalList),
            query=schemas.TenantQuery,
        ),
        _route(
            "create_principal",
            "POST",
            _PRINCIPALS,
            admin.create_principal,
            _response(201, "The principal.", schemas.PrincipalShown),
            body=schemas.CreatePrincipal,
        ),
        _route(
            "delete_principal",
            "DELETE",
            _PRINCIPALS,
            admin.delete_principal,
            _response(204, "The principal is deleted. Its runs and its audit records remain."),
            query=schemas.PrincipalQuery,
            errors=_NONE,
        ),
    ]


def _grants(admin: AdminHandlers) -> list[Route]:
    changed = _response(200, "The principal.", schemas.PrincipalShown)
    return [
        _route(
            "list_grants",
            "GET",
            _GRANTS,
            admin.grants,
            _response(200, "The grants.", schemas.GrantList),
            query=schemas.GrantsQuery,
        ),
        _route(
            "add_grants",
            "POST",
            _GRANTS,
            admin.add_grants,
            changed,
            body=schemas.AddGrants,
            errors=_NONE,
        ),
        _route(
            "delete_grant",
            "DELETE",
            _GRANTS,
            admin.delete_grant,
            changed,
            query=schemas.GrantQuery,
            errors=(*_NONE, GrantNotFound),
        ),
    ]


def _audit(admin: AdminHandlers) -> Route:
    return _route(
        "read_audit",
        "GET",
        "/v1/audit",
        admin.audit,
        _response(200, "A page, newest first.", schemas.AuditPage),
        query=schemas.AuditQuery,
        errors=(InvalidCursor,),
    )
