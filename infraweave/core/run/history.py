"""The history of a run: one row per attempt, in the order of ``first_seq``, built from its events.

One event opens a row and one closes it. An input request is one row, from the request to its end. Skipped
nodes have no row. A builder may begin in the middle of a run; it then ignores rows that were opened before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, assert_never

from attrs import evolve, field

from infraweave.core.data.values import Json, JsonObject
from infraweave.core.records import define, frozen
from infraweave.core.run.address import Address, Phase
from infraweave.core.run.events import (
    AttemptEvent,
    Cancelled,
    Completed,
    Event,
    Failed,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Outcome,
    SignalReceived,
    StatusChanged,
)
from infraweave.core.run.ids import span_id

RowState: TypeAlias = Literal["running", "waiting", "succeeded", "failed", "cancelled"]

_RESOLVED: dict[Outcome, RowState] = {
    "answered": "succeeded",
    "timed_out": "failed",
    "withdrawn": "cancelled",
}


@frozen
class RowError:
    """Why an attempt failed. ``traceback``: where the author's code raised, innermost last; else None."""

    code: str
    message: str
    traceback: str | None = None


_OPENINGS = frozenset({"node_started", "input_requested"})
_CLOSINGS = frozenset({"node_completed", "node_failed", "input_resolved"})
_UNANSWERED: dict[Outcome, RowError] = {
    "timed_out": RowError("input_timed_out", "Nobody answered in time"),
    "withdrawn": RowError("cancelled", "Withdrawn before anyone answered"),
}


@define(kw_only=True)
class Row:
    """One attempt. Times are in milliseconds. None: it has not happened or does not apply."""

    node: str
    kind: str
    iteration: int | None
    index: int | None
    attempt: int
    phase: Phase
    state: RowState
    started_at: int
    finished_at: int | None = None
    latency_ms: int | None = None
    input: Json = None
    output: Json = None
    error: RowError | None = None
    tokens: int = 0
    cost_micro_usd: int = 0
    span_id: str
    first_seq: int
    last_seq: int
    #: The child run that the attempt started.
    child_run_id: str | None = None
    #: When the next attempt begins, until it has begun.
    retry_at: int | None = None

    def fill(self, opening: JsonObject, closing: JsonObject) -> None:
        """Add the payloads of the events that opened and closed the row."""
        self.input = opening.get("input", opening.get("data"))
        self.output = closing.get("output", closing.get("payload"))
        if self.error is not None and self.error.traceback is None:
            self.error = evolve(self.error, traceback=closing.get("traceback"))

    @property
    def is_settled(self) -> bool:
        """True if the row cannot change any more."""
        return self.finished_at is not None and self.retry_at is None


@frozen(kw_only=True)
class RowFilter:
    """Which rows are wanted. None: any value."""

    node: str | None = None
    iteration: int | None = None
    index: int | None = None
    state: RowState | None = None

    def matches_address(self, address: Address) -> bool:
        """Tell whether attempts at an address are wanted."""
        wanted = (self.node, self.iteration, self.index)
        return all(value is None or value == actual for value, actual in zip(wanted, address, strict=False))

    def matches_state(self, row: Row) -> bool:
        """Tell whether a row is wanted in its present state."""
        return self.state is None or row.state == self.state


