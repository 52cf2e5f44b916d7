"""Request and response bodies of runs. The names are part of the contract and never change."""

from __future__ import annotations

from typing import Any

from attrs import field

from infraweave.api.http.errors import ErrorInfo
from infraweave.api.http.fields import Time, described
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.core.run.address import Phase
from infraweave.core.run.entries import NodeStateName
from infraweave.core.run.events import Event, RunError, State, Trigger
from infraweave.core.run.history import RowError, RowState

#: Starts in one batch (a limit of the contract).
MAX_BATCH = 1_000

# --- requests ----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StartRun:
    """The workflow to run, and its input."""

    workflow_id: str = described("The workflow to run.")
    workflow_version: str | None = described(
        "The version to run. Default: the active version.", default=None, minLength=1
    )
    input: Json = field(factory=dict, metadata={"doc": "Validated against the version's input schema."})
    tags: dict[str, str] = field(factory=dict, metadata={"doc": "Free labels to find the run by."})
    start_at: Time | None = described(
        "Do not start the run before this time. It is queued until then; a time in the past means now.",
        default=None,
    )


@frozen(kw_only=True)
class BatchItem(StartRun):
    """One start of a batch, with a key of its own."""

    idempotency_key: str | None = described(
        "Printable ASCII. A second item with the same key and content returns the run of the first; so does a"
        " single start with this Idempotency-Key.",
        default=None,
        minLength=1,
        maxLength=255,
    )


@frozen(kw_only=True)
class StartBatch:
    """Several starts. Each is decoded, authorized, validated and refused on its own."""

    runs: tuple[Json, ...] = field(
        metadata={
            "doc": "The starts. An invalid item has an error as its result and does not affect the others.",
            "schema": {"maxItems": MAX_BATCH},
            "each": BatchItem,
        }
    )


@frozen(kw_only=True)
class RerunRun:
    """How to run an ended run again, as a new run."""

    from_node: str | None = described(
        "Where to begin: this node and its dependents run again, and so do nodes that never finished or were"
        " compensated. Other results are reused. Default: everything runs again.",
        default=None,
        minLength=1,
        maxLength=128,
    )
    input: Json = described("A JSON Merge Patch (RFC 7396) of the run's input.", default=None)
    version: str | None = described(
        "The version to run. Default: the version of the run.", default=None, minLength=1
    )
    dry_run: bool = described("True: only return the plan.", default=False)


@frozen(kw_only=True)
class StopRun:
    """Why a run is stopped."""

    reason: str | None = described("Stored with the event, for people.", default=None, maxLength=2000)


@frozen(kw_only=True)
class SendSignal:
    """A signal for a run."""

    request_id: str | None = described(
        "Makes delivery idempotent. The id of an open input request answers that request alone.",
        default=None,
        minLength=1,
        maxLength=255,
    )
    payload: Json = described("Validated against the schema that the node registered.", default=None)


# --- responses ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StartedRun:
    """A run that is durable."""

    run_id: str
    state: State
    workflow_id: str
    workflow_version: str
    started_at: Time | None = described("Null while the run is queued.")


@frozen(kw_only=True)
class BatchResult:
    """The result of one start: 201 or 200 and the run, or another status and the error."""

    status: int = described("The status of a single start.")
    run: StartedRun | None = described("The run, durable.", default=None, omit=True)
    error: ErrorInfo | None = described("Why it was refused.", default=None, omit=True)


@frozen(kw_only=True)
class BatchResults:
    """The result of each start, in order."""

    results: tuple[BatchResult, ...]


@frozen(kw_only=True)
class RerunPlan:
    """What a rerun would do, in the order of the definition. Nothing was started."""

    run_id: str = described("The run to run again.")
    workflow_id: str
    workflow_version: str
    from_node: str | None
    input: Json
    reused: tuple[str, ...] = described("Nodes with reused results.")
    rerun: tuple[str, ...] = described("Nodes that run again.")
    new: tuple[str, ...] = described("Nodes that the version of the first run does not have.")
    gone: tuple[str, ...] = described("Nodes that only the version of the first run has.")


@frozen(kw_only=True)
class Usage:
    """What a run has used so far."""

    tokens: int
    cost_micro_usd: int


@frozen(kw_only=True)
class ListedRun:
    """A run, without its large fields."""

    run_id: str
    state: State
    workflow_id: str
    workflow_version: str
    trigger: Trigger
    tags: dict[str, str]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: RunError | None
    parent_run_id: str | None
    trace_id: str
    start_at: Time | None = described("When a delayed run may start.", default=None, omit=True)
    cancel_requested: bool
    forced: bool = described("True: an operator terminated the run.")
    last_seq: int = described("The seq of the run's newest event.")
    set_aside: bool | None = described(
        "True: the process died repeatedly while it loaded the run. Resume the run, or stop it.",
        default=None,
        omit=True,
    )
    usage: Usage


