"""Checks loops: each has one entry, two are nested or disjoint, carried parameters have defaults."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import combinations

from infraweave.core.workflow.document import Loop
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.regions import Region
from infraweave.errors import Fault


def loop_faults(graph: Graph) -> Iterator[Fault]:
    """Yield the faults of all loops of a document. The names of its nodes must be unique."""
    for place, node in enumerate(graph.document.nodes):
        if isinstance(node, Loop):
            yield from (fault.within(f"/nodes/{place}", f"{node.name}: ") for fault in _end(graph, node))
    for region in graph.regions.values():
        yield from _entries(graph, region)
    for inner, outer in combinations(graph.regions.values(), 2):
        if inner.nodes & outer.nodes and not inner.nodes <= outer.nodes:
            shared = min(inner.nodes & outer.nodes, key=graph.order.__getitem__)
            message = (
                f"the loops {inner.condition} and {outer.condition} share {shared};"
                " nest one inside the other, or separate them"
            )
            yield Fault("/nodes", "loop", message)
    yield from _carried(graph)


def _end(graph: Graph, loop: Loop) -> Iterator[Fault]:
    if loop.back_to == loop.name:
        message = "back_to names the condition itself; expected the node where an iteration begins"
        yield Fault("/back_to", "self", message)
    elif loop.back_to not in graph.nodes:
        close = get_close_matches(loop.back_to[:128], graph.nodes, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        message = f"back_to names {loop.back_to[:128]!r}, which is not a node{hint}"
        yield Fault("/back_to", "unknown_node", message)
    elif not any(source in graph.regions[loop.name].nodes for source in graph.upstream[loop.name]):
        yield Fault("", "loop", f"no path leads from its back_to, {loop.back_to}, to {loop.name}")


def _entries(graph: Graph, region: Region) -> Iterator[Fault]:
    for name in graph.in_order(set(region.nodes - {region.back_to})):
        router = graph.router_of.get(name)
        if router is not None and router not in region.nodes:
            message = (
                f"the loop {region.condition} has two entries: {region.back_to} and {name};"
                f" the router {router}, outside of the loop, can choose {name}"
            )
            yield Fault("/nodes", "loop", message)


def _carried(graph: Graph) -> Iterator[Fault]:
    for node_place, (name, node) in enumerate(graph.nodes.items()):
        for place, param in enumerate(node.params):
            if not param.carried:
                continue
            path = f"/nodes/{node_place}/params/{place}"
            if param.source in graph.nodes and graph.carrier(name, param.source) is None:
                both = f"{name} and {param.source}"
                message = f"{name}: parameter {param.name} is carried, but no loop contains both {both}"
                yield Fault(path, "loop", message)
            if param.required:
                message = (
                    f"{name}: parameter {param.name} is carried and needs a default for the first iteration"
                )
                yield Fault(path, "default", message)
