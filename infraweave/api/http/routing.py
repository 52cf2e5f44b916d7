"""What a route is: one row of the table that registers it, guards it, reads for it, and describes it.

A handler is given a ``Call`` in which everything is read and checked already, and returns an ``Answer``. So a
handler never sees Quart, and a route that is not in the table does not exist.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen
from werkzeug.datastructures import Headers

from infraweave.core import access
from infraweave.core.access import Action, Principal
from infraweave.core.data.values import Json
from infraweave.errors import AclDenied, RequestError
from infraweave.store.runs import RunRow
from infraweave.store.sqlite.audit_record import AuditRecord

JSON = "application/json"
#: Bytes of a body that holds no value of a workflow.
SMALL = 64 * 1024
SSE = "text/event-stream"

Q = TypeVar("Q")
B = TypeVar("B")

#: Who asks where no token is wanted: may do nothing.
NOBODY = Principal("", "")


@frozen
class Caller:
    """Who asks, and by which token: its id, when it expires (milliseconds), and its hash."""

    principal: Principal
    token_id: str = ""
    expires_at: int | None = None
    digest: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class NoQuery:
    """No query parameters."""


@frozen(kw_only=True)
class Call(Generic[Q, B]):
    """One request: who asks, what for, and how the answer is wanted."""

    request_id: str
    caller: Caller
    #: For the audit log; whoever writes what is asked for writes it too.
    record: AuditRecord
    path: Mapping[str, str]
    query: Q
    body: B
    #: The body as it was sent; None where there was none.
    sent: Json
    headers: Headers
    #: Where the app is mounted; "" at the top.
    root: str = ""
    #: The body's bytes; only where the route is ``raw``.
    raw: bytes
    #: The media type of the answer.
    accept: str
    _run: RunRow | None = None

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self.caller.principal

    def may_read(self, workflow_id: str) -> bool:
        """Tell whether who asks may read a workflow; without it an act answers with what it needs alone."""
        return access.allows(self.principal, "read", f"workflow:{workflow_id}")

    @property
    def run(self) -> RunRow:
        """The run of the path, which the principal may act on.

        Raises:
            LookupError: the route is not ``on`` a run.
        """
        if self._run is None:
            raise LookupError("this route names no run")
        return self._run


@frozen
class Answer:
    """What goes back. ``body``: a shape, JSON that is encoded already, a stream of blocks, or nothing."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    media: str = JSON


Handler: TypeAlias = Callable[[Call[Any, Any]], Awaitable[Answer]]
Blocks: TypeAlias = AsyncIterator[bytes]


@frozen(kw_only=True)
class Header:
    """A header that a route takes or gives, for the description."""

    name: str
    doc: str
    schema: Mapping[str, Any] = field(factory=lambda: {"type": "string"})


#: What makes a start happen once.
KEY = Header(
    name="Idempotency-Key",
    doc="The same key with the same body gives the run that it made.",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
)


@frozen(kw_only=True)
class Reply:
    """One answer of a route, for the description. ``shape`` None: no content."""

    doc: str
    shape: Any = None
    media: Sequence[tuple[str, Any]] = ()
    headers: Sequence[Header] = ()


#: What a grant is wanted on: the run of the path, the workflow of the path, that of the path's schedule, that
#: of the body, all of the tenant's workflows, the tenant; ``own``: a token is enough, and the answer holds
#: only what it may read; ``public``: not even a token.
Target: TypeAlias = Literal["run", "workflow", "schedule", "body", "workflows", "tenant", "own", "public"]


@frozen(kw_only=True)
class Route:
    """One row of the table."""

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    summary: str
    on: Target
    #: What the principal must be allowed; None with ``own`` and ``public``.
    action: Action | None = None
    query: type = NoQuery
    body: type | None = None
    #: False: the body may be left out.
    body_required: bool = True
    #: Bytes that the body may have at most; None: as many as the setting allows.
    max_body: int | None = SMALL
    #: True: the handler gets the bytes of the body, any JSON, and reads them itself.
    raw: bool = False
    #: Fields of the body that are nobody's business: taken, and left alone.
    ignores: Sequence[str] = ()
    produces: Sequence[str] = (JSON,)
    #: True: for browsers. Whatever they accept is not looked at, and queries are the page's business.
    page: bool = False
    takes: Sequence[Header] = ()
    replies: Mapping[int, Reply]
    errors: Sequence[type[RequestError]] = ()


@contextmanager
def veiled(call: Call[Any, Any], workflow_id: str, *kinds: type[RequestError]) -> Iterator[None]:
    """Tell a caller who may not read a workflow that an act is refused, and nothing of what it was about.

    Raises:
        RequestError: one of ``kinds`` was raised; without what it says of the workflow, for such a caller.
    """
    try:
        yield
    except kinds as error:
        if call.may_read(workflow_id):
            raise
        message = f"{type(error)().message} Its details need read on workflow:{workflow_id}."
        raise type(error)(message, headers=error.headers) from None


def require(principal: Principal, action: Action, resource: str) -> None:
    """Let a principal pass who holds the grant.

    Raises:
        AclDenied: it does not.
    """
    if not access.allows(principal, action, resource):
        raise AclDenied(f"Principal lacks {action} on {resource}.")