@frozen(kw_only=True)
class WaitingFor:
    """What a run waits for: a person's answer, a signal, or code that is not loaded (see ``reason``)."""

    node: str
    signal: str | None = None
    request_id: str | None = None
    prompt: str | None = None
    schema: dict[str, Any] | None = None
    since: Time | None = None
    deadline: Time | None = None
    data: Json = described("Shown to the person with the prompt.", default=None, omit=True)
    reason: str | None = described("Why the node cannot open.", default=None, omit=True)


@frozen(kw_only=True)
class MapItems:
    """The progress of a map."""

    total: int
    done: int = described("Items that have ended, failed ones included.")
    failed: int


@frozen(kw_only=True)
class NodeSummary:
    """The progress of one node in this run.

    In a loop the times are those of the newest iteration; attempts, tokens and cost are sums over all.
    """

    node: str
    kind: str
    state: NodeStateName
    attempts: int
    iterations: int
    started_at: Time | None
    finished_at: Time | None
    latency_ms: int | None
    tokens: int
    cost_micro_usd: int
    items: MapItems | None = described("For a map that has begun.", default=None, omit=True)


@frozen(kw_only=True)
class Run(ListedRun):
    """A run with all its fields."""

    rerun_of: str | None = described("The run that this run reran.", default=None, omit=True)
    input: Json
    waiting_for: tuple[WaitingFor, ...]
    nodes: tuple[NodeSummary, ...]


@frozen(kw_only=True)
class RunAcknowledged:
    """The run of an act, for a principal without ``read``."""

    run_id: str
    state: State


@frozen(kw_only=True)
class StopAcknowledged(RunAcknowledged):
    """A run that is being stopped, for a principal without ``read``."""

    cancel_requested: bool


@frozen(kw_only=True)
class RunList:
    """A page of runs, newest first."""

    runs: tuple[ListedRun, ...]
    next_cursor: str | None


@frozen(kw_only=True)
class RunCounts:
    """The number of runs in each state."""

    counts: dict[State, int] = described("Every state, with zeros.")


@frozen(kw_only=True)
class RunExplanation:
    """Why a run does not move."""

    run_id: str
    state: State
    moving: bool = described("True while code of the run executes, or is about to.")
    explanation: str = described("One sentence for a person.")


@frozen(kw_only=True)
class RunSucceeded:
    """The result of a run that succeeded."""

    run_id: str
    state: State
    result: Json = described("The result of the run; may be null.")


@frozen(kw_only=True)
class RunFailed:
    """The error of a run that failed or was cancelled."""

    run_id: str
    state: State
    error: RunError


@frozen(kw_only=True)
class HistoryRow:
    """One attempt."""

    node: str
    kind: str
    iteration: int | None
    index: int | None
    attempt: int
    phase: Phase
    state: RowState
    started_at: Time
    finished_at: Time | None
    latency_ms: int | None
    input: Json = described("For a map item: its own input. The shared input is in the row of the map.")
    output: Json
    error: RowError | None
    tokens: int
    cost_micro_usd: int
    span_id: str
    first_seq: int
    last_seq: int
    child_run_id: str | None = described("The run that the attempt started.", default=None, omit=True)
    retry_at: Time | None = described("When the next attempt begins.", default=None, omit=True)


@frozen(kw_only=True)
class History:
    """A page of a run's history, in order of ``first_seq``."""

    history: tuple[HistoryRow, ...]
    next_cursor: str | None


@frozen(kw_only=True)
class SignalReceipt:
    """A signal that is durable."""

    run_id: str
    name: str
    request_id: str
    duplicate: bool


@frozen(kw_only=True)
class EventPage:
    """A page of a run's events."""

    events: tuple[Event, ...]
    next_after: int = described("The value of ``after`` for the next page.")
    terminal: bool = described("True: the terminal event is on this page or before it.")


@frozen(kw_only=True)
class InputRequest:
    """A question of a run to a person.

    A signal to the run answers it. A signal with its ``request_id`` answers this request alone.
    """

    run_id: str
    workflow_id: str
    workflow_version: str
    node: str
    iteration: int | None
    index: int | None
    signal: str = described("The name of the signal that answers.")
    request_id: str
    prompt: str
    schema: dict[str, Any] = described("The answer is validated against it.")
    data: Json = described("Shown to the person with the prompt.", default=None, omit=True)
    since: Time
    deadline: Time | None


@frozen(kw_only=True)
class InputRequestList:
    """A page of open input requests, oldest first."""

    input_requests: tuple[InputRequest, ...]
    next_cursor: str | None
    total: int = described("The number of requests on all pages.")
