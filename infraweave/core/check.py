"""What makes a definition document valid. Pure; finds every fault at once, each with the names involved.

Documents also come over the wire, so the work is bounded: faults are found one by one, and a hundred are
enough. A node without a cycle before it is always reachable; what can never run is found as data that can
only ever be skipped (``routes``).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import chain, islice, pairwise
from typing import assert_never

from infraweave.core.difference import first_difference
from infraweave.core.document import (
    INPUT,
    Activity,
    Compensation,
    Document,
    Http,
    HumanInput,
    Node,
    Param,
    Retry,
    Router,
    Timer,
)
from infraweave.core.expressions import faults as expression_faults
from infraweave.core.graph import Graph
from infraweave.core.outgoing import request_faults
from infraweave.core.routes import ancestors, never_together
from infraweave.core.schema import schema_faults
from infraweave.core.values import LONGEST, is_pointer, spell

__all__ = ["MAX_FAULTS", "MAX_NODES", "faults", "first_difference"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
#: A graph beyond this is no longer a picture that anyone reads; a map does many of one thing.
MAX_NODES = 2_000
MAX_FAULTS = 100
#: Names that a message lists, and among which it looks for the nearest.
_LISTED, _SEARCHED = 20, 500


def faults(document: Document) -> list[str]:
    """Return what is wrong with a document, a hundred faults at most; empty where it can be published."""
    found = list(islice(_faults(document), MAX_FAULTS + 1))
    return [*found[:MAX_FAULTS], "there are more faults"] if len(found) > MAX_FAULTS else found


def _faults(document: Document) -> Iterator[str]:
    if len(document.nodes) > MAX_NODES:
        yield f"there are {len(document.nodes):,} nodes, more than {MAX_NODES:,}"
        return
    yield from _identity(document)
    yield from _nodes(document)
    sound = True
    for fault in chain(_edges(document), _routes(document)):
        sound = False
        yield fault
    graph = Graph(document)
    if len(graph.nodes) < len(document.nodes):
        return  # edges of nodes with one name cannot be told apart
    for fault in _cycles(graph):
        sound = False
        yield fault
    if sound:
        yield from never_together(graph)
        yield from _undone_too_late(graph)


def _identity(document: Document) -> Iterator[str]:
    if not _ID.fullmatch(document.workflow_id):
        yield f"workflow_id {_said(document.workflow_id)} must be 1 to 128 letters, digits, . _ or -"
    if not _ID.fullmatch(document.version):
        yield f"version {_said(document.version)} must be 1 to 128 letters, digits, . _ or -"
    yield from (f"input: {fault}" for fault in schema_faults(document.input_schema))
    names = {node.name for node in document.nodes}
    if not names:
        yield "there are no nodes"
    if document.output is not None and document.output not in names:
        yield f"output {_said(document.output)} is no node{_nearest(document.output, names)}"


def _nodes(document: Document) -> Iterator[str]:
    counts = Counter(node.name for node in document.nodes)
    yield from (f"{name}: there are several nodes of this name" for name in counts if counts[name] > 1)
    for node in document.nodes:
        if node.name == INPUT:
            yield f"{INPUT}: no node may have this name; it stands for the run's input"
        elif not _NAME.fullmatch(node.name):
            yield f"{_said(node.name)} is no node name; expected a letter or _, then letters, digits, _ or -"
        yield from (f"{node.name}: {fault}" for fault in _own_faults(node))


def _own_faults(node: Node) -> Iterator[str]:
    match node:
        case Activity():
            yield from _running(node.retry, node.timeout)
            yield from _undoing(node.compensate)
        case Http():
            yield from _running(node.retry, node.timeout)
            yield from _undoing(node.compensate)
            yield from request_faults(node.request, {param.name for param in node.params})
        case Router():
            yield from _running(node.retry, node.timeout)
            if (node.code is None) == (node.expression is None):
                yield "a router needs a function or an expression that chooses, not both"
            if node.expression is not None:
                yield from expression_faults(node.expression, {param.name for param in node.params})
        case HumanInput():
            yield from (f"schema: {fault}" for fault in schema_faults(node.schema))
            yield from _timeout(node.timeout)
            if (node.prompt is None) == (node.code is None):
                yield "a human input needs a prompt or a function that returns one, not both"
        case Timer():
            if (node.delay is None) == (node.code is None):
                yield "a timer needs a delay or a function that returns one, not both"
            if node.delay is not None:
                yield from _within("delay", node.delay, 0)
        case _:
            assert_never(node)


def _undoing(undo: Compensation | None) -> Iterator[str]:
    if undo is not None:
        yield from (f"compensate: {fault}" for fault in _undo_faults(undo))


def _undo_faults(undo: Compensation) -> Iterator[str]:
    yield from _running(undo.retry, undo.timeout)
    if (undo.code is None) == (undo.request is None):
        yield "it needs a function or a request that undoes, not both"
    if undo.request is not None:
        yield from request_faults(undo.request, {param.name for param in undo.params})


def _running(retry: Retry, timeout: float | None) -> Iterator[str]:
    yield from _timeout(timeout)
    if retry.max_attempts < 1:
        yield f"retry.max_attempts is {retry.max_attempts}; expected 1 or more"
    yield from _within("retry.initial", retry.initial, 0)
    yield from _within("retry.factor", retry.factor, 1)
    yield from _within("retry.maximum", retry.maximum, 0)


def _timeout(timeout: float | None) -> Iterator[str]:
    if timeout is not None and not timeout > 0:
        yield f"timeout is {timeout}; expected more than 0 seconds"
    elif timeout is not None:
        yield from _within("timeout", timeout, 0)


def _within(name: str, number: float, least: float) -> Iterator[str]:
    if not (math.isfinite(number) and number >= least):
        yield f"{name} is {number}; expected {least} or more"
    elif number > LONGEST:
        yield f"{name} is {number:g}; expected at most {LONGEST:g} ({spell(LONGEST)})"


# --- edges -------------------------------------------------------------------------------------------------


def _edges(document: Document) -> Iterator[str]:
    names = {node.name for node in document.nodes}
    for node in document.nodes:
        yield from _unbound(node.name, node.params, names, itself=False)
        if isinstance(node, Activity | Http) and node.compensate is not None:
            yield from _unbound(f"{node.name}.compensate", node.compensate.params, names, itself=True)
        for other in node.after:
            if other == node.name:
                yield f"{node.name}: it cannot run after itself"
            elif other not in names:
                yield f"{node.name}: after names {_said(other)}, which is no node{_nearest(other, names)}"


def _unbound(where: str, params: tuple[Param, ...], names: set[str], *, itself: bool) -> Iterator[str]:
    counts = Counter(param.name for param in params)
    yield from (f"{where}: parameter {name} stands there twice" for name in counts if counts[name] > 1)
    for param in params:
        if not is_pointer(param.pointer):
            of = f"{where}: the pointer of {param.name[:128]}"
            yield f"{of}, {_said(param.pointer)}, is no JSON Pointer such as /id"
        if param.source == INPUT:
            continue
        if not itself and param.source == where:
            yield f"{where}: parameter {param.name} names the node itself"
        elif param.source not in names:
            known = _list([INPUT, *sorted(names - {where})])
            hint = _nearest(param.source, {INPUT, *names})
            yield f"{where}: parameter {param.name[:128]} names no node; there are {known}{hint}"


def _list(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name[:128], sorted(names)[:_SEARCHED], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _said(name: str) -> str:
    return repr(name if len(name) <= 128 else name[:127] + "…")


def _routes(document: Document) -> Iterator[str]:
    names = {node.name for node in document.nodes}
    router_of: dict[str, str] = {}
    for node in document.nodes:
        if not isinstance(node, Router):
            continue
        if not node.routes:
            yield f"{node.name}: a router needs routes"
        for route, count in Counter(node.routes).items():
            if count > 1:
                yield f"{node.name}: route {route} stands there {count} times"
            if route == node.name:
                yield f"{node.name}: a router cannot choose itself"
            elif route not in names:
                yield f"{node.name}: route {_said(route)} is no node{_nearest(route, names)}"
            elif router_of.setdefault(route, node.name) != node.name:
                yield f"{route}: it is a route of both {router_of[route]} and {node.name}; expected one"


def _cycles(graph: Graph) -> Iterator[str]:
    """Yield cycles that share no node; what names itself or nothing has been told already."""
    sources = {
        name: [source for source in graph.upstream[name] if source in graph.nodes and source != name]
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
    return [param.source for param in undo.params if param.source != INPUT]
