"""A route: one row that is registered, authorized, decoded for and described in the OpenAPI document.

A handler gets an ``ApiRequest``, decoded and validated, and returns an ``ApiResponse``. It never sees Quart.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import Factory, field

from infraweave.api.http.request_head import HeaderValues
from infraweave.core import access
from infraweave.core.access import Action, Principal
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.errors import AclDenied, Draining, Fault, RequestError, StorageUnavailable, Unstorable
from infraweave.store.runs import RunRow
from infraweave.store.sqlite.audit_record import AuditRecord

JSON = "application/json"
SSE = "text/event-stream"
#: Bytes in a body without values of a workflow.
SMALL = 64 * 1024
#: The errors of every route that writes runs, schedules or webhooks.
WRITE_ERRORS: tuple[type[RequestError], ...] = (Draining, StorageUnavailable, Unstorable)
#: The principal of a request without a token. It has no grants.
ANONYMOUS = Principal("", "")

Q = TypeVar("Q")
B = TypeVar("B")


@frozen
class Caller:
    """A principal and its token: the token's id, expiry (milliseconds) and hash."""

    principal: Principal
    token_id: str = ""
    expires_at: int | None = None
    digest: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class NoQuery:
    """No query parameters."""


@frozen(kw_only=True)
class ApiRequest(Generic[Q, B]):
    """A request as its handler sees it."""

    request_id: str
    caller: Caller
    #: The audit record. A handler whose write includes it marks it as written.
    record: AuditRecord
    path: Mapping[str, str]
    query: Q
    body: B
    #: The body as it was sent; None without a body.
    sent: Json
    headers: HeaderValues
    #: The path where the app is mounted; "" at the top.
    root: str = ""
    #: The bytes of the body, for routes that are ``raw``.
    raw: bytes
    #: The media type of the response.
    accept: str
    _run: RunRow | None = None

    @property
    def principal(self) -> Principal:
        """The principal of the caller."""
        return self.caller.principal

    def may_read(self, workflow_id: str) -> bool:
        """Tell whether the caller may read a workflow. Without it the response to an act is minimal."""
        return access.allows(self.principal, "read", f"workflow:{workflow_id}")

    @property
    def run(self) -> RunRow:
        """The run of the path. The principal may act on it.

        Raises:
            LookupError: the route is not ``on`` a run.
        """
        if self._run is None:
            raise LookupError("this route names no run")
        return self._run


@frozen
class ApiResponse:
    """A response. ``body``: a schema object, encoded JSON, a stream of blocks, or None."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    media: str = JSON


Handler: TypeAlias = Callable[[ApiRequest[Any, Any]], Awaitable[ApiResponse]]
Blocks: TypeAlias = AsyncIterator[bytes]


@frozen(kw_only=True)
class HeaderSpec:
    """The description of a header of a request or a response."""

    name: str
    doc: str
    schema: Mapping[str, Any] = field(factory=lambda: {"type": "string"})


@frozen(kw_only=True)
class ResponseSpec:
    """The description of one response of a route. Without ``schema`` and ``media`` it has no content."""

    doc: str
    schema: Any = None
    media: Sequence[tuple[str, Any]] = ()
    headers: Sequence[HeaderSpec] = ()


#: The resource of the required grant: the run in the path, the workflow in the path, the workflow of the
#: schedule in the path, the workflow in the body, all workflows of the tenant, or the tenant. ``own``: any
#: valid token, and the response contains only what the principal may read. ``public``: no token.
Target: TypeAlias = Literal["run", "workflow", "schedule", "body", "workflows", "tenant", "own", "public"]


@frozen(kw_only=True)
class Route:
    """One route."""

    #: The operationId in the OpenAPI document, and the action in the audit log.
    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    #: What people read about it: the first line of the handler's docstring.
    summary: str = Factory(
        lambda self: (inspect.getdoc(self.handler) or "").partition("\n")[0].rstrip("."), takes_self=True
    )
    on: Target
    #: The action to be granted; None with ``own`` and ``public``.
    action: Action | None = None
    query: type = NoQuery
    body: type | None = None
    #: Decodes the body in place of ``read_body``, in a thread; it gets the faults that are known already.
    decoder: Callable[[Json, Sequence[Fault]], Any] | None = None
    #: False: the body may be left out.
    body_required: bool = True
    #: The largest number of bytes in the body; None: the limit of the settings.
    max_body: int | None = SMALL
    #: True: the handler gets the bytes of the body, any JSON, and decodes them.
    raw: bool = False
    #: Fields of the body that are accepted and dropped.
    ignores: Sequence[str] = ()
    produces: Sequence[str] = (JSON,)
    #: True: a page for browsers. Accept and the query are not checked.
    page: bool = False
    #: Headers of the request.
    headers: Sequence[HeaderSpec] = ()
    responses: Mapping[int, ResponseSpec]
    errors: Sequence[type[RequestError]] = ()


@contextmanager
def hide_details(
    request: ApiRequest[Any, Any], workflow_id: str, *kinds: type[RequestError]
) -> Iterator[None]:
    """Hide the details of an error from a caller without ``read`` on the workflow.

    Raises:
        RequestError: one of ``kinds`` was raised; for such a caller with its general message alone.
    """
    try:
        yield
    except kinds as error:
        if request.may_read(workflow_id):
            raise
        message = f"{type(error)().message} Its details need read on workflow:{workflow_id}."
        raise type(error)(message, headers=error.headers) from None


def require(principal: Principal, action: Action, resource: str) -> None:
    """Require a grant of a principal.

    Raises:
        AclDenied: the principal lacks it.
    """
    if not access.allows(principal, action, resource):
        raise AclDenied(f"Principal lacks {action} on {resource}.")