@define
class HistoryBuilder:
    """Builds the rows of a run from its events, one at a time. ``kinds``: the kind of each node."""

    run_id: str
    kinds: Mapping[str, str]
    wanted: RowFilter = RowFilter()
    #: The maximum number of rows. None: no maximum.
    limit: int | None = None
    #: The rows that match, or may still come to match.
    rows: list[Row] = field(factory=list)
    #: The rows of entries that wait for their next attempt.
    _in_backoff: dict[Address, Row] = field(factory=dict)
    _open: dict[tuple[Address, int], Row] = field(factory=dict)

    @property
    def is_full(self) -> bool:
        """True if no more rows are added."""
        return self.limit is not None and len(self.rows) >= self.limit

    def needs(self, kind: str) -> bool:
        """Tell whether an event of this type may change a row; others need not be decoded."""
        if kind in _OPENINGS:
            return bool(self._in_backoff) or not self.is_full
        return kind in _CLOSINGS and bool(self._in_backoff or self._open)

    def add(self, event: Event) -> None:
        """Apply one event to the rows."""
        match event:
            case NodeStarted():
                waits = event.wake_at is not None or event.signal is not None
                state: RowState = "waiting" if waits else "running"
                self._begin(event, event.address, event.attempt, state, event.input)
            case InputRequested():
                self._begin(event, event.address, 1, "waiting", event.data)
            case NodeCompleted() | NodeFailed():
                self._end_attempt(event)
            case InputResolved():
                self._resolve(event)
            case StatusChanged() | SignalReceived() | Completed() | Failed() | Cancelled():
                pass  # events of the run itself have no row
            case _:
                assert_never(event)

    def matching(self) -> list[Row]:
        """Return the rows that match."""
        return [row for row in self.rows if self.wanted.matches_state(row)]

    def is_settled(self, limit: int) -> bool:
        """Tell whether there are ``limit`` rows and none of them can change any more.

        With a filter by state this includes one more row, because a row that can change may stop matching.
        """
        if self.wanted.state is not None:
            self.rows = [row for row in self.rows if not row.is_settled or self.wanted.matches_state(row)]
        first = self.rows[: limit if self.wanted.state is None else limit + 1]
        return len(self.rows) >= limit and all(row.is_settled for row in first)

    def _begin(
        self,
        event: NodeStarted | InputRequested,
        address: Address,
        attempt: int,
        state: RowState,
        value: Json,
    ) -> None:
        self._end_backoff(address)
        if self.is_full or not self.wanted.matches_address(address):
            return
        row = Row(
            node=event.node,
            kind=self.kinds.get(event.node, "node"),
            iteration=event.iteration,
            index=event.index,
            attempt=attempt,
            phase=address.phase,
            state=state,
            started_at=event.at,
            input=value,
            span_id=span_id(self.run_id, address, attempt),
            first_seq=event.seq,
            last_seq=event.seq,
            child_run_id=event.child_run_id if isinstance(event, NodeStarted) else None,
        )
        self.rows.append(row)
        self._open[address, attempt] = row

    def _end(self, event: AttemptEvent | InputResolved, attempt: int) -> Row | None:
        row = self._open.pop((event.address, attempt), None)
        if row is not None:
            row.finished_at, row.last_seq = event.at, event.seq
        return row

    def _end_backoff(self, address: Address) -> None:
        row = self._in_backoff.pop(address, None)
        if row is not None:
            row.retry_at = None

    def _end_attempt(self, event: NodeCompleted | NodeFailed) -> None:
        self._end_backoff(event.address)
        row = self._end(event, event.attempt)
        if row is None:
            return  # the entry failed in backoff; its last attempt had failed before
        row.latency_ms, row.tokens, row.cost_micro_usd = event.latency_ms, event.tokens, event.cost_micro_usd
        match event:
            case NodeCompleted():
                row.state, row.output = "succeeded", event.output
            case NodeFailed():
                row.state = "cancelled" if event.code == "cancelled" else "failed"
                row.error = RowError(event.code, event.message, event.traceback)
                row.retry_at = event.retry_at
                if event.retry_at is not None:
                    self._in_backoff[event.address] = row
            case _:
                assert_never(event)

    def _resolve(self, event: InputResolved) -> None:
        row = self._end(event, 1)
        if row is None:
            return
        row.latency_ms = max(0, event.at - row.started_at)
        outcome = "answered" if event.on_timeout == "value" else event.outcome
        row.state, row.output = _RESOLVED[outcome], event.payload
        row.error = _UNANSWERED.get(outcome)
