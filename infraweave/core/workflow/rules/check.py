"""What makes a definition document valid. Pure; finds every fault at once, each with the names involved.

Documents also come over the wire, so the work is bounded: faults are found one by one, and a hundred are
enough. A node without a cycle before it is always reachable; what can never run is found as data that can
only ever be skipped (``routes``).
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
from infraweave.core.workflow.diff import first_difference
from infraweave.core.workflow.document import (
    INPUT,
    ITEM,
    Activity,
    Compensation,
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
from infraweave.core.workflow.rules.nodes import ID, own_faults, said
from infraweave.core.workflow.rules.routes import ancestors, never_together
from infraweave.core.workflow.rules.triggers import trigger_faults

__all__ = ["MAX_FAULTS", "MAX_NODES", "faults", "first_difference", "is_id"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
#: Recorded pipelines have thousands of nodes. The check, the drawing and the run of a graph grow as it does:
#: of 10,000 nodes they take under half a second, about one, and a few.
MAX_NODES = 10_000
#: Each is compiled when it is checked, which takes a millisecond.
MAX_EXPRESSIONS = 2_000
#: Of loops, and of races: each knows all nodes within it, so many within each other are many times the graph.
MAX_LOOPS = MAX_RACES = 200
MAX_FAULTS = 100
#: Names that a message lists, and among which it looks for the nearest.
_LISTED, _SEARCHED = 20, 500


def is_id(text: str) -> bool:
    """Tell whether a text may be a workflow's id, or a version."""
    return ID.fullmatch(text) is not None


def faults(document: Document) -> list[str]:
    """Return what is wrong with a document, a hundred faults at most; empty where it can be published."""
    found = list(islice(_faults(document), MAX_FAULTS + 1))
    return [*found[:MAX_FAULTS], "there are more faults"] if len(found) > MAX_FAULTS else found


def _faults(document: Document) -> Iterator[str]:
    if too_many := list(_too_many(document)):
        yield from too_many
        return
    yield from _identity(document)
    yield from limit_faults(document.concurrency)
    yield from _nodes(document)
    yield from trigger_faults(document)
    sound = True
    for fault in chain(_edges(document), _routes(document)):
        sound = False
        yield fault
    graph = Graph(document)
    if len(graph.nodes) < len(document.nodes):
        return  # edges of nodes with one name cannot be told apart
    for fault in chain(loop_faults(graph), _cycles(graph)):
        sound = False
        yield fault
    if sound:
        yield from never_together(graph)
        yield from _undone_too_late(graph)


def _too_many(document: Document) -> Iterator[str]:
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
            yield f"there are {count:,} {what}, more than {most:,}"


def _identity(document: Document) -> Iterator[str]:
    if not ID.fullmatch(document.workflow_id):
        yield f"workflow_id {said(document.workflow_id)} must be 1 to 128 letters, digits, . _ or -"
    if not ID.fullmatch(document.version):
        yield f"version {said(document.version)} must be 1 to 128 letters, digits, . _ or -"
    yield from (f"input: {fault}" for fault in schema_faults(document.input_schema))
    names = {node.name for node in document.nodes}
    if not names:
        yield "there are no nodes"
    if document.output is not None and document.output not in names:
        yield f"output {said(document.output)} is no node{_nearest(document.output, names)}"


def _nodes(document: Document) -> Iterator[str]:
    counts = Counter(node.name for node in document.nodes)
    yield from (f"{name}: there are several nodes of this name" for name in counts if counts[name] > 1)
    for node in document.nodes:
        if node.name == INPUT:
            yield f"{said(INPUT)} is no node name; it stands for the run's input"
        elif not _NAME.fullmatch(node.name):
            yield f"{said(node.name)} is no node name; expected a letter or _, then letters, digits, _ or -"
        yield from (f"{node.name}: {fault}" for fault in own_faults(node))


# --- edges -------------------------------------------------------------------------------------------------


