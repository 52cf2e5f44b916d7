"""The rules of definition documents. Pure; all faults are found at once.

Documents also come over the wire, so the work is bounded: faults are found one by one, and a hundred are
enough. Each fault has a JSON Pointer into the document, a code, and a message that begins with the name of
the node or trigger.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import chain, islice, pairwise

from infraweave.core.data.json_schema import schema_faults
from infraweave.core.data.values import is_pointer
from infraweave.core.workflow.concurrency import limit_faults
from infraweave.core.workflow.document import (
    INPUT,
    ITEM,
    Activity,
    Document,
    Http,
    Loop,
    Map,
    Node,
    Param,
    Router,
    Subworkflow,
    route_targets,
)
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.rules.loops import loop_faults
from infraweave.core.workflow.rules.nodes import ID, id_faults, node_faults, shorten
from infraweave.core.workflow.rules.routes import ancestors, never_together
from infraweave.core.workflow.rules.triggers import trigger_faults
from infraweave.errors import Fault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
#: Recorded pipelines have thousands of nodes. For 10,000 nodes the check takes under half a second, the
#: drawing about one second, and a run a few seconds; all three grow linearly.
MAX_NODES = 10_000
#: Compiling an expression takes about a millisecond.
MAX_EXPRESSIONS = 2_000
#: Each loop and each race holds the set of its nodes, so nested ones take many times the size of the graph.
MAX_LOOPS = MAX_RACES = 200
MAX_FAULTS = 100
#: The most names that a message lists, and the most names that are searched for a similar one.
_LISTED, _SEARCHED = 20, 500


def is_id(text: str) -> bool:
    """Tell whether a text is valid as a workflow id or a version."""
    return ID.fullmatch(text) is not None


def faults(document: Document) -> list[Fault]:
    """Return the faults of a document, at most a hundred; empty if it can be published."""
    found = list(islice(_faults(document), MAX_FAULTS + 1))
    if len(found) > MAX_FAULTS:
        found[MAX_FAULTS] = Fault("", "more", "there are more faults")
    return found


def _faults(document: Document) -> Iterator[Fault]:
    if too_many := list(_too_many(document)):
        yield from too_many
        return
    yield from _identity(document)
    yield from (fault.within("/concurrency") for fault in limit_faults(document.concurrency))
    yield from _nodes(document)
    yield from trigger_faults(document)
    sound = True
    for fault in chain(_edges(document), _routes(document)):
        sound = False
        yield fault
    graph = Graph(document)
    if len(graph.nodes) < len(document.nodes):
        return  # with repeated names, edges are ambiguous
    for fault in chain(loop_faults(graph), _cycles(graph)):
        sound = False
        yield fault
    if sound:
        yield from never_together(graph)
        yield from _undone_too_late(graph)


def _too_many(document: Document) -> Iterator[Fault]:
    loops = sum(isinstance(node, Loop) for node in document.nodes)
    races = sum(node.join == "any" for node in document.nodes)
    expressions = sum(getattr(node, "expression", None) is not None for node in document.nodes)
    counts = (
        (len(document.nodes), "nodes", MAX_NODES),
        (loops, "loops", MAX_LOOPS),
        (races, "races", MAX_RACES),
        (expressions, "expressions", MAX_EXPRESSIONS),
    )
    for count, what, most in counts:
        if count > most:
            yield Fault("/nodes", "too_many", f"there are {count:,} {what}, more than {most:,}")


def _identity(document: Document) -> Iterator[Fault]:
    yield from id_faults("workflow_id", document.workflow_id)
    yield from id_faults("version", document.version)
    yield from (fault.within("/input_schema", "input: ") for fault in schema_faults(document.input_schema))
    names = {node.name for node in document.nodes}
    if not names:
        yield Fault("/nodes", "required", "there are no nodes")
    if document.output is not None and document.output not in names:
        message = f"output {shorten(document.output)} is not a node{_nearest(document.output, names)}"
        yield Fault("/output", "unknown_node", message)


def _nodes(document: Document) -> Iterator[Fault]:
    last = {node.name: place for place, node in enumerate(document.nodes)}
    counts = Counter(node.name for node in document.nodes)
    for name in (name for name in counts if counts[name] > 1):
        yield Fault(f"/nodes/{last[name]}", "duplicate", f"{name}: there are several nodes of this name")
    for place, node in enumerate(document.nodes):
        path = f"/nodes/{place}"
        if node.name == INPUT:
            message = f"{shorten(INPUT)} is not a node name; it stands for the run's input"
            yield Fault(f"{path}/name", "reserved", message)
        elif not _NAME.fullmatch(node.name):
            expected = "expected a letter or _, then letters, digits, _ or -"
            yield Fault(f"{path}/name", "format", f"{shorten(node.name)} is not a node name; {expected}")
        yield from (fault.within(path, f"{node.name}: ") for fault in node_faults(node))


# --- edges -------------------------------------------------------------------------------------------------


def _edges(document: Document) -> Iterator[Fault]:
    names = {node.name for node in document.nodes}
    for place, node in enumerate(document.nodes):
        path, label = f"/nodes/{place}", f"{node.name}: "
        yield from (fault.within(path, label) for fault in _sources(node, node.params, names))
        undo = node.compensate if isinstance(node, Activity | Map | Subworkflow | Http) else None
        if undo is not None:
            found = _sources(node, undo.params, names, itself=True)
            yield from (fault.within(f"{path}/compensate", f"{node.name}.compensate: ") for fault in found)
        yield from (fault.within(path, label) for fault in _other_edges(node, names))


def _other_edges(node: Node, names: set[str]) -> Iterator[Fault]:
    if isinstance(node, Map) and node.over == node.name:
        yield Fault("/over", "self", f"over names the map itself; expected a node before it, or {INPUT}")
    elif isinstance(node, Map) and node.over not in names | {INPUT}:
        known = _list([INPUT, *sorted(names - {node.name})])
        message = f"over names {shorten(node.over)}, which is not a node; there are {known}"
        yield Fault("/over", "unknown_node", message)
    if node.join == "any":
        yield from _required_in_race(node)
    for other in node.after:
        if other == node.name:
            yield Fault("/after", "self", "it cannot run after itself")
        elif other not in names:
            message = f"after names {shorten(other)}, which is not a node{_nearest(other, names)}"
            yield Fault("/after", "unknown_node", message)


def _required_in_race(node: Node) -> Iterator[Fault]:
    for place, param in enumerate(node.params):
        if param.required and param.source != INPUT:
            message = (
                f"parameter {param.name} needs a default, because with join any"
                f" {param.source} may not have run"
            )
            yield Fault(f"/params/{place}", "default", message)


def _sources(
    node: Node, params: tuple[Param, ...], names: set[str], *, itself: bool = False
) -> Iterator[Fault]:
    """Yield faults of the sources of parameters. Only a compensation can take the output of its own node."""
    last = {param.name: place for place, param in enumerate(params)}
    counts = Counter(param.name for param in params)
    for name in (name for name in counts if counts[name] > 1):
        yield Fault(f"/params/{last[name]}", "duplicate", f"parameter {name} is declared twice")
    for place, param in enumerate(params):
        label = f"parameter {param.name[:128]}"
        if not is_pointer(param.pointer):
            message = f"{label}: pointer {shorten(param.pointer)} is not a JSON Pointer such as /id"
            yield Fault(f"/params/{place}/pointer", "format", message)
        if param.source == INPUT or (param.source == ITEM and isinstance(node, Map)):
            continue
        if not itself and param.source == node.name and not param.carried:
            yield Fault(f"/params/{place}", "self", f"{label} names the node itself")
        elif param.source not in names:
            yield _no_source(node, param, names if itself else names - {node.name}).within(
                f"/params/{place}", label
            )


def _no_source(node: Node, param: Param, names: set[str]) -> Fault:
    special = [INPUT, ITEM] if isinstance(node, Map) else [INPUT]
    message = f" names no node; there are {_list([*special, *sorted(names)])}"
    message += _nearest(param.source, {*special, *names, node.name})
    if param.source == param.name:
        return Fault("", "unknown_node", message)
    return Fault("/source", "unknown_node", f": source {shorten(param.source)}{message}")


def _list(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name[:128], sorted(names)[:_SEARCHED], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _routes(document: Document) -> Iterator[Fault]:
    names = {node.name for node in document.nodes}
    place_of = {node.name: place for place, node in enumerate(document.nodes)}
    router_of: dict[str, str] = {}
    for place, node in enumerate(document.nodes):
        if isinstance(node, Router) and not node.routes:
            yield Fault(f"/nodes/{place}/routes", "required", f"{node.name}: a router needs routes")
        for route, count in Counter(route_targets(node)).items():
            for fault in _route(node, route, count, names):
                yield fault.within(f"/nodes/{place}", f"{node.name}: ")
            if route in names and route != node.name and router_of.setdefault(route, node.name) != node.name:
                message = f"{route}: it is a route of both {router_of[route]} and {node.name}; expected one"
                yield Fault(f"/nodes/{place_of[route]}", "conflict", message)


def _route(node: Node, route: str, count: int, names: set[str]) -> Iterator[Fault]:
    path = "/routes" if isinstance(node, Router) else "/timeout_route"
    if count > 1:
        yield Fault(path, "duplicate", f"route {route} is listed {count} times")
    if route == node.name:
        yield Fault(path, "self", f"a {node.kind.replace('_', ' ')} cannot choose itself")
    elif route not in names:
        message = f"route {shorten(route)} is not a node{_nearest(route, names)}"
        yield Fault(path, "unknown_node", message)


def _cycles(graph: Graph) -> Iterator[Fault]:
    """Yield cycles that share no node. Edges to the node itself or to unknown nodes are other faults."""
    sources = {
        name: [source for source in graph.waits[name] if source in graph.nodes and source != name]
        for name in graph.nodes
    }
    while (cycle := _cycle(sources)) is not None:
        start = cycle.index(min(cycle, key=graph.order.__getitem__))
        turned = [*cycle[start:], *cycle[:start], cycle[start]]
        yield Fault("/nodes", "cycle", f"{' → '.join(turned)} is a cycle; {_reason(graph, turned)}")
        for name in cycle:
            del sources[name]
        sources = {name: [s for s in before if s in sources] for name, before in sources.items()}


def _cycle(sources: dict[str, list[str]]) -> list[str] | None:
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle[1:]
    return None


def _reason(graph: Graph, cycle: list[str]) -> str:
    for source, target in pairwise(cycle):
        if graph.router_of.get(target) == source:
            return f"{target} is a route of {source} and cannot come before it"
    carried = [(s, t) for s, t in pairwise(cycle) if graph.carrier(t, s) is not None]
    beginnings = {region.back_to for region in graph.regions.values()}
    for source, target in sorted(carried, key=lambda pair: pair[1] not in beginnings):
        return (
            f"{target} can take {source} of the previous iteration: give that parameter a default for the"
            " first one (in a document, mark it carried too)"
        )
    return "a node cannot wait for itself"


def _undone_too_late(graph: Graph) -> Iterator[Fault]:
    """Yield compensations that take the output of a node that comes after their own node."""
    undone = [(name, undo) for name in graph.nodes if (undo := graph.compensation(name)) is not None]
    before = ancestors(graph) if undone else {}
    for name, undo in undone:
        for place, param in enumerate(undo.params):
            if param.source in (INPUT, ITEM) or not before[param.source] >> graph.order[name] & 1:
                continue
            message = f"{name}.compensate: parameter {param.source} names a node that comes after {name}"
            yield Fault(f"/nodes/{graph.order[name]}/compensate/params/{place}", "order", message)
