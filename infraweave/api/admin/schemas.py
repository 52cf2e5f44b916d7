"""Query parameters and bodies of administration: tokens, tenants, principals, grants and the audit log."""

from __future__ import annotations

from typing import Literal

from attrs import NOTHING

from infraweave.api.http.fields import Time, described, query_param
from infraweave.api.http.query_fields import choice, cursor, limit, text, time
from infraweave.core.access import MAX_NAME_LENGTH, parse_grant
from infraweave.core.lazy_records import frozen

_GRANTS = "ACTION:RESOURCE, for example execute:workflow:*"

# --- requests ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CreateTenant:
    """A new tenant. An existing tenant does not change."""

    tenant: str = described("The name of the tenant.", minLength=1, maxLength=MAX_NAME_LENGTH)


@frozen(kw_only=True)
class CreatePrincipal:
    """A principal of a tenant. An existing principal gets the grants in addition."""

    tenant: str = described("The tenant. It is created if it is new.", minLength=1, maxLength=MAX_NAME_LENGTH)
    principal: str = described(
        "The name of the principal within the tenant.", minLength=1, maxLength=MAX_NAME_LENGTH
    )
    grants: tuple[str, ...] = described(_GRANTS, default=())


@frozen(kw_only=True)
class AddGrants:
    """More grants for a principal."""

    tenant: str = described("The tenant of the principal.", minLength=1, maxLength=MAX_NAME_LENGTH)
    principal: str = described("The principal.", minLength=1, maxLength=MAX_NAME_LENGTH)
    grants: tuple[str, ...] = described(_GRANTS)


@frozen(kw_only=True)
class CreateToken:
    """A new token for a principal, and more grants for that principal."""

    tenant: str = described("The tenant. It is created if it is new.", minLength=1, maxLength=MAX_NAME_LENGTH)
    principal: str = described("The principal of the token.", minLength=1, maxLength=MAX_NAME_LENGTH)
    grants: tuple[str, ...] = described(_GRANTS, default=())
    expires: str | None = described(
        "The lifetime of the token, such as 90d. Default: it does not expire.", default=None
    )


@frozen(kw_only=True)
class TenantQuery:
    """The tenant to list."""

    tenant: str | None = text("Only of this tenant.")


@frozen(kw_only=True)
class GrantsQuery:
    """The tenant and the principal to list."""

    tenant: str | None = text("Only of this tenant.")
    principal: str | None = text("Only of this principal.")


@frozen(kw_only=True)
class PrincipalQuery:
    """The principal to delete."""

    tenant: str = text("The tenant of the principal.", required=True)
    principal: str = text("The name of the principal.", required=True)


@frozen(kw_only=True)
class GrantQuery:
    """The grant to remove."""

    tenant: str = text("The tenant of the principal.", required=True)
    principal: str = text("The principal.", required=True)
    grant: str = query_param(
        lambda spelt: str(parse_grant(spelt)), "ACTION:RESOURCE.", {"type": "string"}, NOTHING
    )


# --- responses ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Tenant:
    """A tenant."""

    tenant: str
    created_at: Time
    principals: int = described("The number of principals.")


@frozen(kw_only=True)
class TenantList:
    """All tenants, by name."""

    tenants: tuple[Tenant, ...]


@frozen(kw_only=True)
class PrincipalShown:
    """A principal and its grants."""

    tenant: str
    principal: str
    created_at: Time
    grants: tuple[str, ...]


@frozen(kw_only=True)
class PrincipalList:
    """Principals, by tenant and name."""

    principals: tuple[PrincipalShown, ...]


@frozen(kw_only=True)
class GrantShown:
    """One grant of a principal."""

    tenant: str
    principal: str
    grant: str


@frozen(kw_only=True)
class GrantList:
    """Grants, by tenant, principal and spelling."""

    grants: tuple[GrantShown, ...]


@frozen(kw_only=True)
class NewToken:
    """A token, shown only once."""

    token: str
    token_id: str
    tenant: str
    principal: str
    grants: tuple[str, ...]
    expires_at: Time | None


@frozen(kw_only=True)
class Token:
    """A token, without the text that authenticates."""

    token_id: str
    tenant: str
    principal: str
    grants: tuple[str, ...]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None = described("Coarse: updated at most once a minute.")


@frozen(kw_only=True)
class TokenList:
    """All tokens."""

    tokens: tuple[Token, ...]


# --- the audit log -----------------------------------------------------------------------------------------


@frozen(kw_only=True)
class AuditQuery:
    """The records of the audit log to read."""

    tenant: str | None = text("Only requests of principals of this tenant.")
    principal: str | None = text("Only requests of this principal.")
    token_id: str | None = text("Only requests with this token.")
    action: str | None = text("Only this action, the operationId of a route, for example start_run.")
    resource: str | None = text("Only this resource, for example run:run_01J9….")
    outcome: Literal["allowed", "denied"] | None = choice(("allowed", "denied"), "Only this outcome.")
    request_id: str | None = text("Only records of this request.")
    after: int | None = time("Not before this time.")
    before: int | None = time("Before this time.")
    limit: int = limit(1000, 100)
    cursor: str | None = cursor()


@frozen(kw_only=True)
class AuditEntry:
    """Who did what, or was denied it."""

    at: Time
    tenant: str | None = described("The tenant of the caller. Null: the caller is unknown.")
    principal: str | None
    token_id: str | None
    action: str = described("The operationId of a route, or an action of the command line.")
    resource: str = described("kind:id")
    outcome: Literal["allowed", "denied"]
    reason: str | None = described("The code of the error.")
    detail: str | None
    request_id: str | None = described("Null for the command line on the file.")
    source: Literal["http", "cli"]


@frozen(kw_only=True)
class AuditPage:
    """A page of the audit log, newest first."""

    audit: tuple[AuditEntry, ...]
    next_cursor: str | None
