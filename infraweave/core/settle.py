"""What follows from a node's settling: which nodes are skipped, which are ready, what their code is given.

One rule for skipping: a node is skipped when its router did not choose it, when data that it requires was
skipped, or when all its upstreams were. It is ready when all its upstreams are settled and it is not skipped.
Pure questions about a graph and a state; nothing here changes either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from infraweave.core.document import INPUT, Param
from infraweave.core.graph import Graph
from infraweave.core.state import RunState
from infraweave.core.values import Json, at_pointer


def skipped_by(
    graph: Graph, state: RunState, closing: str, routes: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Return the nodes that are skipped once ``closing`` has completed (and chosen ``routes``).

    Only a router's choice skips: a node that ran gives data and is an upstream that ran.
    """
    if routes is None:
        return ()
    settled = {closing: True}
    chosen = {closing: routes}
    work = [closing]
    while work:
        for name in graph.downstream[work.pop()]:
            if name in settled or name in state.settled or _known(state, name):
                continue
            if _is_skipped(graph, state, name, settled, chosen):
                settled[name] = False
                work.append(name)
    return tuple(graph.in_order({name for name, ran in settled.items() if not ran}))


def _known(state: RunState, name: str) -> bool:
    """Tell whether the node has been opened: then it is not skipped any more."""
    node = state.nodes.get(name)
    return node is not None and node.state != "pending"


def _is_skipped(
    graph: Graph,
    state: RunState,
    name: str,
    settled: Mapping[str, bool],
    chosen: Mapping[str, tuple[str, ...]],
) -> bool:
    def ran(source: str) -> bool | None:
        return settled[source] if source in settled else state.settled.get(source)

    router = graph.router_of.get(name)
    if router is not None and ran(router) is not None:
        routes = chosen.get(router) or state.routes.get(router, ())
        if name not in routes:
            return True
    if any(ran(source) is False for source in graph.required[name]):
        return True
    return all(ran(source) is False for source in graph.upstream[name])


def ready(graph: Graph, state: RunState, touched: Iterable[str]) -> list[str]:
    """Return the nodes below ``touched`` (settled nodes) that can open now, in the definition's order."""
    below = {name for source in touched for name in graph.downstream[source]}
    return graph.in_order({name for name in below if is_ready(graph, state, name)})


def all_ready(graph: Graph, state: RunState) -> list[str]:
    """Return every node that can open now."""
    return [name for name in graph.nodes if is_ready(graph, state, name)]


def is_ready(graph: Graph, state: RunState, name: str) -> bool:
    """Tell whether a node can open now."""
    settled = state.settled
    if name in settled or _known(state, name):
        return False
    return settled.keys() >= graph.upstream_set[name]


def bind(state: RunState, params: Iterable[Param]) -> dict[str, Json]:
    """Return the values of the parameters; one whose source has none is left out, so its default applies.

    One whose pointer leads nowhere is left out too; where it is required, the attempt then fails.
    """
    values = {}
    for param in params:
        if param.source == INPUT:
            value = state.input
        elif state.settled.get(param.source):
            value = state.outputs[param.source]
        else:
            continue
        with suppress(LookupError):
            values[param.name] = at_pointer(value, param.pointer)
    return values


def result(graph: Graph, state: RunState) -> Json:
    """Return the run's result: the named output, the single sink's, or a dict of the sinks that ran."""
    named = graph.document.output
    if named is None and len(graph.sinks) == 1:
        named = graph.sinks[0]
    if named is not None:
        return state.outputs.get(named)
    return {name: state.outputs[name] for name in graph.sinks if state.settled.get(name)}
