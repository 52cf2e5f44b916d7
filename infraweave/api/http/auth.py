"""Who asks, and whether they may: bearer tokens, tenants, grants. Fails closed.

Each request asks the database anew, so a revocation works on the next request and nothing has to be
invalidated. Every cause of a 401 has the same words, and another tenant's run is answered exactly like one
that never was. Whether a workflow exists is looked at only after the grant.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from werkzeug.datastructures import Headers

from infraweave.api.http.routing import NOBODY, Caller, Route, require
from infraweave.core.access import Action, Principal, allows, is_token, token_hash
from infraweave.engine.clock import Clock
from infraweave.engine.engine import Engine
from infraweave.errors import RunNotFound, Unauthenticated
from infraweave.store.principals import Principals
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord

CHALLENGE = {"WWW-Authenticate": "Bearer"}


@frozen(eq=False)
class Gate:
    """What stands before every handler."""

    _principals: Principals
    _runs: Runs
    _clock: Clock

    @classmethod
    def of(cls, engine: Engine) -> Gate:
        """Return the gate of an engine."""
        return cls(engine.principals, engine.runs, engine.clock)

    async def identify(self, route: Route, headers: Headers) -> Caller:
        """Return who asks.

        Raises:
            Unauthenticated: there is no token, or it is unknown, revoked or expired.
        """
        if route.on == "public":
            return Caller(NOBODY)
        token = _bearer(headers)
        caller = await self._known(token_hash(token)) if token else None
        if caller is None:
            raise Unauthenticated(headers=CHALLENGE)
        return caller

    async def _known(self, digest: bytes) -> Caller | None:
        found = await self._principals.find_token(digest)
        if found is None:
            return None
        row, principal = found
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= self._clock.now()):
            return None
        return Caller(principal, row.token_id, row.expires_at, digest)

    async def still(self, caller: Caller) -> Principal | None:
        """Return who a caller who is being answered is now, or None where the token is no good any more."""
        again = await self._known(caller.digest)
        return None if again is None else again.principal

    async def may_still(self, caller: Caller, action: Action, run: RunRow) -> bool:
        """Tell whether a caller who is being answered would be let in again."""
        again = await self.still(caller)
        return again is not None and allows(again, action, f"workflow:{run.workflow_id}")

    async def admit(self, route: Route, principal: Principal, path: dict[str, str]) -> RunRow | None:
        """Let the principal pass to what the path names; return the run, if it names one.

        Raises:
            RunNotFound: the run does not exist in the principal's tenant.
            AclDenied: the principal lacks the grant.
        """
        row = await self._run(principal, path["run_id"]) if route.on == "run" else None
        if route.action is not None and route.on != "body":
            require(principal, route.action, _resource(route, path, row))
        return row

    async def _run(self, principal: Principal, run_id: str) -> RunRow:
        row = await self._runs.get(run_id)
        if row is None or row.tenant != principal.tenant:
            raise RunNotFound(f"No run {run_id}.")
        return row


def admit_body(route: Route, principal: Principal, body: Any, record: AuditRecord) -> None:
    """Let the principal pass to the workflow that the body names, which the audit record then names too.

    Raises:
        AclDenied: the principal lacks the grant.
    """
    if route.on == "body" and route.action is not None:
        record.resource = f"workflow:{body.workflow_id}"
        require(principal, route.action, f"workflow:{body.workflow_id}")


def _resource(route: Route, path: dict[str, str], row: RunRow | None) -> str:
    if row is not None:
        return f"workflow:{row.workflow_id}"
    if route.on == "workflow":
        return f"workflow:{path['workflow_id']}"
    if route.on == "schedule":
        return f"workflow:{path['schedule_id'].partition(':')[0]}"
    return "tenant:*" if route.on == "tenant" else "workflow:*"


def _bearer(headers: Headers) -> str | None:
    """Return the token of the one Authorization header, if it has the form of a token."""
    values = headers.getlist("Authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and is_token(token) else None
