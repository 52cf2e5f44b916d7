"""Which nodes of a run are held back because their code is not loaded."""

from __future__ import annotations

from infraweave.core.run import readiness
from infraweave.core.run.address import Address
from infraweave.core.run.rollback import next_compensation
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph
from infraweave.engine.catalog import Catalog


def blocked(catalog: Catalog, graph: Graph, state: RunState) -> list[str]:
    """Return the nodes that would go on if their code were loaded, sorted."""
    if state.end is not None or state.state == "queued":
        return []
    late = [e.address for e in state.entries.values() if e.status == "backoff" or e.address in state.maps]
    addresses = [*_openable(graph, state), *late]
    return sorted({a.node for a in addresses if catalog.lacks_code(graph, a)})


def _openable(graph: Graph, state: RunState) -> list[Address]:
    """Return what would open next, if nothing held it back."""
    if state.stopping is None:
        return [Address(name) for name in readiness.all_ready(graph, state)]
    undo = None if state.entries else next_compensation(graph, state)
    return [] if undo is None else [undo]
