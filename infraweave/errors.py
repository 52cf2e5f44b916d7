"""Every error that leaves InfraWeave, in one tree.

    InfraWeaveError
    ├── DeclarationError          a workflow cannot be compiled; lists every fault
    ├── NonRetryable              raised by a node body: do not try again
    ├── StartupError              the server or a command cannot begin (file in use, newer schema, …)
    └── RequestError              has a wire ``code`` and a ``status``; see the table in spec
        ├── 400 MalformedRequest · InvalidCursor
        ├── 401 Unauthenticated
        ├── 403 AclDenied
        ├── 404 RunNotFound · WorkflowNotFound · VersionNotFound · SignalNotFound · TokenNotFound
        │       · RouteNotFound · ScheduleNotFound · WebhookNotFound · TenantNotFound · PrincipalNotFound
        │       · GrantNotFound
        ├── 405 MethodNotAllowed · 406 NotAcceptable · 413 PayloadTooLarge · Unstorable
        │       · 415 UnsupportedMediaType
        ├── 409 RunNotFinished · RunFinished · RunStopping · SignalConflict · VersionConflict
        │       · ScheduleConflict · ScheduleDeclared · WebhookConflict · WebhookDeclared
        ├── 421 MisdirectedRequest
        ├── 422 InputInvalid · PayloadInvalid · IdempotencyMismatch · DefinitionInvalid
        ├── 429 Capacity · RateLimited
        └── 500 Internal · 503 Draining · StorageUnavailable

The docstring of a class is its default message. Nothing here knows HTTP libraries or storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from infraweave.core.lazy_records import frozen


@frozen
class Fault:
    """One thing that is wrong with a value.

    ``path`` is a JSON Pointer into the value. ``code`` is a short stable word for programs. ``message`` tells
    people what is wrong and what was expected; it does not repeat the path.
    """

    path: str
    code: str
    message: str

    def within(self, path: str, label: str = "") -> Fault:
        """Return the fault of the whole that holds the value at ``path``; ``label`` begins its message."""
        return Fault(path + self.path, self.code, label + self.message)

    @property
    def sentence(self) -> str:
        """The path and the message, as one part of a longer message."""
        return f"{self.path or '/'} {self.message}"


class InfraWeaveError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.args[0])


class DeclarationError(InfraWeaveError):
    """The workflow cannot be compiled.

    ``details`` are its faults, with paths into the definition document; ``faults`` are their messages.
    """

    def __init__(self, workflow_id: str, faults: Sequence[Fault]) -> None:
        self.workflow_id = workflow_id
        self.details = tuple(faults)
        self.faults = tuple(fault.message for fault in faults)
        super().__init__(f"Workflow {workflow_id}: " + "; ".join(self.faults))


class NonRetryable(InfraWeaveError):
    """This failure is final; trying again cannot help."""


class StartupError(InfraWeaveError):
    """InfraWeave cannot start."""


class RequestError(InfraWeaveError):
    """A request was refused."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.details = tuple(details)
        self.headers = dict(headers or {})


class MalformedRequest(RequestError):
    """The request is malformed."""

    code, status = "malformed_request", 400


class InvalidCursor(RequestError):
    """The cursor does not come from this server."""

    code, status = "invalid_cursor", 400


class Unauthenticated(RequestError):
    """Authorization: Bearer iw_live_… with a valid token is required."""

    code, status = "unauthenticated", 401


class AclDenied(RequestError):
    """The principal lacks the required grant."""

    code, status = "acl_denied", 403


class RunNotFound(RequestError):
    """No such run."""

    code, status = "run_not_found", 404


class WorkflowNotFound(RequestError):
    """No such workflow."""

    code, status = "workflow_not_found", 404


class VersionNotFound(RequestError):
    """No such version of this workflow."""

    code, status = "version_not_found", 404


class SignalNotFound(RequestError):
    """The workflow has no signal of that name."""

    code, status = "signal_not_found", 404


class TokenNotFound(RequestError):
    """No such token."""

    code, status = "token_not_found", 404


class TenantNotFound(RequestError):
    """No such tenant."""

    code, status = "tenant_not_found", 404


class PrincipalNotFound(RequestError):
    """No such principal of this tenant."""

    code, status = "principal_not_found", 404


