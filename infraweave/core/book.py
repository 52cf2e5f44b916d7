"""The book of one turn: the moves that events can spell, each writing one closing or one opening.

Every event goes through ``Book.record``, which lets the fold agree first. The book knows how to write, not
when: ``turn`` and ``unwind`` decide that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, assert_never

from attrs import define, field

from infraweave.core import retry, settle
from infraweave.core.address import Address
from infraweave.core.document import Activity, Http, HumanInput, Retry, Router, Timer
from infraweave.core.events import (
    Event,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Outcome,
    SignalReceived,
    StatusChanged,
)
from infraweave.core.facts import NO_USAGE, Erred, Usage
from infraweave.core.graph import Graph
from infraweave.core.ids import input_request_id
from infraweave.core.state import Entry, RunState, evolve
from infraweave.core.values import Json

E = TypeVar("E", bound=Event)
#: Tells whether an entry must not be opened now (the server drains, or has no code for it).
Hold: TypeAlias = Callable[[Address], bool]


@define
class Written:
    """What a turn led to: events to commit, and waits whose code must be called before they can open."""

    events: list[Event] = field(factory=list)
    prepare: list[str] = field(factory=list)
    #: Something could open but was held back; a later Resumed opens it.
    held: bool = False


def retry_policy(graph: Graph, address: Address) -> Retry:
    """Return how an entry's failures are retried."""
    if address.phase == "compensation":
        undo = graph.compensation(address.node)
        return undo.retry if undo else Retry(max_attempts=1)
    node = graph.nodes[address.node]
    match node:
        case Activity() | Router() | Http():
            return node.retry
        case HumanInput() | Timer():
            return Retry(max_attempts=1)
        case _:
            assert_never(node)


