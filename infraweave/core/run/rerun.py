"""Reruns: which results of a finished run the new run keeps, and which nodes it runs again.

A node runs again if the rerun begins at it, if it never finished or was compensated, if it is new, or if it
depends on such a node. If one node of a loop runs again, all of its nodes do; the same holds for the nodes
that lead to a race. The results of all other nodes are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field

from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.run.events import ReusedResults
from infraweave.core.run.readiness import has_lost, skipped_at_first
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph


@frozen(kw_only=True)
class RerunNodes:
    """What the rerun does with each node. ``gone``: nodes that only the old version has."""

    reused: tuple[str, ...]
    rerun: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]


@frozen(kw_only=True)
class ReusedNodes:
    """What a rerun begins with: the nodes that ran or were skipped in the earlier run, and their results."""

    ran: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    results: ReusedResults = field(factory=ReusedResults)


def plan_rerun(old: Graph, state: RunState, new: Graph, from_node: str | None) -> RerunNodes:
    """Return what the rerun does with each node. Without ``from_node``, all nodes run again.

    Raises:
        LookupError: the new version has no such node.
    """
    if from_node is not None and from_node not in new.nodes:
        raise LookupError(from_node)
    anew = set(new.nodes) if from_node is None else _anew(old, state, new, from_node)
    return RerunNodes(
        reused=tuple(name for name in new.nodes if name not in anew),
        rerun=tuple(name for name in new.nodes if name in anew and name in old.nodes),
        new=tuple(name for name in new.nodes if name not in old.nodes),
        gone=tuple(name for name in old.nodes if name not in new.nodes),
    )


def _anew(old: Graph, state: RunState, new: Graph, from_node: str) -> set[str]:
    compensated = {address.node for address in state.compensated}
    work = [name for name in new.nodes if not _finished(old, state, new, name) or name in compensated]
    anew: set[str] = set()
    work.append(from_node)
    while work:
        name = work.pop()
        if name not in anew:
            anew.add(name)
            work += new.downstream[name]
            work += [n for region in new.regions.values() if name in region.nodes for n in region.nodes]
            work += [n for race in new.races_of.get(name, ()) for n in new.races[race]]
    return anew


def _finished(old: Graph, state: RunState, new: Graph, name: str) -> bool:
    """Tell whether a node of the new version has a result: it ran, was skipped, or lost a race.

    It must be of the same kind in both versions. A node that was stopped with its run has no result. Neither
    has a node whose chosen routes the new version lacks, or that was skipped and now has other upstreams.
    """
    if name not in old.nodes or old.nodes[name].kind != new.nodes[name].kind:
        return False
    if any(new.router_of.get(route) != name for route in state.routes.get(name, ())):
        return False
    was_skipped = name in state.nodes and state.nodes[name].state == "skipped"
    if was_skipped:
        return _ways_to(old, name) == _ways_to(new, name)
    return state.settled.get(name, False) or has_lost(old, state, name)


def _ways_to(graph: Graph, name: str) -> tuple[object, ...]:
    """Return everything that decides whether a node is skipped."""
    return graph.router_of.get(name), set(graph.upstream[name]), set(graph.required[name])


def reused_results(new: Graph, state: RunState, kept: tuple[str, ...]) -> ReusedNodes:
    """Return the results of the kept nodes. A node that lost a race counts as skipped.

    Nodes of the new version that follow from the kept ones as skipped are skipped, too.
    """
    ran = tuple(name for name in kept if state.settled.get(name))
    routes = {name: state.routes[name] for name in kept if name in state.routes}
    return ReusedNodes(
        ran=ran,
        skipped=tuple(skipped_at_first(new, {name: name in ran for name in kept}, routes)),
        results=ReusedResults(outputs={name: state.outputs[name] for name in ran}, routes=routes),
    )


def merge_patch(value: Json, patch: Json) -> Json:
    """Return a value changed by a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return patch
    merged: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), change)
    return merged
