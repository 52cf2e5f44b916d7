"""Turns events into row changes. Pure: the same events give the same rows, also when the index is rebuilt.

This is the only place that encodes events. The index row of a run follows from its first event, which holds
the origin, from later ``status_changed`` events, from what ended attempts used, and from the terminal event.
The list of input requests follows from ``input_requested`` and ``input_resolved``; each request is resolved
before its run ends. No other event changes either.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias, assert_never

from attrs import asdict

from infraweave.core.data.json_codec import dumps
from infraweave.core.records import define
from infraweave.core.run.event_codec import LEFT_OUT_BYTES, TYPE_CODES, encode_event
from infraweave.core.run.events import (
    Cancelled,
    Completed,
    Event,
    Failed,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Origin,
    RunError,
    SignalReceived,
    State,
    StatusChanged,
    Terminal,
)
from infraweave.store.sqlite.row_changes import Row, RowChanges


class Unchanged(Enum):
    """The type of ``UNCHANGED``."""

    UNCHANGED = "unchanged"


#: In place of a time: the row of the agenda is not written.
UNCHANGED: Final = Unchanged.UNCHANGED
#: When a run must next be in memory: 0 now, a time, None only when something comes from outside.
DueAt: TypeAlias = int | Literal[Unchanged.UNCHANGED] | None

URGENT = 0


def project(run_key: int, run_id: str, events: Sequence[Event], due_at: DueAt = UNCHANGED) -> RowChanges:
    """Return the row changes that follow from ``events``, the next of one run.

    Raises:
        TypeError: JSON cannot represent a payload.
        ValueError: a time cannot be printed.
    """
    rows = index_changes(run_key, run_id, events)
    rows.events = [_event_row(run_key, run_id, event) for event in events]
    if len(events) > 1:
        _refer_to_output(rows.events, events)
    if due_at is not UNCHANGED and not rows.ended:
        rows.due_times = [(run_key, due_at)]
    return rows


def _refer_to_output(rows: list[Row], events: Sequence[Event]) -> None:
    """Store the result of a run once if it is the output of the node that has just ended the run."""
    last = events[-1]
    if type(last) is Completed and last.result is not None:
        for event in events:
            if type(event) is NodeCompleted and event.output is last.result:
                rows[-1] = (*rows[-1][:-1], event.seq)
                return


def index_changes(run_key: int, run_id: str, events: Sequence[Event]) -> RowChanges:
    """Return the changes of the index that follow from ``events``, the next of one run."""
    rows, update, asks = RowChanges(), RunUpdate(), False
    for event in events:
        match event:
            case NodeCompleted() | NodeFailed():
                update.spend(event)
            case NodeStarted() | SignalReceived():
                pass
            case InputRequested() | InputResolved():
                asks = True
            case StatusChanged(seq=1, origin=Origin() as origin):
                rows.runs = [_run_row(run_key, run_id, event, origin)]
                rows.tags = [(run_key, key, value) for key, value in origin.tags.items()]
            case StatusChanged():
                update.status(event)
            case Completed() | Failed() | Cancelled():
                update.end(event)
                rows.ended = [run_key]
            case _:
                assert_never(event)
    if asks:
        rows.input_requests = [
            (run_key, e.request_id, e.seq) for e in events if isinstance(e, InputRequested)
        ]
        rows.resolved_requests = [(run_key, e.request_id) for e in events if isinstance(e, InputResolved)]
    if update.state is not None or update.tokens or update.cost_micro_usd:
        rows.run_updates = [update.row(run_key)]
    return rows


@define(eq=False)
class RunUpdate:
    """What events change in one row of ``runs``; None: unchanged."""

    state: State | None = None
    started_at: int | None = None
    cancel_requested: bool = False
    finished_at: int | None = None
    forced: bool = False
    error: RunError | None = None
    tokens: int = 0
    cost_micro_usd: int = 0

    def spend(self, event: NodeCompleted | NodeFailed) -> None:
        """Add what an attempt used."""
        self.tokens += event.tokens
        self.cost_micro_usd += event.cost_micro_usd

    def status(self, event: StatusChanged) -> None:
        """Apply a change of state; a cancel request stays."""
        self.state = event.state
        self.cancel_requested |= event.cancel_requested
        if event.state == "running" and self.started_at is None:
            self.started_at = event.at

    def end(self, event: Terminal) -> None:
        """Apply the end of the run."""
        self.finished_at = event.at
        match event:
            case Completed():
                self.state = "succeeded"
            case Failed():
                self.state, self.error = "failed", event.error
            case Cancelled():
                self.state, self.error, self.forced = "cancelled", event.error, event.forced

    def row(self, run_key: int) -> Row:
        """Return the row of the statement ``update_runs``."""
        error = None if self.error is None else dumps(asdict(self.error)).decode()
        return (
            run_key,
            self.state,
            self.started_at,
            int(self.cancel_requested),
            self.finished_at,
            int(self.forced),
            error,
            self.tokens,
            self.cost_micro_usd,
        )


def _event_row(run_key: int, run_id: str, event: Event) -> Row:
    data, payload = encode_event(run_id, event)
    return (run_key, event.seq, TYPE_CODES[event.type], event.at, data, payload)


def row_size(row: Row) -> int:
    """Return the size of the event of a row in memory, in bytes, roughly."""
    *_, data, payload = row
    return len(data) + (len(payload) if isinstance(payload, str) else 0) + LEFT_OUT_BYTES


def _run_row(run_key: int, run_id: str, event: StatusChanged, origin: Origin) -> Row:
    """Return the row of the statement ``insert_run``."""
    return (
        run_key,
        run_id,
        origin.tenant,
        origin.workflow_id,
        origin.workflow_version,
        origin.trigger,
        event.state,
        event.at,
        event.at if event.state == "running" else None,
        origin.by,
        origin.parent_run_id,
        origin.trace_id,
        origin.parent_span_id,
        origin.trace_flags,
        origin.tracestate,
        origin.idempotency_key,
        origin.body_digest,
        dumps(origin.tags).decode(),
        origin.start_at,
        origin.lane,
    )
