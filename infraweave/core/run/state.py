"""The state of a run: a fold over its events.

``evolve`` is the only function that may change a RunState; everything else reads it. It depends on the event
alone, not on a graph or a clock, so a stored history always means the same.

One event opens an entry, and exactly one event closes it. The open ``entries`` are the commands: the engine
performs the ``running`` ones, and its timer wakes those with a ``due_at``. The state is a mutable object with
one owner, because copying on write would take quadratic time in a wide fan-out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, assert_never

from attrs import field

from infraweave.core.data.json_codec import digest
from infraweave.core.data.values import Json
from infraweave.core.records import define
from infraweave.core.run.address import Address
from infraweave.core.run.entries import (
    ClosedWait,
    DeliveredSignal,
    Entry,
    KeptValues,
    MapProgress,
    NodeState,
    Stopping,
    close_map,
    effective_input,
    no_answer,
)
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
    ReusedResults,
    RunError,
    SignalReceived,
    State,
    StatusChanged,
    Terminal,
)


@define
class RunState:
    """The state of one run."""

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
    #: The open entries, in the order in which they opened.
    entries: dict[Address, Entry] = field(factory=dict)
    #: The numbers of entries that are ``running`` and in ``backoff``.
    running_entries: int = 0
    backing_off: int = 0
    nodes: dict[str, NodeState] = field(factory=dict)
    #: True: the node has an output. False: it was skipped.
    settled: dict[str, bool] = field(factory=dict)
    outputs: dict[str, Json] = field(factory=dict)
    #: The outputs of the previous iteration.
    previous_outputs: dict[str, Json] = field(factory=dict)
    #: The iteration of each node in a loop that has repeated, counted over the whole run.
    iterations: dict[str, int] = field(factory=dict)
    #: By the condition of a loop: how often it has repeated since it was entered.
    repetitions: dict[str, int] = field(factory=dict)
    #: The progress of open maps.
    maps: dict[Address, MapProgress] = field(factory=dict)
    routes: dict[str, tuple[str, ...]] = field(factory=dict)
    #: The completed entries that may still be compensated, in order of completion.
    completed: list[Address] = field(factory=list)
    kept: dict[Address, KeptValues] = field(factory=dict)
    #: The nodes whose iterations and items are kept for compensations. None: all nodes.
    undoable: frozenset[str] | None = field(default=None, eq=False)
    #: The nodes whose results come from the run of which this one is a rerun.
    reused: tuple[str, ...] = ()
    compensated: list[Address] = field(factory=list)
    not_compensated: list[Address] = field(factory=list)
    #: The accepted signals that no node has consumed, by name, oldest first.
    mailbox: dict[str, list[SignalReceived]] = field(factory=dict)
    #: All accepted signals, by request_id.
    delivered: dict[str, DeliveredSignal] = field(factory=dict)
    #: The entries of all announced input requests, by request_id.
    announced: dict[str, Address] = field(factory=dict)
    #: How the closed waits for signals ended.
    closed_waits: dict[Address, ClosedWait] = field(factory=dict)

    @property
    def tokens(self) -> int:
        """The tokens that all attempts reported."""
        return sum(node.tokens for node in self.nodes.values())

    @property
    def cost_micro_usd(self) -> int:
        """The cost that all attempts reported, in millionths of a US dollar."""
        return sum(node.cost_micro_usd for node in self.nodes.values())

    def due_at(self) -> int | None:
        """Return when the run must next be in memory. 0: now. None: when a fact arrives."""
        if self.state == "queued":  # the agenda drops this time once the run waits for a slot
            return self.origin.start_at if self.origin is not None else None
        if self.running_entries or self.end is not None or self._stops_children():
            return 0
        return min((e.due_at for e in self.entries.values() if e.due_at is not None), default=None)

    def _stops_children(self) -> bool:
        return self.stopping is not None and any(e.child_run_id for e in self.entries.values())

    def request(self, request_id: str) -> Entry | None:
        """Return the open entry with this announced ``request_id``."""
        address = self.announced.get(request_id)
        return self.entries.get(address) if address is not None else None

    def oldest_wait(self, signal: str) -> Entry | None:
        """Return the oldest open entry that waits for this signal."""
        return next((e for e in self.entries.values() if e.signal == signal), None)


def fold(run_id: str, events: Iterable[Event]) -> RunState:
    """Return the state of a run after these events."""
    state = RunState(run_id)
    for event in events:
        evolve(state, event)
    return state


def evolve(state: RunState, event: Event) -> None:
    """Apply one event to ``state``."""
    state.seq = event.seq
    _CHANGES[type(event)](state, event)


def _node(state: RunState, name: str) -> NodeState:
    node = state.nodes.get(name)
    if node is None:
        node = state.nodes[name] = NodeState()
    return node


def _status(state: RunState, event: StatusChanged) -> None:
    state.state = event.state
    if event.origin is not None or event.seq == 1:
        state.origin, state.input, state.created_at = event.origin, event.input, event.at
        if event.reused or event.skipped:
            _reuse(state, event)
    if event.state == "running" and state.started_at is None:
        state.started_at = event.at
    if event.cancel_requested:
        state.cancel_requested = True
        _stop(state, "cancelled", RunError(code="cancelled", message=_cancel_message(event)))
    if event.cause == "result_too_large":
        _stop(state, "failed", RunError(code=event.cause, message=event.reason or ""))
    if event.cause == "terminated":
        error = RunError(code="terminated", message=_cancel_message(event))
        state.stopping = Stopping("cancelled", error, forced=True)
    if event.cause == "unstorable":
        _stop(state, "failed", RunError(code="unstorable", message=event.reason or ""))


def _reuse(state: RunState, event: StatusChanged) -> None:
    """Begin with the results of the earlier run."""
    results, state.reused = event.results or ReusedResults(), event.reused
    for name in event.reused:
        state.settled[name], state.outputs[name] = True, results.outputs.get(name)
        _node(state, name).state = "succeeded"
    state.routes.update(results.routes)
    _skip(state, event.skipped)


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
        entry = _opened(state, event, address)
    elif entry.status == "backoff":
        state.backing_off -= 1
    entry.status = "running" if event.runs_code else "waiting"
    entry.attempt, entry.opened_at = event.attempt, event.at
    entry.due_at = event.deadline if event.wake_at is None else event.wake_at
    entry.signal, entry.child_run_id = event.signal, event.child_run_id
    if event.input_seq is None and (not entry.recorded_seq or event.input != entry.recorded_input):
        entry.recorded_input, entry.recorded_seq = event.input, event.seq
        entry.input = event.input if event.index is None else effective_input(state.entries, event, address)
    state.running_entries += entry.status == "running"
    if event.phase == "forward":
        _show_start(_node(state, event.node), event)


def _opened(state: RunState, event: NodeStarted, address: Address) -> Entry:
    entry = state.entries[address] = Entry(address, "running", event.at)
    if event.phase == "compensation":
        _drop_completed(state, address.forward)
    elif event.items is not None:
        items = MapProgress(event.items, outputs=[None] * event.items)
        state.maps[address] = _node(state, event.node).items = items
    elif event.index is not None:
        entry.item_of = state.maps[address.map_entry]
        entry.item_of.begin(event.index)
    return entry


def _show_start(node: NodeState, event: NodeStarted) -> None:
    if event.index is not None:
        node.attempts += 1  # the map itself is running already
        return
    waits = event.wake_at is not None or event.signal is not None
    node.state = "waiting" if waits else "running"
    node.attempts += event.items is None
    if event.iteration is not None:
        node.iterations = max(node.iterations, event.iteration)
    if node.started_at is None:
        node.started_at = event.at


def _drop_completed(state: RunState, address: Address) -> None:
    """Drop an entry that is now being compensated, and the entries that completed after it."""
    while state.completed and (last := state.completed.pop()) != address:
        state.kept.pop(last, None)


def _close(state: RunState, address: Address) -> Entry | None:
    entry = state.entries.pop(address, None)
    if entry is not None:
        state.running_entries -= entry.status == "running"
        state.backing_off -= entry.status == "backoff"
    return entry


def _add_usage(state: RunState, event: NodeCompleted | NodeFailed) -> NodeState:
    node = _node(state, event.node)
    if event.tokens or event.cost_micro_usd:
        node.tokens += event.tokens
        node.cost_micro_usd += event.cost_micro_usd
    return node


def _completed(state: RunState, event: NodeCompleted) -> None:
    address = event.address
    entry = _close(state, address)
    if entry is not None and entry.signal is not None:
        _close_wait(state, event)
    node = _add_usage(state, event)
    if event.phase == "compensation":
        node.state = "compensated"
        state.kept.pop(address.forward, None)
        state.compensated.append(address.forward)
        return
    if event.answered_with is not None:
        _consume(state, event.answered_with)
    if not state.maps or not close_map(state.maps, address):
        state.completed.append(address)
    if event.iteration is not None or event.index is not None:
        _keep(state, event, event.output, entry)
    if event.index is not None:
        items = state.maps[address.map_entry] if entry is None or entry.item_of is None else entry.item_of
        items.end(event.index, event.output)
        return
    node.state, node.finished_at, node.latency_ms = "succeeded", event.at, event.latency_ms
    if event.again:
        _repeat(state, event)
    else:
        _settle(state, event, event.output)


def _keep(state: RunState, event: NodeCompleted | InputResolved, output: Json, entry: Entry | None) -> None:
    """Keep the input and output of an iteration or an item for compensations."""
    repeats = event.iteration is not None or event.index is not None
    if state.undoable is not None and event.node not in state.undoable:
        return  # no compensation reads it
    if repeats and entry is not None and event.on_timeout != "route":
        state.kept[event.address] = KeptValues(entry.input, output, state.iterations)


def _repeat(state: RunState, event: NodeCompleted) -> None:
    """Reset the nodes of a loop, and keep their outputs for the next iteration."""
    state.iterations = dict(state.iterations)  # a KeptValues may hold the former dict
    for name in event.repeats:
        state.previous_outputs.pop(name, None)
        if state.settled.pop(name, False):
            state.previous_outputs[name] = state.outputs.get(name)
        state.outputs.pop(name, None)
        state.routes.pop(name, None)
        state.iterations[name] = state.iterations.get(name, 1) + 1
        _node(state, name).reset()
        if name != event.node:
            state.repetitions.pop(name, None)
    state.repetitions[event.node] = state.repetitions.get(event.node, 0) + 1
    _skip(state, event.skipped)


def _settle(state: RunState, event: NodeCompleted | InputResolved, output: Json) -> None:
    """Settle a node and the nodes that it skips. A wait that timed out into a route has no output."""
    name = event.node
    if event.routes is not None:
        state.routes[name] = event.routes
    state.settled[name] = event.on_timeout != "route"
    if state.settled[name]:
        state.outputs[name] = output
    else:
        _node(state, name).state = "skipped"
    if event.skipped:
        _skip(state, event.skipped)


def _skip(state: RunState, names: Iterable[str]) -> None:
    for name in names:
        state.settled[name] = False
        _node(state, name).state = "skipped"


def _failed(state: RunState, event: NodeFailed) -> None:
    node = _add_usage(state, event)
    if event.will_retry:
        _back_off(state, event)
        if event.phase == "forward" and event.index is None:
            node.state = "retrying"
        return
    address = event.address
    entry = _close(state, address)
    if entry is not None and entry.signal is not None:
        _close_wait(state, event)
    close_map(state.maps, address)
    if event.phase == "compensation":
        state.kept.pop(address.forward, None)
        state.not_compensated.append(address.forward)
        return
    if event.index is not None:
        items = state.maps[address.map_entry]
        items.end(event.index, None)
        items.failed += event.code != "cancelled"
        items.stopped += event.code == "cancelled"
    else:
        node.state = "cancelled" if event.code == "cancelled" else "failed"
        node.finished_at, node.latency_ms = event.at, event.latency_ms
    if event.code != "cancelled" and not event.tolerated:
        _stop(state, "failed", event.error)
    elif event.index is None:
        _settle_without_output(state, event.node)


def _settle_without_output(state: RunState, name: str) -> None:
    """Settle a node that lost a race: it was stopped, and the run goes on."""
    if state.stopping is None:
        state.settled[name] = False


def _back_off(state: RunState, event: NodeFailed) -> None:
    entry = state.entries[event.address]
    state.running_entries -= entry.status == "running"
    state.backing_off += 1
    entry.status, entry.due_at, entry.child_run_id = "backoff", event.retry_at, None
    if event.code == "interrupted":
        entry.interruptions += not event.planned
    else:
        entry.failures, entry.interruptions = entry.failures + 1, 0


def _requested(state: RunState, event: InputRequested) -> None:
    entry = Entry(event.address, "waiting", event.at, due_at=event.deadline, request=event)
    entry.signal = event.signal
    state.entries[event.address] = entry
    state.announced[event.request_id] = event.address
    node = _node(state, event.node)
    node.state, node.attempts, node.started_at = "waiting", node.attempts + 1, event.at
    node.iterations = max(node.iterations, event.iteration or 0)


def _resolved(state: RunState, event: InputResolved) -> None:
    entry = _close(state, event.address)
    _close_wait(state, event)
    node = _node(state, event.node)
    node.finished_at = event.at
    node.latency_ms = max(0, event.at - entry.opened_at) if entry else None
    if event.outcome == "withdrawn":
        node.state = "cancelled"
        _settle_without_output(state, event.node)
    elif event.outcome == "timed_out" and event.on_timeout is None:
        node.state = "failed"
        _stop(state, "failed", no_answer(event, entry))
    else:
        node.state = "succeeded"
        _consume(state, event.answered_with)
        state.completed.append(event.address)
        _keep(state, event, event.payload, entry)
        _settle(state, event, event.payload)


def _close_wait(state: RunState, event: NodeCompleted | NodeFailed | InputResolved) -> None:
    """Record how a wait for a signal ended."""
    match event:
        case InputResolved():
            closed = ClosedWait(event.outcome, event.at, event.by, event.answered_with)
        case NodeFailed():
            closed = ClosedWait("withdrawn" if event.code == "cancelled" else "timed_out", event.at)
        case NodeCompleted():
            closed = _answered(state, event)
        case _:
            assert_never(event)
    state.closed_waits[event.address] = closed


def _received(state: RunState, event: SignalReceived) -> None:
    state.delivered[event.request_id] = DeliveredSignal(
        event.name, event.request_id, event.by, digest(event.payload)
    )
    state.mailbox.setdefault(event.name, []).append(event)


def _ended(state: RunState, event: Terminal) -> None:
    state.end, state.finished_at = event, event.at


def _answered(state: RunState, event: NodeCompleted) -> ClosedWait:
    answer = state.delivered.get(event.answered_with or "")
    if answer is None:
        return ClosedWait("timed_out", event.at)
    return ClosedWait("answered", event.at, answer.by, answer.request_id)


def _consume(state: RunState, request_id: str | None) -> None:
    if request_id is None:
        return
    for name, signals in list(state.mailbox.items()):
        kept = [signal for signal in signals if signal.request_id != request_id]
        if len(kept) != len(signals):
            state.mailbox[name] = kept
        if not kept:
            del state.mailbox[name]


#: How each event changes the state: a table, as every event of every run comes by.
_CHANGES: dict[type[Event], Callable[[RunState, Any], None]] = {
    NodeStarted: _started,
    NodeCompleted: _completed,
    NodeFailed: _failed,
    StatusChanged: _status,
    InputRequested: _requested,
    InputResolved: _resolved,
    SignalReceived: _received,
    Completed: _ended,
    Failed: _ended,
    Cancelled: _ended,
}
