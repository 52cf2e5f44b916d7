"""What is asked of the engine, and what it answers: plain values."""

from __future__ import annotations

from attrs import field, frozen

from infraweave.core.data.values import Json
from infraweave.core.run.events import Origin, Trigger
from infraweave.core.run.rerun import RerunNodes, ReusedNodes
from infraweave.core.run.state import RunState
from infraweave.core.trace_context import TraceContext
from infraweave.core.workflow.graph import Graph
from infraweave.store.runs import RunRow
from infraweave.store.sqlite.audit_record import AuditRecord


@frozen(kw_only=True)
class StartRequest:
    """A run to start, as its caller asked for it."""

    tenant: str
    by: str
    workflow_id: str
    workflow_version: str | None = None
    input: Json = field(factory=dict)
    tags: dict[str, str] = field(factory=dict)
    trigger: Trigger = "api"
    trace: TraceContext
    idempotency_key: str | None = None
    #: SHA-256 of the canonical body, hexadecimal; compared when the key comes again.
    body_digest: str | None = None
    #: Not to be started before, in milliseconds; None or in the past: at once.
    start_at: int | None = None
    #: The run of which this one is a rerun, and what it keeps of that.
    rerun_of: str | None = None
    reused: ReusedNodes | None = None
    #: What the audit log is to say of it, if it makes a run.
    record: AuditRecord | None = None


@frozen(kw_only=True)
class RerunWish:
    """How a run is run again. Without ``from_node`` everything is; without ``version`` its own is used."""

    from_node: str | None = None
    #: A JSON Merge Patch of the input; None: the input stays.
    patch: Json = None
    version: str | None = None


@frozen(kw_only=True)
class PlannedRerun:
    """What a rerun would do."""

    version: str
    plan: RerunNodes
    input: Json
    reused: ReusedNodes


@frozen
class Started:
    """A run that is durable; ``replayed``: it was before."""

    run: RunRow
    replayed: bool


@frozen
class Delivered:
    """A signal that is durable; ``duplicate``: it was before."""

    request_id: str
    duplicate: bool


@frozen(kw_only=True)
class Inspection:
    """What the events of a run say, without payloads; ``blocked`` names nodes whose code is not loaded.

    ``asked`` is what people are shown beside the prompt, by request_id.
    """

    origin: Origin
    state: RunState
    graph: Graph
    blocked: list[str]
    input: Json
    asked: dict[str, Json]
