"""The node-by-node history of a run: events in, one row per attempt out, in order of ``first_seq``.

A row is opened by one event and closed by one, like the attempt that it tells of. A person's answer is one
row from the request to its end. Skipped nodes have no row: nothing was attempted. The ledger may begin in
the middle of a run; what was opened before is then none of its business. Pure; knows no store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, assert_never

from attrs import define, field, frozen

from infraweave.core.address import Address, Phase
from infraweave.core.events import (
    AttemptEvent,
    Event,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Outcome,
)
from infraweave.core.ids import span_id
from infraweave.core.values import Json

RowState: TypeAlias = Literal["running", "waiting", "succeeded", "failed", "cancelled"]

_RESOLVED: dict[Outcome, RowState] = {
    "answered": "succeeded",
    "timed_out": "failed",
    "withdrawn": "cancelled",
}


@frozen
class RowError:
    """Why an attempt failed."""

    code: str
    message: str


_UNANSWERED: dict[Outcome, RowError] = {
    "timed_out": RowError("input_timed_out", "Nobody answered in time"),
    "withdrawn": RowError("cancelled", "Withdrawn before anyone answered"),
}


@define(kw_only=True)
class Row:
    """One attempt. Times in milliseconds; None where something has not happened or does not apply."""

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


@define
class Ledger:
    """Rows as they grow with each event of one run; ``kinds`` names the kind of each node."""

    run_id: str
    kinds: Mapping[str, str]
    rows: list[Row] = field(factory=list)
    _open: dict[tuple[Address, int], Row] = field(factory=dict)

    def take(self, event: Event) -> None:
        """Enter one event."""
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
            case _:
                pass  # the events of the run itself make no row

    def settled(self, limit: int) -> bool:
        """Tell whether there are ``limit`` rows and none of those can change any more."""
        return len(self.rows) >= limit and all(row.finished_at is not None for row in self.rows[:limit])

    def _begin(
        self,
        event: NodeStarted | InputRequested,
        address: Address,
        attempt: int,
        state: RowState,
        value: Json,
    ) -> None:
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
        )
        self.rows.append(row)
        self._open[address, attempt] = row

    def _end(self, event: AttemptEvent | InputResolved, attempt: int) -> Row | None:
        row = self._open.pop((event.address, attempt), None)
        if row is not None:
            row.finished_at, row.last_seq = event.at, event.seq
        return row

    def _end_attempt(self, event: NodeCompleted | NodeFailed) -> None:
        row = self._end(event, event.attempt)
        if row is None:
            return  # an entry given up during backoff: the attempt itself had failed before
        row.latency_ms, row.tokens, row.cost_micro_usd = event.latency_ms, event.tokens, event.cost_micro_usd
        match event:
            case NodeCompleted():
                row.state, row.output = "succeeded", event.output
            case NodeFailed():
                row.state = "cancelled" if event.code == "cancelled" else "failed"
                row.error = RowError(event.code, event.message)
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
