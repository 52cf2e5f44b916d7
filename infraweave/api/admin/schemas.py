"""The shapes of administration: tenants, principals, grants, and the audit log."""

from __future__ import annotations

from typing import Any, Literal

from attrs import NOTHING, frozen

from infraweave.api.http.decoding import read_time
from infraweave.api.runs.queries import cursor, integer, one_of, text
from infraweave.api.runs.schemas import Time, given, said
from infraweave.core.access import LONGEST_NAME, parse_grant

# --- what callers send -------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CreateTenant:
    """A new tenant; one that exists stays as it is."""

    tenant: str = said("Its name.", minLength=1, maxLength=LONGEST_NAME)


@frozen(kw_only=True)
class CreatePrincipal:
    """A principal of a tenant; one that exists gets the grants too."""

    tenant: str = said("The tenant; made if it is new.", minLength=1, maxLength=LONGEST_NAME)
    principal: str = said("Its name within the tenant.", minLength=1, maxLength=LONGEST_NAME)
    grants: tuple[str, ...] = said("ACTION:RESOURCE, such as execute:workflow:*", default=())


@frozen(kw_only=True)
class AddGrants:
    """More that a principal may do."""

    tenant: str = said("Its tenant.", minLength=1, maxLength=LONGEST_NAME)
    principal: str = said("The principal.", minLength=1, maxLength=LONGEST_NAME)
    grants: tuple[str, ...] = said("ACTION:RESOURCE, such as execute:workflow:*")


def _wanted(doc: str, read: Any = str) -> Any:
    return given(read, doc, {"type": "string"}, NOTHING)


def _grant(spelt: str) -> str:
    return str(parse_grant(spelt))


@frozen(kw_only=True)
class TenantQuery:
    """Whose to list."""

    tenant: str | None = text("Only of this tenant.")


@frozen(kw_only=True)
class GrantsQuery:
    """Whose grants to list."""

    tenant: str | None = text("Only of this tenant.")
    principal: str | None = text("Only of this principal.")


@frozen(kw_only=True)
class PrincipalQuery:
    """Which principal to delete."""

    tenant: str = _wanted("Its tenant.")
    principal: str = _wanted("Its name.")


@frozen(kw_only=True)
class GrantQuery:
    """Which grant to take away."""

    tenant: str = _wanted("The principal's tenant.")
    principal: str = _wanted("The principal.")
    grant: str = _wanted("ACTION:RESOURCE.", _grant)


# --- what is answered --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Tenant:
    """A tenant."""

    tenant: str
    created_at: Time
    principals: int = said("How many it has.")


@frozen(kw_only=True)
class TenantList:
    """All tenants, by name."""

    tenants: tuple[Tenant, ...]


@frozen(kw_only=True)
class PrincipalShown:
    """A principal, and what it may do."""

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
    """One thing that a principal may do."""

    tenant: str
    principal: str
    grant: str


@frozen(kw_only=True)
class GrantList:
    """Grants, by tenant, principal and spelling."""

    grants: tuple[GrantShown, ...]


# --- the audit log -----------------------------------------------------------------------------------------


@frozen(kw_only=True)
class AuditQuery:
    """Which rows of the audit log to read."""

    tenant: str | None = text("Only what principals of this tenant asked.")
    principal: str | None = text("Only what this principal asked.")
    token_id: str | None = text("Only what was asked with this token.")
    action: str | None = text("Only this action, such as start_run: the operationId of a route.")
    resource: str | None = text("Only this resource, such as run:run_01J9….")
    outcome: Literal["allowed", "denied"] | None = given(
        one_of(("allowed", "denied")), "Only these.", {"type": "string", "enum": ["allowed", "denied"]}
    )
    request_id: str | None = text("Only what this request did.")
    after: int | None = given(read_time, "Not before this time.", {"type": "string", "format": "date-time"})
    before: int | None = given(read_time, "Before this time.", {"type": "string", "format": "date-time"})
    limit: int = given(
        integer(1, 1000),
        "How many at most.",
        {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        100,
    )
    cursor: str | None = cursor()


@frozen(kw_only=True)
class AuditEntry:
    """Who did what, or was kept from it."""

    at: Time
    tenant: str | None = said("Of who asked; null where nobody knows who it was.")
    principal: str | None
    token_id: str | None
    action: str = said("The operationId of a route, or what the command line did.")
    resource: str = said("kind:id.")
    outcome: Literal["allowed", "denied"]
    reason: str | None = said("The code of the refusal.")
    detail: str | None
    request_id: str | None = said("Null for the command line, on the file.")
    source: Literal["http", "cli"]


@frozen(kw_only=True)
class AuditPage:
    """A page of the audit log, newest first."""

    audit: tuple[AuditEntry, ...]
    next_cursor: str | None
