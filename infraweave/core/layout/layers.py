"""Which edges of a graph are drawn, and in which layer, from left to right, each node stands.

A loop is drawn as a block: what it needs from outside stands before its ``back_to``, what needs it stands
behind its condition, so its edges enter on the left and leave on the right. What a loop carries over to its
next iteration rides on the way back and is no edge of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Literal, TypeAlias

from infraweave.core.workflow.document import Loop, Node, Router, route_targets
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.regions import data_sources

EdgeKind: TypeAlias = Literal["data", "after", "route", "loop", "timeout"]
#: (source, target) → what the edge is; loops' ways back are not among them.
Drawn: TypeAlias = dict[tuple[str, str], EdgeKind]
Before: TypeAlias = Mapping[str, frozenset[str]]


def drawn_edges(graph: Graph) -> Drawn:
    """Return the edges that lead forward, the strongest of each pair: a route, else data, else ``after``."""
    found: Drawn = {}
    for node in graph.nodes.values():
        for source, target, kind in (*_routes(node), *_inputs(node)):
            found.setdefault((source, target), kind)
    # A route may be named after what it chooses: the nodes' order says nothing about strength.
    for node in graph.nodes.values():
        found.update({(source, target): kind for source, target, kind in _routes(node)})
    return found


def ways_back(graph: Graph) -> list[tuple[str, str]]:
    """Return each loop's condition with the node to which it goes back."""
    return [(node.name, node.back_to) for node in graph.nodes.values() if isinstance(node, Loop)]


def _routes(node: Node) -> Iterator[tuple[str, str, EdgeKind]]:
    kind: EdgeKind = "route" if isinstance(node, Router) else "timeout"
    yield from ((node.name, route, kind) for route in route_targets(node))


def _inputs(node: Node) -> Iterator[tuple[str, str, EdgeKind]]:
    yield from ((source, node.name, "data") for source in data_sources(node))
    yield from ((source, node.name, "after") for source in node.after)


def layers(graph: Graph, drawn: Drawn) -> dict[str, int]:
    """Return the layer of each node, from 0: as far left as what it waits for allows.

    A node with more edges to its right than to its left is then moved as near to those as it can be.
    """
    before = _before(graph)
    order = list(TopologicalSorter(before).static_order())
    layer: dict[str, int] = {}
    for name in order:
        layer[name] = 1 + max((layer[source] for source in before[name]), default=-1)
    _tighten(layer, order, before, drawn, fixed=set(graph.regions))
    return layer


def _before(graph: Graph) -> Before:
    """Return what must stand to the left of each node."""
    before = dict(graph.waits)
    for region in graph.regions.values():
        needed = {source for name in region.nodes for source in (*graph.upstream[name], *_ends(graph, name))}
        before[region.back_to] |= needed - region.nodes
    return before


def _ends(graph: Graph, name: str) -> Iterable[str]:
    """Return the conditions of the loops whose end a node waits for."""
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
