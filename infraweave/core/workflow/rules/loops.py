"""What makes loops valid: one entry each, one within another or apart, first values for what is carried."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import combinations

from infraweave.core.workflow.document import Loop
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.regions import Region


def loop_faults(graph: Graph) -> Iterator[str]:
    """Yield what is wrong with the loops of a document."""
    for node in graph.document.nodes:
        if isinstance(node, Loop):
            yield from _end(graph, node)
    for region in graph.regions.values():
        yield from _entries(graph, region)
    for inner, outer in combinations(graph.regions.values(), 2):
        if inner.nodes & outer.nodes and not inner.nodes <= outer.nodes:
            yield (
                f"the loops {inner.condition} and {outer.condition} share"
                f" {min(inner.nodes & outer.nodes, key=graph.order.__getitem__)};"
                " one must lie within the other, or apart"
            )
    yield from _carried(graph)


def _end(graph: Graph, loop: Loop) -> Iterator[str]:
    if loop.back_to == loop.name:
        yield f"{loop.name}: back_to names the condition itself; expected the node where an iteration begins"
    elif loop.back_to not in graph.nodes:
        close = get_close_matches(loop.back_to[:128], graph.nodes, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        yield f"{loop.name}: back_to names {loop.back_to[:128]!r}, which is no node{hint}"
    elif not any(source in graph.regions[loop.name].nodes for source in graph.upstream[loop.name]):
        yield f"{loop.name}: no way leads from {loop.back_to}, to which it goes back, to {loop.name}"


def _entries(graph: Graph, region: Region) -> Iterator[str]:
    for name in graph.in_order(set(region.nodes - {region.back_to})):
        router = graph.router_of.get(name)
        if router is not None and router not in region.nodes:
            yield (
                f"the loop {region.condition} has two entries: {region.back_to}, and {name}, which is a route"
                f" of {router} outside of it"
            )


def _carried(graph: Graph) -> Iterator[str]:
    for name, node in graph.nodes.items():
        for param in (param for param in node.params if param.carried):
            if param.source in graph.nodes and graph.carrier(name, param.source) is None:
                both = f"{name} and {param.source}"
                yield f"{name}: parameter {param.name} is carried, but no loop holds both {both}"
            if param.required:
                yield f"{name}: parameter {param.name} is carried and needs a default for the first iteration"
