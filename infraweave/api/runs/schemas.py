"""The shapes of the wire: every request body, query and answer of the contract, as plain classes.

The routes read and write them and ``openapi`` describes them, so the two cannot disagree.
Times are RFC 3339 text here; ``Time`` marks them. Names are the contract's and never change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from attrs import NOTHING, field, frozen

from infraweave.core.access import LONGEST_NAME
from infraweave.core.data.values import Json
from infraweave.core.run.address import Phase
from infraweave.core.run.entries import NodeStateName
from infraweave.core.run.events import Event, RunError, State, Trigger
from infraweave.core.run.history import RowError, RowState

Time: TypeAlias = Annotated[str, "date-time"]


def said(doc: str, *, default: Any = NOTHING, omit: bool = False, **schema: Any) -> Any:
    """Return a field with its description and what else its schema says; ``omit``: left out while None."""
    metadata: dict[str, Any] = {"doc": doc, "schema": schema}
    if omit:
        metadata["omit"] = True
    return field(default=default, metadata=metadata)


def given(
    read: Callable[[str], Any], doc: str, schema: dict[str, Any], default: Any = None, **more: Any
) -> Any:
    """Return a query parameter: the function that reads its text, and how it is described.

    Without a default (``NOTHING``) it must be given; ``name`` is its name where Python allows none such.
    """
    return field(default=default, metadata={"read": read, "doc": doc, "schema": schema, **more})


# --- what callers send -------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StartRun:
    """Which workflow to run, and with what."""

    workflow_id: str = said("The workflow to run.")
    workflow_version: str | None = said(
        "Its version; the active one where it is left out.", default=None, minLength=1
    )
    input: Json = field(factory=dict, metadata={"doc": "Checked against the version's input schema."})
    tags: dict[str, str] = field(factory=dict, metadata={"doc": "Free labels to find the run by."})
    start_at: Time | None = said(
        "Not to be started before; the run is queued until then, and the past means now.", default=None
    )


@frozen(kw_only=True)
class StopRun:
    """Why a run is stopped."""

    reason: str | None = said("Kept with the event, for people.", default=None, maxLength=2000)


@frozen(kw_only=True)
class SendSignal:
    """A signal for a run."""

    request_id: str | None = said(
        "Makes delivery idempotent; one that was announced answers that request alone.",
        default=None,
        minLength=1,
        maxLength=255,
    )
    payload: Json = said("Checked against the schema that the node registered.", default=None)


@frozen(kw_only=True)
class ActivateVersion:
    """Which version to start from now on."""

    version: str = said("A version that was published.")


@frozen(kw_only=True)
class CreateToken:
    """A new token for a principal, and more grants for that principal."""

    tenant: str = said("The tenant; made if it is new.", minLength=1, maxLength=LONGEST_NAME)
    principal: str = said("The principal that the token speaks for.", minLength=1, maxLength=LONGEST_NAME)
    grants: tuple[str, ...] = said("ACTION:RESOURCE, such as execute:workflow:*", default=())
    expires: str | None = said(
        "How long the token lives, such as 90d; for ever where it is left out.", default=None
    )


# --- runs --------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StartedRun:
    """A run that is durable."""

    run_id: str
    state: State
    workflow_id: str
    workflow_version: str
    started_at: Time | None = said("Null while the run is queued.")


@frozen(kw_only=True)
class Usage:
    """What a run has used so far."""

    tokens: int
    cost_micro_usd: int


@frozen(kw_only=True)
class ListedRun:
    """A run, without what is large."""

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
    start_at: Time | None = said("Where the start was delayed: until when.", default=None, omit=True)
    cancel_requested: bool
    forced: bool = said("True where an operator terminated the run.")
    last_seq: int = said("The number of the run's newest event.")
    set_aside: bool | None = said(
        "True where the process died repeatedly as the run was taken up: it is to be resumed or stopped.",
        default=None,
        omit=True,
    )
    usage: Usage


@frozen(kw_only=True)
class WaitingFor:
    """What a run waits for: a person's answer, a signal, or code that is not loaded (``reason`` says so)."""

    node: str
    signal: str | None = None
    request_id: str | None = None
    prompt: str | None = None
    schema: dict[str, Any] | None = None
    since: Time | None = None
    deadline: Time | None = None
    data: Json = said("Shown to the person with the prompt.", default=None, omit=True)
    reason: str | None = said("Why the node cannot open.", default=None, omit=True)


@frozen(kw_only=True)
class MapItems:
    """How far a map has come."""

    total: int
    done: int = said("Items that have ended, those that failed too.")
    failed: int


