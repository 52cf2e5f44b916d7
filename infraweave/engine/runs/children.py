"""Children: a node of another run starts them, and the end of the child is the result of the node."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from infraweave.core.data.values import Json
from infraweave.core.run import ids
from infraweave.core.run.address import Address
from infraweave.core.run.events import Completed, NodeStarted, Origin, ParentEntry
from infraweave.core.run.facts import CancelRequested, ChildEnded, RunAccepted
from infraweave.core.run.state import RunState
from infraweave.core.workflow.concurrency import concurrency_key
from infraweave.core.workflow.document import Map, Subworkflow
from infraweave.core.workflow.graph import Graph
from infraweave.engine.admission.groups import admission_request
from infraweave.engine.clock import chance
from infraweave.engine.execution.attempt_error import AttemptError
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.resources import RunResources
from infraweave.errors import InputInvalid, RunNotFound, VersionNotFound, WorkflowNotFound
from infraweave.store.runs import RunRow, Runs

#: The deepest nesting of runs. It stops a workflow that starts itself.
MAX_DEPTH = 32


class Children:
    """Finds, starts, cancels and pins children."""

    def __init__(
        self, resources: RunResources, registry: RunRegistry, schema_checker: SchemaChecker, runs: Runs
    ) -> None:
        self._resources, self._registry = resources, registry
        self._schema_checker, self._runs = schema_checker, runs

    async def find(self, parent: LiveRun, name: str, value: Json) -> tuple[Graph, Json]:
        """Return the graph of the run that a node starts, and its validated input.

        Raises:
            AttemptError: there is no such workflow, its schema rejects ``value``, or runs nest too deep.
        """
        node, tenant, catalog = parent.graph.nodes[name], parent.origin.tenant, self._resources.catalog
        if not isinstance(node, Subworkflow | Map) or node.workflow_id is None:
            raise TypeError(f"{name} does not start runs")
        if parent.origin.depth >= MAX_DEPTH:
            raise AttemptError("too_deep", f"runs are nested {MAX_DEPTH} deep already", final=True)
        try:
            active = node.workflow_version or await catalog.active_version(tenant, node.workflow_id)
            graph = await catalog.graph(tenant, node.workflow_id, active)
        except (WorkflowNotFound, VersionNotFound) as error:
            raise AttemptError(error.code, str(error), final=True) from error
        try:
            taken = await self._schema_checker.validated_input(graph, value)
            admission_request(graph, tenant, taken)
        except InputInvalid as error:
            raise AttemptError(error.code, str(error), final=True) from error
        return graph, taken

    async def held_by_ancestors(self, run: RunRow | Origin) -> frozenset[str | None]:
        """Return the lanes of a run's workflow in which the ancestors of the run hold slots."""
        held: set[str | None] = set()
        above = run.parent_run_id
        while above is not None and (row := await self._runs.get(above)) is not None:
            if row.workflow_id == run.workflow_id:
                held |= {None, row.lane}
            above = row.parent_run_id
        return frozenset(held)

    def spawn_child(self, parent: LiveRun, event: NodeStarted) -> tuple[LiveRun, RunAccepted]:
        """Create the child of an attempt; return it and the fact that starts it."""
        graph, origin = parent.performer.pop_child_graph(event.address), parent.origin
        limits = graph.document.concurrency
        has_slot = not limits and self._resources.slots.try_acquire()
        state = RunState(event.child_run_id or "")
        child = self._registry.create(graph, state, parent_key=parent.run_key, has_slot=has_slot)
        born = Origin(
            workflow_id=graph.document.workflow_id,
            workflow_version=graph.document.version,
            trigger="subworkflow",
            tenant=origin.tenant,
            by=origin.by,
            parent_run_id=parent.state.run_id,
            parent_entry=ParentEntry(
                node=event.node, iteration=event.iteration, index=event.index, attempt=event.attempt
            ),
            depth=origin.depth + 1,
            trace_id=origin.trace_id,
            parent_span_id=ids.span_id(parent.state.run_id, event.address, event.attempt),
            trace_flags=origin.trace_flags,
            tracestate=origin.tracestate,
            lane=concurrency_key(limits, event.input),
        )
        return child, RunAccepted(origin=born, input=event.input, slot=has_slot)

    async def cancel(self, parent: LiveRun, child_run_id: str) -> None:
        """Cancel a child that its parent no longer needs."""
        await parent.durable()  # the child may not be stored before
        row = await self._runs.get(child_run_id)
        if row is None:
            raise RunNotFound(f"No run {child_run_id}.")
        reason = f"its parent {parent.state.run_id} no longer needs it"
        async with self._registry.pinned(row.run_key, resuming=True) as child:
            child.apply(CancelRequested(by=parent.origin.by, reason=reason))
            await child.durable()

    async def pin_descendants(self, stack: AsyncExitStack, run_key: int) -> list[LiveRun]:
        """Pin a run and its open descendants until ``stack`` is closed.

        The list is complete only until the next await, because a run that continues may start another child.

        Raises:
            RunNotFound: there is no such run.
            StorageUnavailable: the events of a run cannot be stored.
        """
        # Terminating a run needs no payloads.
        bare = partial(self._registry.pinned, resuming=True, payloads=False)
        found = [await stack.enter_async_context(bare(run_key))]
        known: set[str] = set()
        while missing := [(live, child) for live in found for child in _open_children(live, known)]:
            for parent, child in missing:
                known.add(child)
                await parent.durable()  # the child may not be stored before
                row = await self._runs.get(child)
                if row is not None:
                    found.append(await stack.enter_async_context(bare(row.run_key)))
        return found


def child_ended_fact(state: RunState, address: Address, attempt: int) -> ChildEnded:
    """Return the fact that tells a parent that the child of this attempt has ended."""
    if state.end is None:
        raise ValueError(f"{state.run_id} has not ended")
    done = isinstance(state.end, Completed)
    return ChildEnded(
        address=address,
        attempt=attempt,
        child_run_id=state.run_id,
        state=state.state,
        output=state.end.result if isinstance(state.end, Completed) else None,
        error=None if done else getattr(state.end, "error", None),
        chance=chance(),
    )


def _open_children(live: LiveRun, known: set[str]) -> list[str]:
    ids = (entry.child_run_id for entry in live.state.entries.values())
    return [child for child in ids if child is not None and child not in known]
