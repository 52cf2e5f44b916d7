"""Finds loop-carried parameters, which take a value of the previous iteration.

The edges in a loop form cycles. In each cycle one edge comes from the previous iteration, and its parameter
has a default. It is the edge into the first node of the loop; else an edge against the direction of required
parameters; else an edge from a node declared later.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from infraweave.core.workflow.document import Document, Loop, Node, Param
from infraweave.core.workflow.graph import Graph


def carried_over(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes with their loop-carried parameters marked."""
    if not any(isinstance(node, Loop) for node in nodes):
        return tuple(nodes)
    loops = _Loops(nodes)
    return tuple(evolve(node, params=tuple(loops.marked(node, p) for p in node.params)) for node in nodes)


class _Loops:
    """The loops of a workflow."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        graph = Graph(Document(workflow_id="", version="", nodes=tuple(nodes)))
        self._order = graph.order
        self._regions = graph.regions
        self._all = {name: set(sources) for name, sources in graph.upstream.items()}
        optional = {(node.name, p.source) for node in nodes for p in node.params if not p.required}
        self._hard = {
            name: {source for source in sources if (name, source) not in optional}
            for name, sources in self._all.items()
        }

    def marked(self, node: Node, param: Param) -> Param:
        """Return the parameter, marked if it is loop-carried."""
        name, source = node.name, param.source
        around = [r for r in self._regions.values() if name in r.nodes and source in r.nodes]
        if param.required or not around:
            return param
        is_carried = (
            name == source
            or any(name == region.back_to for region in around)
            or _leads(self._hard, name, source)
            or (self._order[source] > self._order[name] and _leads(self._all, name, source))
        )
        return evolve(param, carried=is_carried)


def _leads(upstream: dict[str, set[str]], start: str, end: str) -> bool:
    """Tell whether a path leads from ``start`` to ``end``."""
    seen, work = {end}, [end]
    while work:
        for source in upstream.get(work.pop(), ()):
            if source == start:
                return True
            if source not in seen:
                seen.add(source)
                work.append(source)
    return False
