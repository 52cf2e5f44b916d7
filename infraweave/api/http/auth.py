"""Authentication by bearer token, and authorization by grants.

Each request reads the token from the database, so a revocation takes effect on the next request. Every cause
of a 401 has the same message. Other tenants' resources return 404, like resources that do not exist. Grants
are checked before the existence of a workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field

from infraweave.api.http.request_head import HeaderValues
from infraweave.api.http.routing import ANONYMOUS, Caller, Route, require
from infraweave.core.access import Action, Principal, allows, is_token, token_hash
from infraweave.core.lazy_records import frozen
from infraweave.engine.clock import Clock
from infraweave.engine.engine import Engine
from infraweave.errors import RunNotFound, Unauthenticated
from infraweave.store.principals import Principals
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord

CHALLENGE = {"WWW-Authenticate": "Bearer"}


@frozen(eq=False)
class Authenticator:
    """Identifies callers and checks their grants."""

    _principals: Principals
    _runs: Runs
    _clock: Clock

    @classmethod
    def of(cls, engine: Engine) -> Authenticator:
        """Return the authenticator of an engine."""
        return cls(engine.principals, engine.runs, engine.clock)

    @classmethod
    def field(cls) -> Any:
        """Return an attrs field with the authenticator of the object's ``_engine``."""
        return field(init=False, default=Factory(lambda self: cls.of(self._engine), takes_self=True))

    async def identify(self, route: Route, headers: HeaderValues) -> Caller:
        """Return the caller of a request.

        Raises:
            Unauthenticated: the token is missing, unknown, revoked or expired.
        """
        if route.on == "public":
            return Caller(ANONYMOUS)
        token = _bearer(headers)
        caller = await self._find(token_hash(token)) if token else None
        if caller is None:
            raise Unauthenticated(headers=CHALLENGE)
        return caller

    async def _find(self, digest: bytes) -> Caller | None:
        found = await self._principals.find_token(digest)
        if found is None:
            return None
        row, principal = found
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= self._clock.now()):
            return None
        return Caller(principal, row.token_id, row.expires_at, digest)

    async def current_principal(self, caller: Caller) -> Principal | None:
        """Return the principal with its present grants; None if the token is no longer valid."""
        found = await self._find(caller.digest)
        return None if found is None else found.principal

    async def is_still_allowed(self, caller: Caller, action: Action, run: RunRow) -> bool:
        """Tell whether a caller with an open stream would be admitted again."""
        principal = await self.current_principal(caller)
        return principal is not None and allows(principal, action, f"workflow:{run.workflow_id}")

    async def authorize(self, route: Route, principal: Principal, path: Mapping[str, str]) -> RunRow | None:
        """Check the grant on the resource of the path; return the run in the path, if any.

        Raises:
            RunNotFound: the run does not exist in the principal's tenant.
            AclDenied: the principal lacks the grant.
        """
        row = await self._run_of_tenant(principal, path["run_id"]) if route.on == "run" else None
        if route.action is not None and route.on != "body":
            require(principal, route.action, _resource(route, path, row))
        return row

    async def _run_of_tenant(self, principal: Principal, run_id: str) -> RunRow:
        row = await self._runs.get(run_id)
        if row is None or row.tenant != principal.tenant:
            raise RunNotFound(f"No run {run_id}.")
        return row


def authorize_body(route: Route, principal: Principal, body: Any, record: AuditRecord) -> None:
    """Check the grant on the workflow in the body, and enter the workflow in the audit record.

    Raises:
        AclDenied: the principal lacks the grant.
    """
    if route.on == "body" and route.action is not None:
        record.resource = f"workflow:{body.workflow_id}"
        require(principal, route.action, f"workflow:{body.workflow_id}")


def _resource(route: Route, path: Mapping[str, str], row: RunRow | None) -> str:
    if row is not None:
        return f"workflow:{row.workflow_id}"
    if route.on == "workflow":
        return f"workflow:{path['workflow_id']}"
    if route.on == "schedule":
        return f"workflow:{path['schedule_id'].partition(':')[0]}"
    return "tenant:*" if route.on == "tenant" else "workflow:*"


def _bearer(headers: HeaderValues) -> str | None:
    """Return the token of the only Authorization header, if it has the form of a token."""
    values = headers.getlist("Authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and is_token(token) else None
