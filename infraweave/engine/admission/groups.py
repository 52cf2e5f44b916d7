"""Concurrency groups in memory, and what admission control needs to know of a run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import TypeAlias

from attrs import field

from infraweave.core.data.template import TemplateError
from infraweave.core.data.values import Json
from infraweave.core.records import define, frozen
from infraweave.core.workflow.concurrency import concurrency_key
from infraweave.core.workflow.document import Concurrency
from infraweave.core.workflow.graph import Graph
from infraweave.errors import Fault, InputInvalid

#: Tenant, workflow and concurrency key; the key is None for the group of the whole workflow.
GroupKey: TypeAlias = tuple[str, str, str | None]
#: The groups that a run must pass, in order, with the limit of each.
GroupLimits: TypeAlias = "Sequence[tuple[GroupKey, Concurrency]]"


@frozen
class AdmissionRequest:
    """A run that wants to start: its tenant and workflow, and the limits of its version."""

    tenant: str
    workflow_id: str
    #: None if no limit has a key.
    concurrency_key: str | None = None
    limits: Sequence[Concurrency] = ()
    #: The concurrency keys of the groups in which an ancestor of the run is counted.
    held_by_ancestors: Collection[str | None] = ()

    def group_limits(self) -> list[tuple[GroupKey, Concurrency]]:
        """Return the groups to pass, the keyed one first, with the limit of each.

        Groups that count an ancestor are left out: the ancestor waits for this run and would never leave.
        """
        keyed = [(self.concurrency_key, limit) for limit in self.limits if limit.key is not None]
        named = [*keyed, *((None, limit) for limit in self.limits if limit.key is None)]
        return [
            ((self.tenant, self.workflow_id, key), limit)
            for key, limit in named
            if key not in self.held_by_ancestors
        ]


def admission_request(graph: Graph, tenant: str, value: Json) -> AdmissionRequest:
    """Return the admission request of a run of ``graph`` with the input ``value`` and no parent.

    Raises:
        InputInvalid: the input has no value for the concurrency key.
    """
    document = graph.document
    try:
        key = concurrency_key(document.concurrency, value)
    except TemplateError as error:
        message = f"has nothing for the concurrency key of {document.workflow_id}: {error}"
        fault = Fault("", "concurrency_key", f"the input {message}")
        raise InputInvalid(f"The input {message}.", details=[fault]) from error
    return AdmissionRequest(tenant, document.workflow_id, key, document.concurrency)


@define(eq=False)
class PendingRun:
    """A run that is queued, or that was admitted and has not started yet."""

    run_key: int
    tenant: str
    groups: GroupLimits
    #: In how many of its groups it has a place.
    passed: int = 0
    queued: bool = False
    removed: bool = False


@define(eq=False)
class ConcurrencyGroup:
    """The runs that one limit counts together, and the queue for a place among them."""

    #: Runs that have started and not ended.
    open: int = 0
    #: Places of runs that have not started yet.
    reserved: int = 0
    #: Pending runs that must pass this group; the group stays in memory while there are any.
    pending: int = 0
    #: Runs that wait for a place, and the limit of each.
    queue: deque[tuple[PendingRun, int]] = field(factory=deque)
    counted: asyncio.Event = field(factory=asyncio.Event)

    def first(self) -> tuple[PendingRun, int] | None:
        """Return the run that waits longest; drop removed ones."""
        while self.queue and self.queue[0][0].removed:
            self.queue.popleft()
        return self.queue[0] if self.queue else None

    def has_room(self, limit: int) -> bool:
        """Tell whether one more run may have a place."""
        return self.open + self.reserved < limit
