"""What a run's state is made of: open steps, how far maps have come, what summaries show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import define, field, frozen

from infraweave.core.data.sizes import json_size
from infraweave.core.data.values import Json, format_duration
from infraweave.core.run.address import Address
from infraweave.core.run.events import InputRequested, InputResolved, NodeStarted, RunError

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
    """One open step. ``running``: code is at work. ``backoff`` and ``waiting``: until ``due_at``, if any.

    A map and a child are ``waiting`` too: what happens to them arrives.
    """

    address: Address
    status: Literal["running", "backoff", "waiting"]
    opened_at: int
    attempt: int = 1
    #: Failures that used up an attempt; interruptions do not.
    failures: int = 0
    #: Crashes in a row that interrupted it; a stop on purpose is none.
    interruptions: int = 0
    due_at: int | None = None
    #: What the code was given.
    input: Json = None
    #: What of it its newest attempt's event says, and the first event that says the same.
    recorded_input: Json = None
    recorded_seq: int = 0
    #: What a person was asked; None unless a human node waits.
    request: InputRequested | None = None
    #: The signal that a signal node waits for.
    signal: str | None = None
    #: The run that a subworkflow waits for.
    child_run_id: str | None = None


@define
class MapProgress:
    """How far a map has come."""

    total: int
    #: The lowest index that was never opened, and those above it that were.
    low: int = 0
    above: set[int] = field(factory=set)
    #: Items in flight, or waiting for their next attempt.
    open: int = 0
    closed: int = 0
    failed: int = 0
    #: Items that were stopped: the map is not whole then, though all of them are closed.
    stopped: int = 0
    #: Those of a map that has ended are its node's.
    outputs: list[Json] = field(factory=list)
    #: Bytes of them, as JSON.
    size: int = 0

    def unopened(self, limit: int, first: int = 0) -> list[int]:
        """Return the lowest indexes from ``first`` on that were never opened."""
        found: list[int] = []
        index = max(self.low, first)
        while len(found) < limit and index < self.total:
            if index not in self.above:
                found.append(index)
            index += 1
        return found

    def begin(self, index: int) -> None:
        """Mark an item as opened."""
        self.open += 1
        self.above.add(index)
        while self.low in self.above:
            self.above.remove(self.low)
            self.low += 1

    def end(self, index: int, output: Json) -> None:
        """Mark an item as closed; one that failed yields null."""
        self.open -= 1
        self.closed += 1
        self.outputs[index] = output
        self.size += json_size(output)


def effective_input(entries: Mapping[Address, Entry], event: NodeStarted) -> Json:
    """Return what an attempt is given: an item, also what its map keeps for all of them."""
    whole = entries.get(event.address._replace(index=None)) if event.index is not None else None
    if whole is None or whole.input is None or event.input is None or event.phase == "compensation":
        return event.input
    return {**whole.input, **event.input}


def close_map(maps: dict[Address, MapProgress], address: Address) -> bool:
    """Take a map off the open ones; tell whether it was one. Its node still tells how far it came."""
    items = maps.pop(address, None)
    if items is not None:
        items.outputs = []
    return items is not None


@frozen
class KeptValues:
    """What an iteration or an item was given and gave: its compensation may need it."""

    input: Json
    output: Json
    #: In which iteration the nodes of loops were then.
    iterations: Mapping[str, int] = field(factory=dict)


@frozen
class DeliveredSignal:
    """A signal that was accepted, and the digest of its payload: the same again is told from another."""

    name: str
    request_id: str
    by: str | None
    digest: str


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
    #: Of a map that has begun: how far it has come, in its newest iteration.
    items: MapProgress | None = None

    def repeat(self) -> None:
        """Be as new, in the next iteration of a loop; what was used adds up."""
        self.state, self.items = "pending", None
        self.started_at = self.finished_at = self.latency_ms = None


@frozen
class Stopping:
    """Why the run will not succeed. The first cause wins."""

    outcome: Literal["failed", "cancelled"]
    error: RunError
    forced: bool = False


@frozen
class ClosedWait:
    """How a wait for a signal ended, and when; ``by`` whom it was answered, with which ``request_id``."""

    how: Literal["answered", "timed_out", "withdrawn"]
    at: int
    by: str | None = None
    request_id: str | None = None


def no_answer(event: InputResolved, entry: Entry | None) -> RunError:
    """Return why a run fails that waited for a person in vain."""
    waited = f" within {format_duration((event.at - entry.opened_at) / 1000)}" if entry else ""
    return RunError(
        code="input_timed_out",
        message=f"No answer to {event.node}{waited}",
        node=event.node,
        iteration=event.iteration,
        index=event.index,
    )
