"""The events of a run, a closed union. The catalogue is the wire's; no other type exists.

``seq`` counts from 1 without holes, ``at`` is in milliseconds. Fields named in ``BESIDE`` are payloads: they
are stored beside the event and reach the feed only on request. A class says what it records, what it opens
or closes, and what may follow. Stored events are never edited: a new field gets a default.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from attrs import field, frozen

from infraweave.core.data.values import Json, JsonObject
from infraweave.core.run.address import Address, Phase

State: TypeAlias = Literal["queued", "running", "retrying", "succeeded", "failed", "cancelled"]
Trigger: TypeAlias = Literal["api", "console", "cli", "schedule", "webhook", "subworkflow"]
Outcome: TypeAlias = Literal["answered", "timed_out", "withdrawn"]
TimeoutMove: TypeAlias = Literal["value", "route"]

TERMINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


@frozen(kw_only=True)
class ParentEntry:
    """The attempt of the parent that a child run is."""

    node: str
    iteration: int | None = None
    index: int | None = None
    attempt: int = 1

    @property
    def address(self) -> Address:
        """The parent's entry."""
        return Address(self.node, self.iteration, self.index)


@frozen(kw_only=True)
class Origin:
    """What a run was started with; part of its first event."""

    workflow_id: str
    workflow_version: str
    trigger: Trigger
    tenant: str
    #: The principal that started it.
    by: str
    tags: dict[str, str] = field(factory=dict)
    parent_run_id: str | None = None
    parent_entry: ParentEntry | None = None
    #: How many runs stand above this one.
    depth: int = 0
    #: The run of which this one is a rerun.
    rerun_of: str | None = None
    trace_id: str
    #: The caller's span, the parent of the run's root span.
    parent_span_id: str | None = None
    trace_flags: int = 0
    tracestate: str = ""
    idempotency_key: str | None = None
    #: SHA-256 of the canonical body that came with the key, hexadecimal.
    body_digest: str | None = None
    #: Not to be started before, in milliseconds; None: at once.
    start_at: int | None = None
    #: The lane that a limit with a key counts the run in (core/lanes).
    lane: str | None = None


@frozen(kw_only=True)
class ReusedResults:
    """What nodes gave in the run of which this one is a rerun."""

    outputs: dict[str, Json] = field(factory=dict)
    routes: dict[str, tuple[str, ...]] = field(factory=dict)


@frozen(kw_only=True)
class RunError:
    """Why a run did not succeed; ``node`` and the rest say where, None where that does not apply."""

    code: str
    message: str
    node: str | None = None
    iteration: int | None = None
    index: int | None = None
    attempt: int | None = None


@frozen(kw_only=True)
class EventBase:
    """What every event has."""

    BESIDE: ClassVar[tuple[str, ...]] = ()

    seq: int
    at: int


@frozen(kw_only=True)
class StatusChanged(EventBase):
    """A change of the run's state, or a request to cancel it. Seq 1 opens the run and carries its origin.

    A rerun begins with results of another run: of nodes that it has ``reused``, and that were ``skipped``.
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
    #: The traceparent of the request that caused it, a link and no parent.
    link: str | None = None
    reused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    origin: Origin | None = None
    input: Json = None
    #: By reused node: its output, and the routes that it chose.
    results: ReusedResults | None = None


@frozen(kw_only=True)
class EntryEvent(EventBase):
    """An event of one entry."""

    node: str
    iteration: int | None = None
    index: int | None = None

    @property
    def address(self) -> Address:
        """The entry's name."""
        return Address(self.node, self.iteration, self.index)


@frozen(kw_only=True)
class AttemptEvent(EntryEvent):
    """An event of one attempt, counted from 1."""

    attempt: int
    phase: Phase = "forward"

    @property
    def address(self) -> Address:
        """The entry's name."""
        return Address(self.node, self.iteration, self.index, self.phase)


@frozen(kw_only=True)
class NodeStarted(AttemptEvent):
    """Opens an attempt.

    What runs no code here says what it waits for: a timer ``wake_at``, a wait for data its ``signal`` (until
    ``deadline``), a subworkflow ``child_run_id``, and a map, opened before its items, how many ``items``.
    """

    type: ClassVar[str] = "node_started"
    BESIDE = ("input", "input_seq")

    wake_at: int | None = None
    signal: str | None = None
    deadline: int | None = None
    child_run_id: str | None = None
    items: int | None = None
    #: The values of the code's parameters; of a child, its input.
    input: Json = None
    #: The event of an earlier attempt that was given the same: stored there, and read as if it stood here.
    input_seq: int | None = None

    @property
    def runs_code(self) -> bool:
        """Whether a body of ours is at work, so that a crash interrupts it."""
        return (
            self.wake_at is None and self.signal is None and self.child_run_id is None and self.items is None
        )


@frozen(kw_only=True)
class NodeCompleted(AttemptEvent):
    """Closes an attempt and its entry. Lists the nodes that it settles as skipped.

    A loop's condition says whether the region runs ``again``; the nodes that it ``repeats`` are as new then.
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
    #: The request_id of the signal that a wait was given.
    answered_with: str | None = None
    #: What took the place of a signal that did not come in time.
    on_timeout: TimeoutMove | None = None
    output: Json = None


@frozen(kw_only=True)
class NodeFailed(AttemptEvent):
    """Closes an attempt; and its entry, unless ``will_retry``: then the next one opens at ``retry_at``."""

    type: ClassVar[str] = "node_failed"
    BESIDE = ("traceback",)

    latency_ms: int
    code: str
    message: str
    will_retry: bool
    retry_at: int | None = None
    #: The map goes on without this item.
    tolerated: bool = False
    #: The server was asked to stop: the attempt was interrupted by no fault of its body's.
    planned: bool = False
    tokens: int = 0
    cost_micro_usd: int = 0
    model: str | None = None
    #: Where in the author's code it was, as Python writes it.
    traceback: str | None = None

    @property
    def error(self) -> RunError:
        """Why the run fails, if this makes it fail."""
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
    """Opens a human node's entry: a person is asked, until ``deadline``."""

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
    """Closes a human node's entry. The payload is the answer, or the value that stands in for it."""

    type: ClassVar[str] = "input_resolved"
    BESIDE = ("payload",)

    request_id: str
    outcome: Outcome
    #: The request_id of the signal that answered.
    answered_with: str | None = None
    by: str | None = None
    #: What took the place of an answer that did not come in time.
    on_timeout: TimeoutMove | None = None
    routes: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    payload: Json = None


@frozen(kw_only=True)
class SignalReceived(EventBase):
    """A signal was accepted. It answers an open request in the same commit, or waits in the mailbox."""

    type: ClassVar[str] = "signal_received"
    BESIDE = ("payload",)

    name: str
    request_id: str
    by: str | None = None
    link: str | None = None
    payload: Json = None


@frozen(kw_only=True)
class Completed(EventBase):
    """The run succeeded. Nothing follows."""

    type: ClassVar[str] = "completed"
    BESIDE = ("result",)

    result: Json = None


@frozen(kw_only=True)
class Failed(EventBase):
    """The run failed, after undoing what could be undone. Nothing follows."""

    type: ClassVar[str] = "failed"

    error: RunError
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()


@frozen(kw_only=True)
class Cancelled(EventBase):
    """The run was cancelled; ``forced``: terminated, without clean-up. Nothing follows."""

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
