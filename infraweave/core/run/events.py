"""The events of a run, a closed union. These are the event types of the wire.

``seq`` counts from 1 without gaps; ``at`` is in milliseconds. Fields named in ``BESIDE`` are payloads: they
are stored beside the event and reach the feed only on request. Stored events never change, so a new field
needs a default.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from attrs import field

from infraweave.core.data.values import Json, JsonObject
from infraweave.core.records import frozen
from infraweave.core.run.address import Address, Phase, made

State: TypeAlias = Literal["queued", "running", "retrying", "succeeded", "failed", "cancelled"]
Trigger: TypeAlias = Literal["api", "console", "cli", "schedule", "webhook", "subworkflow"]
Outcome: TypeAlias = Literal["answered", "timed_out", "withdrawn"]
TimeoutMove: TypeAlias = Literal["value", "route"]

TERMINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


@frozen(kw_only=True)
class ParentEntry:
    """The attempt of the parent run that a child run belongs to."""

    node: str
    iteration: int | None = None
    index: int | None = None
    attempt: int = 1

    @property
    def address(self) -> Address:
        """The address of the parent's entry."""
        return Address(self.node, self.iteration, self.index)


@frozen(kw_only=True)
class Origin:
    """How and by whom a run was started. Part of its first event."""

    workflow_id: str
    workflow_version: str
    trigger: Trigger
    tenant: str
    #: The principal that started it.
    by: str
    tags: dict[str, str] = field(factory=dict)
    parent_run_id: str | None = None
    parent_entry: ParentEntry | None = None
    #: The number of ancestor runs.
    depth: int = 0
    #: The run that this one reruns.
    rerun_of: str | None = None
    trace_id: str
    #: The caller's span, the parent of the run's root span.
    parent_span_id: str | None = None
    trace_flags: int = 0
    tracestate: str = ""
    idempotency_key: str | None = None
    #: The SHA-256 of the canonical request body that came with the key, hexadecimal.
    body_digest: str | None = None
    #: The earliest start, in milliseconds. None: at once.
    start_at: int | None = None
    #: The value of the workflow's concurrency key, under which the run counts (core/workflow/concurrency).
    lane: str | None = None


@frozen(kw_only=True)
class ReusedResults:
    """The results that a rerun takes from the earlier run."""

    outputs: dict[str, Json] = field(factory=dict)
    routes: dict[str, tuple[str, ...]] = field(factory=dict)


@frozen(kw_only=True)
class RunError:
    """Why a run did not succeed. ``node`` and the fields after it are None if the cause is not an entry."""

    code: str
    message: str
    node: str | None = None
    iteration: int | None = None
    index: int | None = None
    attempt: int | None = None


@frozen(kw_only=True)
class EventBase:
    """The fields of every event."""

    BESIDE: ClassVar[tuple[str, ...]] = ()

    seq: int
    at: int


@frozen(kw_only=True)
class StatusChanged(EventBase):
    """A change of the run's state, or a request to cancel it. The event with seq 1 carries the origin.

    A rerun begins with the results of its ``reused`` nodes; its ``skipped`` nodes are settled, too.
    """

    type: ClassVar[str] = "status_changed"
    BESIDE = ("origin", "input", "results")

    state: State
    #: accepted · slot_granted · retry_scheduled · retry_started · cancel_requested · terminated ·
    #: unstorable · node_failed · input_timed_out · result_too_large · all_nodes_settled
    cause: str
    cancel_requested: bool = False
    reason: str | None = None
    by: str | None = None
    #: The traceparent of the request that caused it: a link, not a parent.
    link: str | None = None
    reused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    origin: Origin | None = None
    input: Json = None
    #: The outputs and the chosen routes of the reused nodes.
    results: ReusedResults | None = None


@frozen(kw_only=True)
class EntryEvent(EventBase):
    """An event of one entry."""

    node: str
    iteration: int | None = None
    index: int | None = None

    @property
    def address(self) -> Address:
        """The address of the entry."""
        return made(Address, (self.node, self.iteration, self.index, "forward"))


@frozen(kw_only=True)
class AttemptEvent(EntryEvent):
    """An event of one attempt, counted from 1."""

    attempt: int
    phase: Phase = "forward"

    @property
    def address(self) -> Address:
        """The address of the entry."""
        return made(Address, (self.node, self.iteration, self.index, self.phase))