class GrantNotFound(RequestError):
    """The principal has no such grant."""

    code, status = "grant_not_found", 404


class ScheduleNotFound(RequestError):
    """No such schedule."""

    code, status = "schedule_not_found", 404


class WebhookNotFound(RequestError):
    """No webhook accepts this delivery: its name, its signature or its time of signing does not match."""

    code, status = "webhook_not_found", 404


class RouteNotFound(RequestError):
    """There is nothing at this path; /openapi.json lists every route."""

    code, status = "route_not_found", 404


class MethodNotAllowed(RequestError):
    """This path does not support the method."""

    code, status = "method_not_allowed", 405


class NotAcceptable(RequestError):
    """None of the media types in Accept is available."""

    code, status = "not_acceptable", 406


class RequestTimeout(RequestError):
    """The request did not arrive in time; send it at once."""

    code, status = "request_timeout", 408


class PayloadTooLarge(RequestError):
    """The body is too large."""

    code, status = "payload_too_large", 413


class Unstorable(RequestError):
    """The result of this request cannot be stored: it is too large, or JSON cannot represent it."""

    code, status = "unstorable", 413
    #: The run whose events were refused; None for requests that only depend on it.
    run_key: int | None = None

    @classmethod
    def of(cls, run_key: int, reason: object) -> Unstorable:
        """Return the refusal of a run's events."""
        error = cls(f"The result of this request cannot be stored: {reason}")
        error.run_key = run_key
        return error


class UnsupportedMediaType(RequestError):
    """The body must be application/json."""

    code, status = "unsupported_media_type", 415


class HeadTooLarge(RequestError):
    """The head of the request is too large."""

    code, status = "headers_too_large", 431


class RunNotFinished(RequestError):
    """The run has not finished yet; try again, or watch its events."""

    code, status = "run_not_finished", 409


class RunFinished(RequestError):
    """The run has finished and accepts no more signals."""

    code, status = "run_finished", 409


class RunStopping(RequestError):
    """The run is being cancelled or compensated and accepts no more signals."""

    code, status = "run_stopping", 409


class RunSetAside(RequestError):
    """The process died several times while it loaded the run; resume or stop the run."""

    code, status = "run_set_aside", 409


class SignalConflict(RequestError):
    """The signal contradicts one that was already delivered."""

    code, status = "signal_conflict", 409


class VersionConflict(RequestError):
    """This version exists with different content; published versions are immutable."""

    code, status = "version_conflict", 409


class ScheduleConflict(RequestError):
    """A schedule of this name exists."""

    code, status = "schedule_conflict", 409


class ScheduleDeclared(RequestError):
    """A workflow declares this schedule; change it there, or pause it."""

    code, status = "schedule_declared", 409


class WebhookConflict(RequestError):
    """A webhook of this name exists."""

    code, status = "webhook_conflict", 409


class WebhookDeclared(RequestError):
    """A workflow declares this webhook; remove it there."""

    code, status = "webhook_declared", 409


class MisdirectedRequest(RequestError):
    """The Host header does not name this server; `--allow-host` adds a name."""

    code, status = "misdirected_request", 421


class InputInvalid(RequestError):
    """The input does not match the workflow's input schema."""

    code, status = "input_invalid", 422


class PayloadInvalid(RequestError):
    """The payload does not match the schema that the node registered."""

    code, status = "payload_invalid", 422


class IdempotencyMismatch(RequestError):
    """This Idempotency-Key was used with another body; use a new key for a new request."""

    code, status = "idempotency_mismatch", 422


class DefinitionInvalid(RequestError):
    """The definition document is not a valid workflow."""

    code, status = "definition_invalid", 422


class Capacity(RequestError):
    """The queue is full; try again later."""

    code, status = "capacity", 429


class RateLimited(RequestError):
    """Too many requests; try again later."""

    code, status = "rate_limited", 429


class Internal(RequestError):
    """Something broke inside the server; the log has the details under this request_id."""

    code, status = "internal", 500


class Draining(RequestError):
    """The server is shutting down; try again in a moment."""

    code, status = "draining", 503


class StorageUnavailable(RequestError):
    """The database cannot be written; nothing was stored. Try again later."""

    code, status = "storage_unavailable", 503