@frozen(kw_only=True)
class NodeSummary:
    """One node of the definition, as far as this run has come.

    In a loop the times are of the newest iteration; attempts, tokens and cost are of all.
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
    items: MapItems | None = said("Of a map that has begun.", default=None, omit=True)


@frozen(kw_only=True)
class Run(ListedRun):
    """A run with everything that is known now."""

    rerun_of: str | None = said("The run of which this one is a rerun.", default=None, omit=True)
    input: Json
    waiting_for: tuple[WaitingFor, ...]
    nodes: tuple[NodeSummary, ...]


@frozen(kw_only=True)
class RunAcknowledged:
    """The run of an act, for who may not read it."""

    run_id: str
    state: State


@frozen(kw_only=True)
class StopAcknowledged(RunAcknowledged):
    """The run that was to be stopped, for who may not read it."""

    cancel_requested: bool


@frozen(kw_only=True)
class RunList:
    """A page of runs, newest first."""

    runs: tuple[ListedRun, ...]
    next_cursor: str | None


@frozen(kw_only=True)
class RunCounts:
    """How many runs there are in each state."""

    counts: dict[State, int] = said("Every state, zeros too.")


@frozen(kw_only=True)
class RunSucceeded:
    """The end of a run that succeeded."""

    run_id: str
    state: State
    result: Json = said("What the run came to; may be null.")


@frozen(kw_only=True)
class RunFailed:
    """The end of a run that failed or was cancelled."""

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
    input: Json = said("Of an item what it alone was given; what all of them were given stands with the map.")
    output: Json
    error: RowError | None
    tokens: int
    cost_micro_usd: int
    span_id: str
    first_seq: int
    last_seq: int
    child_run_id: str | None = said("The run that the attempt started.", default=None, omit=True)
    retry_at: Time | None = said("While the next attempt is to come: when.", default=None, omit=True)


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
    next_after: int = said("Give it as ``after`` for the next page.")
    terminal: bool = said("True once the terminal event is in this page or before it.")


# --- workflows, tokens, service ----------------------------------------------------------------------------


@frozen(kw_only=True)
class WorkflowSummary:
    """A workflow and its versions, oldest first."""

    workflow_id: str
    active_version: str
    versions: tuple[str, ...]
    open_runs: int = said("Runs that have not ended, of all versions.")


@frozen(kw_only=True)
class ActivationAcknowledged:
    """The workflow whose version was activated, for who may not read it."""

    workflow_id: str
    active_version: str


@frozen(kw_only=True)
class WorkflowList:
    """The workflows that the principal may read."""

    workflows: tuple[WorkflowSummary, ...]


@frozen(kw_only=True)
class VersionSummary:
    """One version of a workflow."""

    version: str
    active: bool
    open_runs: int
    created_at: Time


@frozen(kw_only=True)
class Workflow:
    """A workflow with its versions, oldest first."""

    workflow_id: str
    active_version: str
    versions: tuple[VersionSummary, ...]


@frozen(kw_only=True)
class NewToken:
    """A token, told this once."""

    token: str
    token_id: str
    tenant: str
    principal: str
    grants: tuple[str, ...]
    expires_at: Time | None


@frozen(kw_only=True)
class Token:
    """What is kept of a token."""

    token_id: str
    tenant: str
    principal: str
    grants: tuple[str, ...]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None = said("Coarse: noted at most once a minute.")


@frozen(kw_only=True)
class TokenList:
    """The tokens of the tenant."""

    tokens: tuple[Token, ...]


@frozen(kw_only=True)
class WhoAmI:
    """Who the token speaks for."""

    tenant: str
    principal: str
    grants: tuple[str, ...]


@frozen(kw_only=True)
class Health:
    """A sign of life."""

    status: Literal["ok", "ready"]
    runs_set_aside: int | None = said(
        "Runs that are not taken up, because the process died as they were; operators resume or stop them.",
        default=None,
        omit=True,
    )


# --- errors ------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ErrorDetail:
    """One wrong field."""

    path: str = said("A JSON Pointer into the body, or a query parameter behind a slash.")
    message: str


@frozen(kw_only=True)
class ErrorInfo:
    """What was wrong, what was expected, and the next step where there is one."""

    code: str
    message: str
    request_id: str
    details: tuple[ErrorDetail, ...] | None = said("Where fields are wrong.", default=None, omit=True)


@frozen(kw_only=True)
class Error:
    """The one envelope of every error."""

    error: ErrorInfo
