"""The parts of a run's state: open entries, the progress of maps, the summaries of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import field

from infraweave.core.data.sizes import json_size
from infraweave.core.data.values import Json, format_duration
from infraweave.core.records import define, frozen
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
    """An open entry.

    ``running``: an attempt of its code is open. ``backoff``: it waits for its next attempt. ``waiting``: it
    waits for a signal, an answer, a time, its child run, or the items of its map. The last two last until
    ``due_at``, if there is one.
    """

    address: Address
    status: Literal["running", "backoff", "waiting"]
    opened_at: int
    attempt: int = 1
    #: The failures that used up an attempt. Interruptions do not.
    failures: int = 0
    #: How many crashes in a row interrupted it. A planned stop does not count.
    interruptions: int = 0
    due_at: int | None = None
    #: The input of its code.
    input: Json = None
    #: The input in the event of its newest attempt, and the seq of the first event that holds the same.
    recorded_input: Json = None
    recorded_seq: int = 0
    #: The input request of a human node; None for other nodes.
    request: InputRequested | None = None
    #: The signal that it waits for.
    signal: str | None = None
    #: The child run that it waits for.
    child_run_id: str | None = None
    #: The progress of the map, for one of its items.
    item_of: MapProgress | None = field(default=None, eq=False, repr=False)


@define
class MapProgress:
    """The progress of a map."""

    total: int
    #: The lowest index that never opened, and the higher indexes that did.
    low: int = 0
    above: set[int] = field(factory=set)
    #: Items in flight, or waiting for their next attempt.
    open: int = 0
    closed: int = 0
    failed: int = 0
    #: Items that were stopped: such a map does not complete, though all its items are closed.
    stopped: int = 0
    #: Emptied once the map has closed: from then on they are the output of its node.
    outputs: list[Json] = field(factory=list)
    #: The size of the outputs as JSON, in bytes.
    size: int = 0

    def unopened(self, limit: int, first: int = 0) -> list[int]:
        """Return up to ``limit`` of the lowest indexes from ``first`` on that never opened."""
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
        if index == self.low and not self.above:  # nearly always: items open in order
            self.low += 1
            return
        self.above.add(index)
        while self.low in self.above:
            self.above.remove(self.low)
            self.low += 1

    def end(self, index: int, output: Json) -> None:
        """Mark an item as closed. The output of a failed item is None."""
        self.open -= 1
        self.closed += 1
        self.outputs[index] = output
        self.size += json_size(output)


def effective_input(entries: Mapping[Address, Entry], event: NodeStarted, address: Address) -> Json:
    """Return the input of an attempt; for an item of a map, merged with the inputs that all items share.

    ``address``: that of the event, which the caller has already.
    """
    whole = entries.get(address.map_entry) if event.index is not None else None
    if whole is None or whole.input is None or event.input is None or event.phase == "compensation":
        return event.input
    return {**whole.input, **event.input}


def close_map(maps: dict[Address, MapProgress], address: Address) -> bool:
    """Remove a map from the open ones. Return whether it was there."""
    items = maps.pop(address, None)
    if items is not None:
        items.outputs = []
    return items is not None


@frozen
class KeptValues:
    """The input and the output of an iteration or an item, for its compensation."""

    input: Json
    output: Json
    #: The iterations of the nodes in loops at that time.
    iterations: Mapping[str, int] = field(factory=dict)


@frozen
class DeliveredSignal:
    """An accepted signal. The digest of its payload tells a duplicate from a conflict."""

    name: str
    request_id: str
    by: str | None
    digest: str


@define
class NodeState:
    """The summary of a node."""

    state: NodeStateName = "pending"
    attempts: int = 0
    iterations: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    latency_ms: int | None = None
    tokens: int = 0
    cost_micro_usd: int = 0
    #: The progress of a map that has begun, in its newest iteration.
    items: MapProgress | None = None

    def reset(self) -> None:
        """Begin the next iteration of a loop. Usage and attempts add up."""
        self.state, self.items = "pending", None
        self.started_at = self.finished_at = self.latency_ms = None


@frozen
class Stopping:
    """Why a run will not succeed. The first cause wins."""

    outcome: Literal["failed", "cancelled"]
    error: RunError
    forced: bool = False


@frozen
class ClosedWait:
    """How and when a wait for a signal ended. ``by`` and ``request_id`` identify the answer."""

    how: Literal["answered", "timed_out", "withdrawn"]
    at: int
    by: str | None = None
    request_id: str | None = None


def no_answer(event: InputResolved, entry: Entry | None) -> RunError:
    """Return the error of a run that got no answer from a person in time."""
    waited = f" within {format_duration((event.at - entry.opened_at) / 1000)}" if entry else ""
    return RunError(
        code="input_timed_out",
        message=f"No answer to {event.node}{waited}",
        node=event.node,
        iteration=event.iteration,
        index=event.index,
    )
