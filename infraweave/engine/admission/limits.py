"""Lanes in memory: what a limit counts, who waits in line for a place, and what a run needs to be let in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

from infraweave.core.data.template import TemplateError
from infraweave.core.data.values import Json
from infraweave.core.workflow.concurrency import concurrency_key
from infraweave.core.workflow.document import Concurrency
from infraweave.core.workflow.graph import Graph
from infraweave.errors import Fault, InputInvalid

#: Tenant, workflow, and the name of the lane within it; None: the workflow as a whole.
LaneKey: TypeAlias = tuple[str, str, str | None]
#: The lanes to pass, in order, with the limit of each.
Gates: TypeAlias = "Sequence[tuple[LaneKey, Concurrency]]"


@frozen
class Candidate:
    """What the gate has to know of a run that wants to start: where it belongs, and its version's limits."""

    tenant: str
    workflow_id: str
    #: The name of its lane (core/lanes), None where no limit has a key.
    lane: str | None = None
    limits: Sequence[Concurrency] = ()
    #: The names of the lanes in which a run above it has a place.
    held_above: Collection[str | None] = ()

    def gates(self) -> list[tuple[LaneKey, Concurrency]]:
        """Return the lanes to pass, in order, with the limit of each.

        A lane in which a run above it has a place is not among them: that one waits for this one, and would
        keep its place for ever.
        """
        keyed = [(self.lane, limit) for limit in self.limits if limit.key is not None]
        named = [*keyed, *((None, limit) for limit in self.limits if limit.key is None)]
        return [(self._key(name), limit) for name, limit in named if name not in self.held_above]

    def _key(self, lane: str | None) -> LaneKey:
        return self.tenant, self.workflow_id, lane


def candidate(graph: Graph, tenant: str, value: Json) -> Candidate:
    """Return what the gate has to know of a run of ``graph`` with the input ``value``, whoever starts it.

    Raises:
        InputInvalid: the input has nothing for the concurrency key.
    """
    document = graph.document
    try:
        lane = concurrency_key(document.concurrency, value)
    except TemplateError as error:
        message = f"the input has nothing for the concurrency key of {document.workflow_id}: {error}"
        raise InputInvalid(f"T{message[1:]}.", details=[Fault("", message)]) from error
    return Candidate(tenant, document.workflow_id, lane, document.concurrency)


@define(eq=False)
class Ticket:
    """A run in line, or one that was let in and has not started yet."""

    run_key: int
    tenant: str
    gates: Gates
    #: How many of its lanes it holds a place of.
    passed: int = 0
    queued: bool = False
    gone: bool = False


@define(eq=False)
class Lane:
    """One lane: how many of its runs are open, and who waits for a place."""

    open: int = 0
    #: Places held by runs that have not started yet.
    reserved: int = 0
    #: Tickets that name this lane; while there are any it stays in memory.
    tickets: int = 0
    #: Who waits, and the limit of each.
    line: deque[tuple[Ticket, int]] = field(factory=deque)
    counted: asyncio.Event = field(factory=asyncio.Event)

    def first(self) -> tuple[Ticket, int] | None:
        """Return who waits longest; who has gone is dropped."""
        while self.line and self.line[0][0].gone:
            self.line.popleft()
        return self.line[0] if self.line else None

    def has_room(self, limit: int) -> bool:
        """Tell whether one more may have a place."""
        return self.open + self.reserved < limit
