"""The recorder of one turn: it writes events, and closes entries in each way that an entry can close.

Every event goes through ``TurnRecorder.record``, which applies it to the state. The recorder knows how to
close an entry, not when: ``turn`` and ``rollback`` decide that. ``openings`` and ``map_items`` open entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from attrs import field

from infraweave.core.data.values import Json, format_duration
from infraweave.core.records import define
from infraweave.core.run import readiness, retry
from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import (
    Event,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    Outcome,
    SignalReceived,
    StatusChanged,
    TimeoutMove,
)
from infraweave.core.run.facts import NO_USAGE, AttemptFailed, AttemptInterrupted, AttemptUsage
from infraweave.core.run.preflight import Preflights
from infraweave.core.run.state import RunState, evolve
from infraweave.core.workflow.document import (
    Map,
    Wait,
    route_targets,
)
from infraweave.core.workflow.graph import Graph

E = TypeVar("E", bound=Event)
#: Tells whether an entry must not open now: the server drains, or the code of its node is not loaded.
IsBlocked: TypeAlias = Callable[[Address], bool]


@define
class TurnResult:
    """The result of a turn: events to commit, and entries that need a preflight before they can open."""

    events: list[Event] = field(factory=list)
    preflight: list[Address] = field(factory=list)
    #: An entry could open but is blocked; a later Recovered opens it.
    deferred: bool = False


class TurnRecorder:
    """The state and the new events of one turn."""

    __slots__ = (
        "advanced_maps",
        "child_inputs",
        "due_retries",
        "full_scan",
        "graph",
        "in_preflight",
        "is_blocked",
        "newly_settled",
        "now",
        "reset",
        "result",
        "state",
        "was_stopping",
    )

    def __init__(
        self, graph: Graph, state: RunState, now: int, is_blocked: IsBlocked, in_preflight: Preflights
    ) -> None:
        self.graph, self.state, self.now, self.is_blocked = graph, state, now, is_blocked
        self.in_preflight = in_preflight
        self.was_stopping = state.stopping is not None
        self.result = TurnResult()
        #: The nodes that this turn settled: the nodes below them may be ready.
        self.newly_settled: list[str] = []
        #: The nodes that a repeating loop reset in this turn.
        self.reset: list[str] = []
        #: The maps that this turn opened, or closed an item of.
        self.advanced_maps: list[Address] = []
        #: Entries in backoff that are due.
        self.due_retries: list[Address] = []
        #: The inputs of the children that can start now.
        self.child_inputs: dict[Address, Json] = {}
        #: Check every node for whether it is ready, not only those below ``newly_settled``.
        self.full_scan = False

    def record(self, kind: type[E], **fields: Any) -> E:
        """Apply one event to the state and add it to the result."""
        event = kind(seq=self.state.seq + 1, at=self.now, **fields)
        self.add(event)
        return event

    def add(self, event: Event) -> None:
        """Apply one event to the state and add it to the result. Hot callers make the event themselves."""
        evolve(self.state, event)
        self.result.events.append(event)

    # --- closing -------------------------------------------------------------------------------------------

    def open_ms(self, entry: Entry) -> int:
        """Return for how many milliseconds an attempt has been open; 0 if the clock was set back."""
        return max(0, self.now - entry.opened_at)

    def complete(
        self,
        entry: Entry,
        latency_ms: int,
        usage: AttemptUsage = NO_USAGE,
        output: Json = None,
        *,
        routes: tuple[str, ...] | None = None,
        again: bool | None = None,
        repeats: tuple[str, ...] = (),
        answered_with: str | None = None,
        on_timeout: TimeoutMove | None = None,
    ) -> None:
        """Close an entry as completed."""
        address, graph = entry.address, self.graph
        node, iteration, index, phase = address
        chooses = graph.races or node in graph.choosers  # most nodes choose nothing
        skipped = self._skipped(address, routes, repeats, on_timeout) if chooses else ()
        self.add(
            NodeCompleted(
                seq=self.state.seq + 1,
                at=self.now,
                node=node,
                iteration=iteration,
                index=index,
                attempt=entry.attempt,
                phase=phase,
                latency_ms=latency_ms,
                tokens=usage.tokens,
                cost_micro_usd=usage.cost_micro_usd,
                model=usage.model,
                routes=routes,
                again=again,
                repeats=repeats,
                skipped=skipped,
                answered_with=answered_with,
                on_timeout=on_timeout,
                output=output,
            )
        )
        if index is not None:
            self.advanced_maps.append(address.map_entry)
        else:
            self.reset += repeats
            if not again:
                self.newly_settled.append(node)
            self.newly_settled += skipped

    def _skipped(
        self,
        address: Address,
        routes: tuple[str, ...] | None,
        repeats: tuple[str, ...] = (),
        on_timeout: TimeoutMove | None = None,
    ) -> tuple[str, ...]:
        """Return the nodes that are skipped when an entry closes with an event that has these fields."""
        graph = self.graph
        if address.phase == "compensation" or self.state.stopping is not None or address.index is not None:
            return ()
        if routes is None and route_targets(graph.nodes[address.node]):
            routes = ()
        ran = on_timeout != "route"
        return readiness.skipped_by(graph, self.state, address.node, ran=ran, routes=routes, repeats=repeats)

    def fail(self, entry: Entry, fact: AttemptFailed) -> None:
        """Close a failed attempt. The entry stays open if it is retried."""
        policy = retry.policy_of(self.graph, entry.address)
        if fact.final or self.is_abandoned(entry) or entry.failures + 1 >= policy.max_attempts:
            self.fail_permanently(
                entry, fact.code, fact.message, fact.latency_ms, fact.usage, traceback=fact.traceback
            )
            return
        wait = retry.delay(policy, entry.failures + 1, fact.chance, fact.retry_after)
        message = retry.retry_message(fact.message, wait, entry.failures + 2, policy.max_attempts)
        retry_at = self.now + round(wait * 1000)
        self._failed(entry, fact.code, message, fact.latency_ms, fact.usage, retry_at, fact.traceback)

    def fail_permanently(
        self,
        entry: Entry,
        code: str,
        message: str,
        latency_ms: int,
        usage: AttemptUsage = NO_USAGE,
        *,
        traceback: str | None = None,
    ) -> None:
        """Close an entry as failed, without a retry."""
        if self.has_lost(entry):
            code = "cancelled"  # the failure of a loser is not a failure of the run
        self._failed(entry, code, message, latency_ms, usage, None, traceback)
        if entry.address.index is not None and entry.address.phase == "forward":
            self.advanced_maps.append(entry.address.map_entry)
        elif entry.address.node in self.state.settled:
            self.newly_settled.append(entry.address.node)

    def interrupt_by_crash(self, entry: Entry) -> None:
        """Close an attempt that was in flight when the process died. Its retry is due at once."""
        message = "The process ended while this attempt was running"
        crashes_on = entry.interruptions + 1 >= retry.MAX_INTERRUPTIONS
        if crashes_on or self.is_abandoned(entry) or not self._may_run_again(entry):
            self.fail_permanently(entry, "interrupted", message, 0)
        else:
            self._failed(entry, "interrupted", message, 0, NO_USAGE, self.now)

    def interrupt_by_shutdown(self, entry: Entry, fact: AttemptInterrupted) -> None:
        """Close an attempt that the next process starts again at once; this does not count as a crash.

        An attempt whose code was called in this process fails if its retry policy allows one attempt only.
        """
        latency_ms = self.open_ms(entry) if fact.started else 0
        when = "while this attempt was running" if fact.started else "before this attempt began"
        message = f"The server was stopped {when}"
        if fact.started and not self._may_run_again(entry):
            self.fail_permanently(entry, "interrupted", message, latency_ms, fact.usage)
        else:
            self._failed(entry, "interrupted", message, latency_ms, fact.usage, self.now, planned=True)
            self.result.deferred = True  # the next process starts it before its queued runs

    def _may_run_again(self, entry: Entry) -> bool:
        return retry.policy_of(self.graph, entry.address).max_attempts > 1

    def is_abandoned(self, entry: Entry) -> bool:
        """Tell whether an entry is being stopped, with its run or as the loser of a race."""
        return readiness.is_abandoned(self.graph, self.state, entry.address)

    def has_lost(self, entry: Entry) -> bool:
        """Tell whether the node of an entry has lost a race."""
        if not self.graph.races or self.state.stopping is not None:
            return False
        return readiness.has_lost(self.graph, self.state, entry.address.node)

    def _failed(
        self,
        entry: Entry,
        code: str,
        message: str,
        latency_ms: int,
        usage: AttemptUsage,
        retry_at: int | None,
        traceback: str | None = None,
        *,
        planned: bool = False,
    ) -> None:
        self.record(
            NodeFailed,
            **entry.address._asdict(),
            attempt=entry.attempt,
            latency_ms=latency_ms,
            code=code,
            message=message,
            will_retry=retry_at is not None,
            retry_at=retry_at,
            tolerated=retry_at is None and code != "cancelled" and self._tolerates(entry.address),
            traceback=traceback,
            planned=planned,
            tokens=usage.tokens,
            cost_micro_usd=usage.cost_micro_usd,
            model=usage.model,
        )

    def _tolerates(self, address: Address) -> bool:
        """Tell whether a map continues without this item."""
        if address.index is None or address.phase == "compensation" or self.state.stopping is not None:
            return False
        node, items = self.graph.nodes[address.node], self.state.maps[address.map_entry]
        return isinstance(node, Map) and items.failed < node.max_failures

    def resolve(self, entry: Entry, outcome: Outcome, signal: SignalReceived | None = None) -> None:
        """Close the entry of a human node. ``signal``: the signal that answers it."""
        request = entry.request
        if request is None:
            raise ValueError(f"{entry.address} has no input request")
        fields = self._timeout_fields(entry) if outcome == "timed_out" else {}
        if signal:
            fields = {"answered_with": signal.request_id, "by": signal.by, "payload": signal.payload}
        routes, move = fields.get("routes"), fields.get("on_timeout")
        skipped = self._skipped(entry.address, routes, on_timeout=move) if fields else ()
        self.record(
            InputResolved,
            node=request.node,
            iteration=request.iteration,
            index=request.index,
            request_id=request.request_id,
            outcome=outcome,
            skipped=skipped,
            **fields,
        )
        if request.node in self.state.settled:
            self.newly_settled += (request.node, *skipped)

    def _timeout_fields(self, entry: Entry) -> dict[str, Any]:
        """Return the event fields that replace a missing answer; none if the run fails."""
        node = self.graph.nodes[entry.address.node]
        if not isinstance(node, Wait) or node.on_timeout == "fail":
            return {}
        if node.on_timeout == "value":
            return {"on_timeout": "value", "payload": node.timeout_value}
        return {"on_timeout": "route", "routes": route_targets(node)}

    def receive(self, entry: Entry, signal: SignalReceived) -> None:
        """Close a wait with a signal."""
        if entry.request is not None:
            self.resolve(entry, "answered", signal)
        else:
            latency_ms = self.open_ms(entry)
            self.complete(entry, latency_ms, output=signal.payload, answered_with=signal.request_id)

    def expire(self, entry: Entry) -> None:
        """Close a wait whose deadline has passed."""
        if entry.request is not None:
            self.resolve(entry, "timed_out")
            return
        latency_ms, fields = self.open_ms(entry), self._timeout_fields(entry)
        if not fields:
            message = f"No signal {entry.signal} within {format_duration(latency_ms / 1000)}"
            self.fail_permanently(entry, "signal_timed_out", message, latency_ms)
        else:
            self.complete(entry, latency_ms, output=fields.pop("payload", None), **fields)

    def withdraw(self, entry: Entry, because: str = "the run is stopping") -> None:
        """Close an entry that is being stopped."""
        if entry.request is not None:
            self.resolve(entry, "withdrawn")
            return
        code, message = "cancelled", f"Stopped, because {because}"
        if self.has_lost(entry):
            message = "Stopped, because it lost a race"
        elif (failed := self._failed_item(entry.address)) is not None:
            code, message = "item_failed", f"Item {failed.index} failed: {failed.message}"
        latency_ms = 0 if entry.status == "backoff" else self.open_ms(entry)
        self.fail_permanently(entry, code, message, latency_ms)

    def _failed_item(self, address: Address) -> Any:
        """Return the error of the item that made a map fail, if any."""
        stopping = self.state.stopping
        if stopping is None or address not in self.state.maps or stopping.outcome != "failed":
            return None
        error = stopping.error
        same = (error.node, error.iteration) == (address.node, address.iteration)
        return error if same and error.index is not None else None

    def defer_blocked(self, addresses: list[Address]) -> list[Address]:
        """Return the entries that are not blocked. The others are deferred."""
        free = [address for address in addresses if not self.is_blocked(address)]
        if len(free) < len(addresses):
            self.result.deferred = True
        return free

    def check_due_retries(self) -> None:
        """Drop the due retries that were withdrawn, and defer those that are blocked."""
        due = [address for address in self.due_retries if address in self.state.entries]
        self.due_retries = self.defer_blocked(due)

    def update_status(self) -> None:
        """Record the state of the run if it changed between running and retrying."""
        retrying = self.state.backing_off > len(self.due_retries)
        state = "retrying" if retrying else "running"
        if state != self.state.state:
            cause = "retry_scheduled" if retrying else "retry_started"
            self.record(StatusChanged, state=state, cause=cause)
