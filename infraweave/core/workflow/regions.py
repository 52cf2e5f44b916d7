"""The regions of loops: the nodes that an iteration repeats, and the nesting of loops.

A region has all nodes on the paths from ``back_to`` to the condition of a loop, and the nodes that feed a
loop-carried parameter of it. These are pure functions of the edges; ``graph`` stores the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from infraweave.core.records import frozen
from infraweave.core.workflow.document import INPUT, ITEM, Document, Loop, Map, Node

Edges = Mapping[str, Iterable[str]]


@frozen
class Region:
    """The nodes that a loop repeats, including its condition."""

    condition: str
    back_to: str
    nodes: frozenset[str]


def data_sources(node: Node) -> tuple[str, ...]:
    """Return the sources of a node in the same iteration."""
    sources = [p.source for p in node.params if p.source not in (INPUT, ITEM) and not p.carried]
    if isinstance(node, Map) and node.over != INPUT:
        sources.append(node.over)
    return tuple(sources)


def carried_sources(node: Node) -> tuple[str, ...]:
    """Return the sources of a node in the previous iteration."""
    return tuple(p.source for p in node.params if p.carried)


def regions(document: Document, upstream: Edges) -> list[Region]:
    """Return the regions of the loops, the smallest first; a loop with an unknown ``back_to`` has none."""
    nodes = {node.name: node for node in document.nodes}
    below = _turned(upstream)
    found = [
        Region(node.name, node.back_to, _region(node, nodes, upstream, below))
        for node in document.nodes
        if isinstance(node, Loop) and node.back_to in nodes
    ]
    return _nested(sorted(found, key=_size))


def _nested(found: list[Region]) -> list[Region]:
    """Extend each region by the loops that begin in it, also where no node uses their conditions."""
    whole: list[Region] = []
    for outer in found:
        nodes = outer.nodes
        for inner in whole:
            if inner.back_to in nodes and outer.condition not in inner.nodes:
                nodes |= inner.nodes
        whole.append(evolve(outer, nodes=nodes))
    return sorted(whole, key=_size)


def _size(region: Region) -> int:
    return len(region.nodes)


def _region(loop: Loop, nodes: Mapping[str, Node], upstream: Edges, below: Edges) -> frozenset[str]:
    inside = _reach(loop.back_to, below, loop.name)
    region: set[str] = set()
    ends = [loop.name]
    while ends:
        new = (_reach(ends.pop(), upstream, loop.back_to) & inside) - region
        region |= new
        ends += [source for name in new for source in carried_sources(nodes[name]) if source in inside]
    return frozenset(region | {loop.name, loop.back_to})


def _reach(start: str, edges: Edges, last: str) -> set[str]:
    """Return the nodes that can be reached from ``start`` without passing ``last``."""
    seen, work = {start}, [start]
    while work:
        name = work.pop()
        if name != last or name == start:
            for other in edges.get(name, ()):
                if other not in seen:
                    seen.add(other)
                    work.append(other)
    return seen


def _turned(upstream: Edges) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {}
    for name, sources in upstream.items():
        for source in sources:
            below.setdefault(source, []).append(name)
    return below
