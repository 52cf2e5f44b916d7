"""The edges that are drawn, and the layer of each node, from left to right.

A loop is drawn as a block: its upstreams stand to the left of its ``back_to`` and its downstreams to the
right of its condition, so edges enter on the left and leave on the right. Values that a loop carries over to
its next iteration follow the edge back and have no edges of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Literal, TypeAlias

from infraweave.core.workflow.document import Loop, Node, Router, route_targets
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.regions import data_sources

EdgeKind: TypeAlias = Literal["data", "after", "route", "loop", "timeout"]
#: (source, target) → the kind of the edge. The edges back of loops are not included.
Drawn: TypeAlias = dict[tuple[str, str], EdgeKind]
Before: TypeAlias = Mapping[str, frozenset[str]]


def drawn_edges(graph: Graph) -> Drawn:
    """Return the forward edges, one for each pair of nodes: a route, else data, else ``after``."""
    found: Drawn = {}
    for node in graph.nodes.values():
        for source, target, kind in (*_routes(node), *_inputs(node)):
            found.setdefault((source, target), kind)
    # Routes come last because they replace other kinds, whatever the order of the nodes.
    for node in graph.nodes.values():
        found.update({(source, target): kind for source, target, kind in _routes(node)})
    return found


def ways_back(graph: Graph) -> list[tuple[str, str]]:
    """Return the condition of each loop and the node that it goes back to."""
    return [(node.name, node.back_to) for node in graph.nodes.values() if isinstance(node, Loop)]


def _routes(node: Node) -> Iterator[tuple[str, str, EdgeKind]]:
    kind: EdgeKind = "route" if isinstance(node, Router) else "timeout"
    yield from ((node.name, route, kind) for route in route_targets(node))


def _inputs(node: Node) -> Iterator[tuple[str, str, EdgeKind]]:
    yield from ((source, node.name, "data") for source in data_sources(node))
    yield from ((source, node.name, "after") for source in node.after)


def layers(graph: Graph, drawn: Drawn) -> dict[str, int]:
    """Return the layer of each node, from 0: as far left as its upstreams allow.

    A node with more edges to its right than to its left is then moved as far right as possible.
    """
    before = _before(graph)
    order = list(TopologicalSorter(before).static_order())
    layer: dict[str, int] = {}
    for name in order:
        layer[name] = 1 + max((layer[source] for source in before[name]), default=-1)
    _tighten(layer, order, before, drawn, fixed=set(graph.regions))
    return layer


def _before(graph: Graph) -> Before:
    """Return the nodes that must stand to the left of each node."""
    before = dict(graph.waits)
    for region in graph.regions.values():
        needed = {source for name in region.nodes for source in (*graph.upstream[name], *_ends(graph, name))}
        before[region.back_to] |= needed - region.nodes
    return before


def _ends(graph: Graph, name: str) -> Iterable[str]:
    """Return the conditions of the loops that a node waits for."""
    return graph.gated.get(name, {}).values()


def _tighten(
    layer: dict[str, int], order: list[str], before: Before, drawn: Drawn, *, fixed: set[str]
) -> None:
    pull = dict.fromkeys(order, 0)
    for source, target in drawn:
        pull[source] += 1
        pull[target] -= 1
    most: dict[str, int] = {}
    for name in reversed(order):
        if pull[name] > 0 and name in most and name not in fixed:
            layer[name] = most[name]
        for source in before[name]:
            most[source] = min(most.get(source, layer[name] - 1), layer[name] - 1)
