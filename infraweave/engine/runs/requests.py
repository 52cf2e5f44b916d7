"""Requests to the engine and its responses, as plain values."""

from __future__ import annotations

from attrs import field

from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.run.events import Origin, Trigger
from infraweave.core.run.rerun import RerunNodes, ReusedNodes
from infraweave.core.run.state import RunState
from infraweave.core.trace_context import TraceContext
from infraweave.core.workflow.graph import Graph
from infraweave.store.runs import RunRow
from infraweave.store.sqlite.audit_record import AuditRecord


@frozen(kw_only=True)
class StartRequest:
    """A request to start a run."""

    tenant: str
    by: str
    workflow_id: str
    workflow_version: str | None = None
    input: Json = field(factory=dict)
    tags: dict[str, str] = field(factory=dict)
    trigger: Trigger = "api"
    trace: TraceContext
    idempotency_key: str | None = None
    #: SHA-256 of the canonical body, hexadecimal. A request that repeats the key must have the same digest.
    body_digest: str | None = None
    #: The earliest start in milliseconds; the run starts at once if this is None or in the past.
    start_at: int | None = None
    #: The run that this one repeats, and the results that it keeps.
    rerun_of: str | None = None
    reused: ReusedNodes | None = None
    #: The audit record that is written if the request starts a run.
    record: AuditRecord | None = None


@frozen(kw_only=True)
class RerunWish:
    """What to rerun: everything without ``from_node``, in the run's own version without ``version``."""

    from_node: str | None = None
    #: A JSON Merge Patch of the input; None leaves the input unchanged.
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
    """A durable run. ``replayed`` is True if an earlier request started it."""

    run: RunRow
    replayed: bool


@frozen
class Delivered:
    """A durable signal. ``duplicate`` is True if an earlier request sent it."""

    request_id: str
    duplicate: bool


@frozen(kw_only=True)
class Inspection:
    """The state of a run according to its events, without payloads.

    ``blocked`` names the nodes that wait for their code to be loaded. ``asked`` is the data that people see
    beside a prompt, by request_id.
    """

    origin: Origin
    state: RunState
    graph: Graph
    blocked: list[str]
    input: Json
    asked: dict[str, Json]