class Book:
    """One turn's writing: the state as it changes, and what has been written."""

    def __init__(self, graph: Graph, state: RunState, now: int, hold: Hold) -> None:
        self.graph, self.state, self.now, self.hold = graph, state, now, hold
        self.written = Written()
        #: Nodes that this turn settled: what stands below them may be ready.
        self.touched: list[str] = []
        #: Entries in backoff whose time has come.
        self.reopen: list[Address] = []
        #: Look at every node for what may open, not only below ``touched``.
        self.look_everywhere = False

    def record(self, kind: type[E], **fields: Any) -> E:
        """Write one event."""
        event = kind(seq=self.state.seq + 1, at=self.now, **fields)
        evolve(self.state, event)
        self.written.events.append(event)
        return event

    # --- closing -------------------------------------------------------------------------------------------

    def complete(
        self,
        entry: Entry,
        latency_ms: int,
        usage: Usage = NO_USAGE,
        routes: tuple[str, ...] | None = None,
        output: Json = None,
    ) -> None:
        """Close an entry as done, and settle what that skips."""
        skipped = self._skipped(entry.address, routes)
        self.record(
            NodeCompleted,
            **_place(entry),
            latency_ms=latency_ms,
            **_spent(usage),
            routes=routes,
            skipped=skipped,
            output=output,
        )
        self.touched += (entry.address.node, *skipped)

    def _skipped(self, address: Address, routes: tuple[str, ...] | None = None) -> tuple[str, ...]:
        if address.phase == "compensation" or self.state.stopping is not None:
            return ()
        return settle.skipped_by(self.graph, self.state, address.node, routes)

    def fail(self, entry: Entry, fact: Erred) -> None:
        """Close an attempt that failed; the entry stays open where another attempt is due."""
        policy = retry_policy(self.graph, entry.address)
        if fact.final or self.unwinding(entry) or entry.failures + 1 >= policy.max_attempts:
            self.give_up(entry, fact.code, fact.message, fact.latency_ms, fact.usage)
            return
        wait = retry.delay(policy, entry.failures + 1, fact.chance, fact.retry_after)
        message = retry.retry_message(fact.message, wait, entry.failures + 2, policy.max_attempts)
        retry_at = self.now + round(wait * 1000)
        self._failed(entry, fact.code, message, fact.latency_ms, fact.usage, retry_at)

    def give_up(
        self, entry: Entry, code: str, message: str, latency_ms: int, usage: Usage = NO_USAGE
    ) -> None:
        """Close an entry as failed for good."""
        self._failed(entry, code, message, latency_ms, usage, None)

    def interrupt(self, entry: Entry) -> None:
        """Close an attempt that was in flight when the process ended; it is due again at once."""
        again = (
            retry_policy(self.graph, entry.address).max_attempts > 1
            and entry.interruptions + 1 < retry.MAX_INTERRUPTIONS
            and not self.unwinding(entry)
        )
        message = "The process ended while this attempt was running"
        self._failed(entry, "interrupted", message, 0, NO_USAGE, self.now if again else None)

    def unwinding(self, entry: Entry) -> bool:
        """Tell whether the entry belongs to the part of the run that is being given up."""
        return self.state.stopping is not None and entry.address.phase == "forward"

    def _failed(
        self, entry: Entry, code: str, message: str, latency_ms: int, usage: Usage, retry_at: int | None
    ) -> None:
        self.record(
            NodeFailed,
            **_place(entry),
            latency_ms=latency_ms,
            code=code,
            message=message,
            will_retry=retry_at is not None,
            retry_at=retry_at,
            **_spent(usage),
        )

    def resolve(self, entry: Entry, outcome: Outcome, letter: SignalReceived | None = None) -> None:
        """Close a human node's entry; ``letter`` is the signal that answers it."""
        request = entry.request
        if request is None:
            raise ValueError(f"{entry.address} asks nobody")
        skipped = self._skipped(entry.address) if letter else ()
        self.record(
            InputResolved,
            node=request.node,
            iteration=request.iteration,
            index=request.index,
            request_id=request.request_id,
            outcome=outcome,
            answered_with=letter.request_id if letter else None,
            by=letter.by if letter else None,
            skipped=skipped,
            payload=letter.payload if letter else None,
        )
        if letter:
            self.touched += (request.node, *skipped)

    def withdraw(self, entry: Entry) -> None:
        """Close an entry because the run is stopping."""
        if entry.request is not None:
            self.resolve(entry, "withdrawn")
        else:
            latency_ms = 0 if entry.status == "backoff" else self.now - entry.opened_at
            self.give_up(entry, "cancelled", "Stopped, because the run is stopping", latency_ms)

    def keep_back(self, addresses: list[Address]) -> list[Address]:
        """Return those that may open now; the others are held."""
        free = [address for address in addresses if not self.hold(address)]
        self.written.held |= len(free) < len(addresses)
        return free

    # --- between -------------------------------------------------------------------------------------------

    def update_status(self) -> None:
        """Write the run's state, where what is in backoff has changed it."""
        retrying = self.state.backing_off > len(self.reopen)
        state = "retrying" if retrying else "running"
        if state != self.state.state:
            cause = "retry_scheduled" if retrying else "retry_started"
            self.record(StatusChanged, state=state, cause=cause)

    # --- opening -------------------------------------------------------------------------------------------

    def reopen_due(self) -> None:
        """Open the next attempt of each entry in ``reopen``."""
        for address in self.reopen:
            self.start(address, self.state.entries[address].attempt + 1)
        self.reopen = []

    def open(self, address: Address) -> None:
        """Open a node's entry, or leave it to be prepared where its code must be called first."""
        name = address.node
        node = self.graph.nodes[name]
        match node:
            case Activity() | Router() | Http():
                self.start(address, 1)
            case HumanInput() if node.prompt is not None:
                self.ask(node, node.prompt)
            case Timer() if node.delay is not None:
                self.sleep(name, self.now + round(node.delay * 1000))
            case HumanInput() | Timer():
                self.written.prepare.append(name)
            case _:
                assert_never(node)

    def start(self, address: Address, attempt: int) -> None:
        """Open an attempt of code."""
        undo = self.graph.compensation(address.node) if address.phase == "compensation" else None
        params = undo.params if undo else self.graph.nodes[address.node].params
        self.record(
            NodeStarted,
            node=address.node,
            iteration=address.iteration,
            index=address.index,
            phase=address.phase,
            attempt=attempt,
            input=settle.bind(self.state, params),
        )

    def sleep(self, name: str, wake_at: int) -> None:
        """Open a timer."""
        self.record(NodeStarted, node=name, attempt=1, wake_at=wake_at)

    def ask(self, node: HumanInput, prompt: str, data: Json = None) -> None:
        """Open a human node's entry; a signal that came early answers it in the same commit."""
        address = Address(node.name)
        self.record(
            InputRequested,
            node=node.name,
            request_id=input_request_id(self.state.run_id, address),
            signal=node.name,
            prompt=prompt,
            schema=node.schema,
            deadline=None if node.timeout is None else self.now + round(node.timeout * 1000),
            data=data,
        )
        letters = self.state.mailbox.get(node.name)
        if letters:
            self.resolve(self.state.entries[address], "answered", letters[0])


def _place(entry: Entry) -> dict[str, Any]:
    node, iteration, index, phase = entry.address
    return {"node": node, "iteration": iteration, "index": index, "phase": phase, "attempt": entry.attempt}


def _spent(usage: Usage) -> dict[str, Any]:
    if usage is NO_USAGE:
        return {}
    return {"tokens": usage.tokens, "cost_micro_usd": usage.cost_micro_usd, "model": usage.model}
