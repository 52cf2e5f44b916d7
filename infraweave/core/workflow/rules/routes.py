"""Finds nodes that can never run, because they need two routes that exclude each other.

The edges of the document must be valid and without cycles.
"""

from __future__ import annotations

from collections.abc import Iterator

from infraweave.core.workflow.document import Router, Wait
from infraweave.core.workflow.graph import Graph
from infraweave.errors import Fault

#: By router that chooses one route: the route that a node needs.
Needs = dict[str, str]


def in_flow(graph: Graph) -> list[str]:
    """Return the nodes in topological order."""
    done: dict[str, None] = {}
    stack = list(reversed(graph.nodes))
    while stack:
        missing = [source for source in graph.upstream[stack[-1]] if source not in done]
        if missing:
            stack += missing
        else:
            done[stack.pop()] = None
    return list(done)


def ancestors(graph: Graph) -> dict[str, int]:
    """Return the ancestors of each node, as a bit set of their places in the order."""
    before: dict[str, int] = {}
    for name in in_flow(graph):
        before[name] = 0
        for source in graph.upstream[name]:
            before[name] |= before[source] | 1 << graph.order[source]
    return before


def never_together(graph: Graph) -> Iterator[Fault]:
    """Yield a fault for each node that needs two routes of a router that chooses one.

    A node has the needs of its router and of its required data. Without those it has the needs that all its
    upstream nodes share, because one of them must have run.
    """
    needs: dict[str, Needs] = {}
    for name in in_flow(graph):
        needed, conflict = _united(_wanted(graph, name, needs))
        needs[name] = needed
        if conflict is not None:
            first, second, router = conflict
            message = (
                f"{name}: it needs both {first} and {second}, but {_chooser(graph, router)} one of them,"
                " so it would always be skipped; give the parameters defaults"
            )
            yield Fault(f"/nodes/{graph.order[name]}", "unreachable", message)


def _wanted(graph: Graph, name: str, needs: dict[str, Needs]) -> list[Needs]:
    router = graph.router_of.get(name)
    sources = [*graph.required[name], *([router] if router else [])]
    if not sources and graph.upstream[name]:
        return [_common([needs[source] for source in graph.upstream[name]])]
    wanted = [needs[source] for source in sources]
    # A wait ends with its answer or, when its time is up, in a route.
    wanted += [{source: source} for source in graph.required[name] if _may_run_out(graph, source)]
    if router is not None and not _chooses_many(graph, router):
        wanted.append({router: name})
    return wanted


def _united(wanted: list[Needs]) -> tuple[Needs, tuple[str, str, str] | None]:
    """Merge needs. Also return the first two routes that exclude each other, with their router."""
    needed: Needs = {}
    for router, route in (pair for needs in wanted for pair in needs.items()):
        other = needed.setdefault(router, route)
        if other != route:
            return needed, (other, route, router)
    return needed, None


def _chooses_many(graph: Graph, router: str) -> bool:
    node = graph.nodes[router]
    return isinstance(node, Router) and node.many


def _chooser(graph: Graph, router: str) -> str:
    return f"router {router} chooses" if isinstance(graph.nodes[router], Router) else f"{router} leads to"


def _may_run_out(graph: Graph, source: str) -> bool:
    node = graph.nodes[source]
    return isinstance(node, Wait) and node.timeout_route is not None


def _common(choices: list[Needs]) -> Needs:
    first, *others = choices
    return {key: route for key, route in first.items() if all(other.get(key) == route for other in others)}
