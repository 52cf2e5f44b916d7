"""A record for the audit log, on its way from a request to the transaction that performs its action."""

from __future__ import annotations

from attrs import evolve, field

from infraweave.core.data.redact import redact
from infraweave.core.records import define
from infraweave.store.sqlite.row_changes import Row

#: Characters of a column that are stored; callers choose what some columns hold.
MAX_LENGTH = 300


@define(eq=False, kw_only=True)
class AuditRecord:
    """One row of the log to be written; ``at`` in milliseconds. See schema/5_audit.sql."""

    at: int
    action: str
    resource: str
    tenant: str | None = None
    principal: str | None = None
    token_id: str | None = None
    request_id: str | None = None
    source: str = "http"
    outcome: str = "allowed"
    reason: str | None = None
    detail: str | None = None
    #: True once it was given to the writer.
    is_written: bool = field(default=False, init=False)

    def for_action(self, action: str, resource: str) -> AuditRecord:
        """Return a record of another action of the same request."""
        return evolve(self, action=action, resource=resource)

    def denied(self, reason: str, detail: str) -> AuditRecord:
        """Return the record of a refusal."""
        return evolve(self, outcome="denied", reason=reason, detail=detail)

    def row(self) -> Row:
        """Return the row of the statement ``insert_audit``, without tokens that a caller gave as a name."""
        who = (self.tenant, self.principal, self.token_id, self.action, self.resource)
        what = (self.outcome, self.reason, self.detail, self.request_id, self.source)
        return (self.at, *(None if text is None else redact(text)[:MAX_LENGTH] for text in (*who, *what)))