@frozen(kw_only=True)
class NodeStarted(AttemptEvent):
    """Opens an attempt.

    An attempt that calls no code says what it waits for: a timer has ``wake_at``, a signal node ``signal``
    and perhaps a ``deadline``, a subworkflow ``child_run_id``, and a map its number of ``items``.
    """

    type: ClassVar[str] = "node_started"
    BESIDE = ("input", "input_seq")

    wake_at: int | None = None
    signal: str | None = None
    deadline: int | None = None
    child_run_id: str | None = None
    items: int | None = None
    #: The values of the code's parameters, or the input of the child run.
    input: Json = None
    #: The seq of an earlier attempt's event with the same input, which is stored there only.
    input_seq: int | None = None

    @property
    def runs_code(self) -> bool:
        """Whether the attempt calls code, so that a crash interrupts it."""
        return (
            self.wake_at is None and self.signal is None and self.child_run_id is None and self.items is None
        )


@frozen(kw_only=True)
class NodeCompleted(AttemptEvent):
    """Closes an attempt and its entry, and settles the ``skipped`` nodes.

    The condition of a loop says whether the loop runs ``again``; the nodes in ``repeats`` are then reset.
    """

    type: ClassVar[str] = "node_completed"
    BESIDE = ("output",)

    latency_ms: int
    tokens: int = 0
    cost_micro_usd: int = 0
    model: str | None = None
    routes: tuple[str, ...] | None = None
    again: bool | None = None
    repeats: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    #: The request_id of the signal that closed a wait.
    answered_with: str | None = None
    #: What replaced a signal that did not come in time.
    on_timeout: TimeoutMove | None = None
    output: Json = None


@frozen(kw_only=True)
class NodeFailed(AttemptEvent):
    """Closes an attempt, and its entry unless ``will_retry``: then the next attempt opens at ``retry_at``."""

    type: ClassVar[str] = "node_failed"
    BESIDE = ("traceback",)

    latency_ms: int
    code: str
    message: str
    will_retry: bool
    retry_at: int | None = None
    #: The map continues without this item.
    tolerated: bool = False
    #: The server was stopped on purpose, so the interruption does not count as a crash.
    planned: bool = False
    tokens: int = 0
    cost_micro_usd: int = 0
    model: str | None = None
    #: Where the author's code raised, as Python prints it.
    traceback: str | None = None

    @property
    def error(self) -> RunError:
        """The error of the run, if this event makes it fail."""
        return RunError(
            code=self.code,
            message=self.message,
            node=self.node,
            iteration=self.iteration,
            index=self.index,
            attempt=self.attempt,
        )


@frozen(kw_only=True)
class InputRequested(EntryEvent):
    """Opens the entry of a human node: a person is asked for input until ``deadline``."""

    type: ClassVar[str] = "input_requested"
    BESIDE = ("data",)

    request_id: str
    signal: str
    prompt: str
    schema: JsonObject
    deadline: int | None = None
    #: Shown to the person with the prompt.
    data: Json = None


@frozen(kw_only=True)
class InputResolved(EntryEvent):
    """Closes the entry of a human node. The payload is the answer, or the value that replaces it."""

    type: ClassVar[str] = "input_resolved"
    BESIDE = ("payload",)

    request_id: str
    outcome: Outcome
    #: The request_id of the signal that answered.
    answered_with: str | None = None
    by: str | None = None
    #: What replaced an answer that did not come in time.
    on_timeout: TimeoutMove | None = None
    routes: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    payload: Json = None


@frozen(kw_only=True)
class SignalReceived(EventBase):
    """A signal was accepted. It closes a wait in the same commit, or stays in the mailbox."""

    type: ClassVar[str] = "signal_received"
    BESIDE = ("payload",)

    name: str
    request_id: str
    by: str | None = None
    link: str | None = None
    payload: Json = None


@frozen(kw_only=True)
class Completed(EventBase):
    """The run succeeded. The last event."""

    type: ClassVar[str] = "completed"
    BESIDE = ("result",)

    result: Json = None


@frozen(kw_only=True)
class Failed(EventBase):
    """The run failed, after its compensations. The last event."""

    type: ClassVar[str] = "failed"

    error: RunError
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()


@frozen(kw_only=True)
class Cancelled(EventBase):
    """The run was cancelled. ``forced``: it was terminated without compensations. The last event."""

    type: ClassVar[str] = "cancelled"

    error: RunError
    forced: bool = False
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()


Event: TypeAlias = (
    StatusChanged
    | NodeStarted
    | NodeCompleted
    | NodeFailed
    | InputRequested
    | InputResolved
    | SignalReceived
    | Completed
    | Failed
    | Cancelled
)
Terminal: TypeAlias = Completed | Failed | Cancelled

EVENT_TYPES: dict[str, type[Event]] = {
    cls.type: cls
    for cls in (
        StatusChanged,
        NodeStarted,
        NodeCompleted,
        NodeFailed,
        InputRequested,
        InputResolved,
        SignalReceived,
        Completed,
        Failed,
        Cancelled,
    )
}