def _edges(document: Document) -> Iterator[str]:
    names = {node.name for node in document.nodes}
    for node in document.nodes:
        yield from _unbound(node.name, node, node.params, names)
        if isinstance(node, Activity | Map | Subworkflow | Http) and node.compensate is not None:
            yield from _unbound(f"{node.name}.compensate", node, node.compensate.params, names)
        if isinstance(node, Map) and node.over == node.name:
            yield f"{node.name}: over names the map itself; expected a node before it, or {INPUT}"
        elif isinstance(node, Map) and node.over not in names | {INPUT}:
            known = _list([INPUT, *sorted(names - {node.name})])
            yield f"{node.name}: over names {said(node.over)}, which is no node; there are {known}"
        if node.join == "any":
            yield from _required_in_race(node)
        for other in node.after:
            if other == node.name:
                yield f"{node.name}: it cannot run after itself"
            elif other not in names:
                yield f"{node.name}: after names {said(other)}, which is no node{_nearest(other, names)}"


def _required_in_race(node: Node) -> Iterator[str]:
    for param in node.params:
        if param.required and param.source != INPUT:
            yield (
                f"{node.name}: parameter {param.name} needs a default, for with join any"
                f" {param.source} may not have run"
            )


def _unbound(where: str, node: Node, params: tuple[Param, ...], names: set[str]) -> Iterator[str]:
    counts = Counter(param.name for param in params)
    yield from (f"{where}: parameter {name} stands there twice" for name in counts if counts[name] > 1)
    itself = where != node.name  # a compensation takes its node's output
    for param in params:
        what = f"{where}: parameter {param.name[:128]}"
        if not is_pointer(param.pointer):
            yield f"{what}: pointer {said(param.pointer)} is no JSON Pointer such as /id"
        if param.source == INPUT or (param.source == ITEM and isinstance(node, Map)):
            continue
        if not itself and param.source == where and not param.carried:
            yield f"{what} names the node itself"
        elif param.source not in names:
            special = [INPUT, ITEM] if isinstance(node, Map) else [INPUT]
            known = _list([*special, *sorted(names - {where})])
            hint = _nearest(param.source, {*special, *names})
            what += "" if param.source == param.name else f": source {said(param.source)}"
            yield f"{what} names no node; there are {known}{hint}"


def _list(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name[:128], sorted(names)[:_SEARCHED], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _routes(document: Document) -> Iterator[str]:
    names = {node.name for node in document.nodes}
    router_of: dict[str, str] = {}
    for node in document.nodes:
        if isinstance(node, Router) and not node.routes:
            yield f"{node.name}: a router needs routes"
        for route, count in Counter(route_targets(node)).items():
            if count > 1:
                yield f"{node.name}: route {route} stands there {count} times"
            if route == node.name:
                yield f"{node.name}: a {node.kind.replace('_', ' ')} cannot choose itself"
            elif route not in names:
                yield f"{node.name}: route {said(route)} is no node{_nearest(route, names)}"
            elif router_of.setdefault(route, node.name) != node.name:
                yield f"{route}: it is a route of both {router_of[route]} and {node.name}; expected one"


def _cycles(graph: Graph) -> Iterator[str]:
    """Yield cycles that share no node; what names itself or nothing has been told already."""
    sources = {
        name: [source for source in graph.waits[name] if source in graph.nodes and source != name]
        for name in graph.nodes
    }
    while (cycle := _cycle(sources)) is not None:
        start = cycle.index(min(cycle, key=graph.order.__getitem__))
        turned = [*cycle[start:], *cycle[:start], cycle[start]]
        yield f"{' → '.join(turned)} is a cycle; {_reason(graph, turned)}"
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


def _undone_too_late(graph: Graph) -> Iterator[str]:
    """Yield compensations that take what comes after their node: the node itself could not."""
    undone = [(name, undo) for name in graph.nodes if (undo := graph.compensation(name)) is not None]
    before = ancestors(graph) if undone else {}
    for name, undo in undone:
        for source in _taken(undo):
            if before[source] >> graph.order[name] & 1:
                yield f"{name}.compensate: parameter {source} names a node that comes after {name}"


def _taken(undo: Compensation) -> list[str]:
    return [param.source for param in undo.params if param.source not in (INPUT, ITEM)]
