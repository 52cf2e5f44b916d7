"""The state of a run: a fold over its events.

Two rules. ``evolve`` is the only function that may change a RunState; everything else reads it. And it asks
nothing but the event: no graph, no clock, so that a stored history means the same for ever.

A step is opened by one event and closed by exactly one. What is open stands in ``entries``, and those open
entries are the commands: the engine performs what is ``running``, the alarm wakes what has a ``due_at``. The
state is a plain mutable object with one owner, because copying on write is quadratic in a wide fan-out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, assert_never

from attrs import define, field, frozen

from infraweave.core.address import Address
from infraweave.core.events import (
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
from infraweave.core.values import Json, spell

NodeStateName: TypeAlias = Literal[
    "pending",
    "running",
    "retrying",
    "waiting",
    "succeeded",
    "failed",
    "skipped",
    "cancelled",
    "compensated",
]


@define
class Entry:
    """One open step. ``running``: code is at work. ``backoff`` and ``waiting``: until ``due_at``, if any."""

    address: Address
    status: Literal["running", "backoff", "waiting"]
    opened_at: int
    attempt: int = 1
    #: Failures that used up an attempt; interruptions do not.
    failures: int = 0
    #: Interruptions in a row.
    interruptions: int = 0
    due_at: int | None = None
    #: What a person was asked; None unless a human node waits.
    request: InputRequested | None = None


@define
class NodeState:
    """What the node summary shows of a node."""

    state: NodeStateName = "pending"
    attempts: int = 0
    iterations: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    latency_ms: int | None = None
    tokens: int = 0
    cost_micro_usd: int = 0


@frozen
class Stopping:
    """Why the run will not succeed. The first cause wins."""

    outcome: Literal["failed", "cancelled"]
    error: RunError
    forced: bool = False


@define
class RunState:
    """Everything that the events of one run say."""

    run_id: str
    seq: int = 0
    state: State = "queued"
    origin: Origin | None = None
    input: Json = None
    created_at: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    cancel_requested: bool = False
    stopping: Stopping | None = None
    end: Terminal | None = None
    #: Open steps in the order in which they opened.
    entries: dict[Address, Entry] = field(factory=dict)
    #: How many entries are ``running`` and in ``backoff``.
    running: int = 0
    backing_off: int = 0
    nodes: dict[str, NodeState] = field(factory=dict)
    #: True: the node has an output; False: it was skipped.
    settled: dict[str, bool] = field(factory=dict)
    outputs: dict[str, Json] = field(factory=dict)
    routes: dict[str, tuple[str, ...]] = field(factory=dict)
    #: Completed entries that no compensation has taken up, in order of completion.
    done: list[Address] = field(factory=list)
    compensated: list[str] = field(factory=list)
    not_compensated: list[str] = field(factory=list)
    #: Accepted signals that nothing has consumed, by name, oldest first.
    mailbox: dict[str, list[SignalReceived]] = field(factory=dict)
    delivered: dict[str, SignalReceived] = field(factory=dict)
    #: Every input request that was announced, by request_id.
    announced: dict[str, Address] = field(factory=dict)

    @property
    def tokens(self) -> int:
        """Tokens that all attempts reported."""
        return sum(node.tokens for node in self.nodes.values())

    @property
    def cost_micro_usd(self) -> int:
        """Cost that all attempts reported, in millionths of a US dollar."""
        return sum(node.cost_micro_usd for node in self.nodes.values())

    def due_at(self) -> int | None:
        """Return when this run must next be in memory: 0 = now, None = when something arrives."""
        if self.running or self.end is not None:
            return 0
        if self.state == "queued" and self.origin is not None:
            return self.origin.start_at
        return min((e.due_at for e in self.entries.values() if e.due_at is not None), default=None)

    def request(self, request_id: str) -> Entry | None:
        """Return the open entry that was announced under ``request_id``."""
        address = self.announced.get(request_id)
        return self.entries.get(address) if address is not None else None

    def oldest_request(self, signal: str) -> Entry | None:
        """Return the oldest open entry that waits for a signal of that name."""
        waiting = (e for e in self.entries.values() if e.request is not None and e.request.signal == signal)
        return next(waiting, None)


def fold(run_id: str, events: Iterable[Event]) -> RunState:
    """Return the state that a run's events add up to."""
    state = RunState(run_id)
    for event in events:
        evolve(state, event)
    return state


def evolve(state: RunState, event: Event) -> None:
    """Change ``state`` by one event: the only door."""
    state.seq = event.seq
    match event:
        case NodeStarted():
            _started(state, event)
        case NodeCompleted():
            _completed(state, event)
        case NodeFailed():
            _failed(state, event)
        case StatusChanged():
            _status(state, event)
        case InputRequested():
            _requested(state, event)
        case InputResolved():
            _resolved(state, event)
        case SignalReceived():
            state.delivered[event.request_id] = event
            state.mailbox.setdefault(event.name, []).append(event)
        case Completed() | Failed() | Cancelled():
            state.end, state.finished_at = event, event.at
        case _:
            assert_never(event)


def _node(state: RunState, name: str) -> NodeState:
    node = state.nodes.get(name)
    if node is None:
        node = state.nodes[name] = NodeState()
    return node


def _status(state: RunState, event: StatusChanged) -> None:
    state.state = event.state
    if event.origin is not None or event.seq == 1:
        state.origin, state.input, state.created_at = event.origin, event.input, event.at
    if event.state == "running" and state.started_at is None:
        state.started_at = event.at
    if event.cancel_requested:
        state.cancel_requested = True
        _stop(state, "cancelled", RunError(code="cancelled", message=_cancel_message(event)))
    if event.cause == "terminated":
        error = RunError(code="terminated", message=_cancel_message(event))
        state.stopping = Stopping("cancelled", error, forced=True)


def _cancel_message(event: StatusChanged) -> str:
    verb = "Terminated" if event.cause == "terminated" else "Cancelled"
    return f"{verb} by {event.by}" + (f": {event.reason}" if event.reason else "")


def _stop(state: RunState, outcome: Literal["failed", "cancelled"], error: RunError) -> None:
    if state.stopping is None:
        state.stopping = Stopping(outcome, error)


def _started(state: RunState, event: NodeStarted) -> None:
    address = event.address
    entry = state.entries.get(address)
    if entry is None:
        entry = state.entries[address] = Entry(address, "running", event.at)
        if event.phase == "compensation":
            _take_up(state, address._replace(phase="forward"))
    elif entry.status == "backoff":
        state.backing_off -= 1
    entry.status = "running" if event.wake_at is None else "waiting"
    entry.attempt, entry.opened_at, entry.due_at = event.attempt, event.at, event.wake_at
    state.running += entry.status == "running"
    if event.phase == "forward":
        node = _node(state, event.node)
        node.state, node.attempts = entry.status, node.attempts + 1
        node.started_at = event.at if node.started_at is None else node.started_at


def _take_up(state: RunState, address: Address) -> None:
    """Drop ``address`` from what may be compensated, and what completed after it and needs nothing."""
    while state.done and state.done.pop() != address:
        pass


def _close(state: RunState, address: Address) -> Entry | None:
    entry = state.entries.pop(address, None)
    if entry is not None:
        state.running -= entry.status == "running"
        state.backing_off -= entry.status == "backoff"
    return entry


def _spend(state: RunState, event: NodeCompleted | NodeFailed) -> NodeState:
    node = _node(state, event.node)
    node.tokens += event.tokens
    node.cost_micro_usd += event.cost_micro_usd
    return node


def _completed(state: RunState, event: NodeCompleted) -> None:
    address = event.address
    _close(state, address)
    node = _spend(state, event)
    if event.phase == "compensation":
        node.state = "compensated"
        state.compensated.append(event.node)
        return
    node.state, node.finished_at, node.latency_ms = "succeeded", event.at, event.latency_ms
    if event.routes is not None:
        state.routes[event.node] = event.routes
    state.done.append(address)
    _settle(state, event.node, event.output, event.skipped)


def _settle(state: RunState, name: str, output: Json, skipped: tuple[str, ...]) -> None:
    state.settled[name] = True
    state.outputs[name] = output
    for other in skipped:
        state.settled[other] = False
        _node(state, other).state = "skipped"


def _failed(state: RunState, event: NodeFailed) -> None:
    node = _spend(state, event)
    if event.will_retry:
        _back_off(state, event)
        if event.phase == "forward":
            node.state = "retrying"
        return
    _close(state, event.address)
    if event.phase == "compensation":
        state.not_compensated.append(event.node)
        return
    stopped = event.code == "cancelled"
    node.state = "cancelled" if stopped else "failed"
    node.finished_at, node.latency_ms = event.at, event.latency_ms
    if not stopped:
        _stop(state, "failed", _error_of(event))


def _back_off(state: RunState, event: NodeFailed) -> None:
    entry = state.entries[event.address]
    state.running -= entry.status == "running"
    state.backing_off += 1
    entry.status, entry.due_at = "backoff", event.retry_at
    if event.code == "interrupted":
        entry.interruptions += 1
    else:
        entry.failures, entry.interruptions = entry.failures + 1, 0


def _error_of(event: NodeFailed) -> RunError:
    return RunError(
        code=event.code,
        message=event.message,
        node=event.node,
        iteration=event.iteration,
        index=event.index,
        attempt=event.attempt,
    )


def _requested(state: RunState, event: InputRequested) -> None:
    entry = Entry(event.address, "waiting", event.at, due_at=event.deadline, request=event)
    state.entries[event.address] = entry
    state.announced[event.request_id] = event.address
    node = _node(state, event.node)
    node.state, node.attempts, node.started_at = "waiting", node.attempts + 1, event.at


def _resolved(state: RunState, event: InputResolved) -> None:
    entry = _close(state, event.address)
    node = _node(state, event.node)
    node.finished_at = event.at
    node.latency_ms = event.at - entry.opened_at if entry else None
    match event.outcome:
        case "answered":
            node.state = "succeeded"
            _consume(state, event.answered_with)
            state.done.append(event.address)
            _settle(state, event.node, event.payload, event.skipped)
        case "timed_out":
            node.state = "failed"
            _stop(state, "failed", _no_answer(event, entry))
        case "withdrawn":
            node.state = "cancelled"
        case _:
            assert_never(event.outcome)


def _no_answer(event: InputResolved, entry: Entry | None) -> RunError:
    waited = f" within {spell((event.at - entry.opened_at) / 1000)}" if entry else ""
    return RunError(
        code="input_timed_out",
        message=f"No answer to {event.node}{waited}",
        node=event.node,
        iteration=event.iteration,
        index=event.index,
    )


def _consume(state: RunState, request_id: str | None) -> None:
    for name, letters in list(state.mailbox.items()):
        kept = [letter for letter in letters if letter.request_id != request_id]
        if len(kept) != len(letters):
            state.mailbox[name] = kept
        if not kept:
            del state.mailbox[name]
