"""What makes a definition document valid. Pure; finds every fault at once, each with the names involved.

Also tells how two documents differ, for whoever tries to change a version that runs have used.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, assert_never

from infraweave.core.codec import document_to_json
from infraweave.core.document import (
    INPUT,
    Activity,
    Document,
    HumanInput,
    Node,
    Param,
    Retry,
    Router,
    Timer,
)
from infraweave.core.graph import Graph
from infraweave.core.schema import schema_faults
from infraweave.core.values import JsonObject

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
#: A graph beyond this is no longer a picture that anyone reads; a map does many of one thing.
MAX_NODES = 2_000


def faults(document: Document) -> list[str]:
    """Return what is wrong with a document; empty where it can be published."""
    found = [*_identity(document), *_nodes(document)]
    edges = [*_edges(document), *_routes(document)]
    found += edges
    if not edges and not _repeated(document):
        graph = Graph(document)
        cycles = list(_cycles(graph))
        found += cycles or _never_together(graph)
    return found


def _identity(document: Document) -> Iterator[str]:
    if not _ID.fullmatch(document.workflow_id):
        yield f"workflow_id {document.workflow_id!r} must be 1 to 128 letters, digits, . _ or -"
    if not _ID.fullmatch(document.version):
        yield f"version {document.version!r} must be 1 to 128 letters, digits, . _ or -"
    yield from (f"input: {fault}" for fault in schema_faults(document.input_schema))
    names = {node.name for node in document.nodes}
    if not names:
        yield "there are no nodes"
    if len(names) > MAX_NODES:
        yield f"there are {len(names):,} nodes, more than {MAX_NODES:,}"
    if document.output is not None and document.output not in names:
        yield f"output {document.output!r} is no node{_nearest(document.output, names)}"


def _repeated(document: Document) -> list[str]:
    counts = Counter(node.name for node in document.nodes)
    return [name for name, count in counts.items() if count > 1]


def _nodes(document: Document) -> Iterator[str]:
    for name in _repeated(document):
        yield f"{name}: there are several nodes of this name"
    for node in document.nodes:
        if node.name == INPUT:
            yield f"{INPUT}: no node may have this name; it stands for the run's input"
        elif not _NAME.fullmatch(node.name):
            yield f"{node.name!r} is no name for a node; expected a letter or _, then letters, digits, _ or -"
        yield from (f"{node.name}: {fault}" for fault in _own_faults(node))


def _own_faults(node: Node) -> Iterator[str]:
    match node:
        case Activity():
            yield from _running(node.retry, node.timeout)
            if node.compensate is not None:
                undo = node.compensate
                yield from (f"compensate: {fault}" for fault in _running(undo.retry, undo.timeout))
        case Router():
            yield from _running(node.retry, node.timeout)
        case HumanInput():
            yield from schema_faults(node.schema)
            yield from _positive("timeout", node.timeout)
            if (node.prompt is None) == (node.code is None):
                yield "a human input needs a prompt or a function that returns one, not both"
        case Timer():
            if (node.delay is None) == (node.code is None):
                yield "a timer needs a delay or a function that returns one, not both"
        case _:
            assert_never(node)


def _running(retry: Retry, timeout: float | None) -> Iterator[str]:
    yield from _positive("timeout", timeout)
    if retry.max_attempts < 1:
        yield f"retry.max_attempts is {retry.max_attempts}; expected 1 or more"
    for name, number, least in (
        ("initial", retry.initial, 0),
        ("factor", retry.factor, 1),
        ("maximum", retry.maximum, 0),
    ):
        if not (math.isfinite(number) and number >= least):
            yield f"retry.{name} is {number}; expected {least} or more"


def _positive(name: str, duration: float | None) -> Iterator[str]:
    if duration is not None and not duration > 0:
        yield f"{name} is {duration}; expected more than 0 seconds"


# --- edges -------------------------------------------------------------------------------------------------


def _edges(document: Document) -> Iterator[str]:
    names = {node.name for node in document.nodes}
    for node in document.nodes:
        yield from _unbound(node.name, node.params, names, itself=False)
        if isinstance(node, Activity) and node.compensate is not None:
            yield from _unbound(f"{node.name}.compensate", node.compensate.params, names, itself=True)
        for other in node.after:
            if other == node.name:
                yield f"{node.name}: it cannot run after itself"
            elif other not in names:
                yield f"{node.name}: after names {other!r}, which is no node{_nearest(other, names)}"


def _unbound(where: str, params: Iterable[Param], names: set[str], *, itself: bool) -> Iterator[str]:
    for param in params:
        if param.source == INPUT:
            continue
        if not itself and param.source == where:
            yield f"{where}: parameter {param.name} names the node itself"
        elif param.source not in names:
            known = ", ".join([INPUT, *sorted(names - {where})][:20])
            hint = _nearest(param.source, {INPUT, *names})
            yield f"{where}: parameter {param.name} names no node; there are {known}{hint}"


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


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
            if route not in names:
                yield f"{node.name}: route {route!r} is no node{_nearest(route, names)}"
            elif router_of.setdefault(route, node.name) != node.name:
                yield f"{route}: it is a route of both {router_of[route]} and {node.name}; expected one"


def _cycles(graph: Graph) -> Iterator[str]:
    """Yield the cycles that are left once every node outside them has been taken away."""
    waiting = {name: set(sources) for name, sources in graph.upstream.items()}
    free = [name for name, sources in waiting.items() if not sources]
    while free:
        done = free.pop()
        del waiting[done]
        for name in graph.downstream[done]:
            waiting[name].discard(done)
            if not waiting[name]:
                free.append(name)
    if waiting:
        path, name = [], next(iter(waiting))
        while name not in path:
            path.append(name)
            name = min(waiting[name], key=graph.order.__getitem__)
        cycle = [*path[path.index(name) :], name]
        yield f"{' → '.join(reversed(cycle))} is a cycle; a node cannot wait for itself"


# --- data that can only ever be skipped --------------------------------------------------------------------


def _never_together(graph: Graph) -> list[str]:
    """Find nodes that need two routes of a router that chooses one."""
    found: list[str] = []
    needs: dict[str, dict[str, str]] = {}
    for name in _in_flow(graph):
        needs[name] = _needed(graph, name, needs, found)
    return found


def _in_flow(graph: Graph) -> list[str]:
    done: dict[str, None] = {}
    stack = list(reversed(graph.nodes))
    while stack:
        name = stack[-1]
        missing = [source for source in graph.upstream[name] if source not in done]
        if missing:
            stack += missing
        else:
            done[stack.pop()] = None
    return list(done)


def _needed(graph: Graph, name: str, needs: dict[str, dict[str, str]], found: list[str]) -> dict[str, str]:
    """Return which route of which router must be chosen for ``name`` to run, by router."""
    needed: dict[str, str] = {}
    router = graph.router_of.get(name)
    sources = [*graph.required[name], *([router] if router else [])]
    wanted = [needs[source] for source in sources]
    if router is not None and not _chooses_many(graph, router):
        wanted.append({router: name})
    if not sources and graph.upstream[name]:
        wanted.append(_common([needs[source] for source in graph.upstream[name]]))
    for chooser, route in (pair for choice in wanted for pair in choice.items()):
        other = needed.setdefault(chooser, route)
        if other != route:
            found.append(
                f"{name}: it needs both {other} and {route}, but router {chooser} chooses one of them, so it"
                " would always be skipped; give the parameters defaults"
            )
            return needed
    return needed


def _chooses_many(graph: Graph, router: str) -> bool:
    node = graph.nodes[router]
    return isinstance(node, Router) and node.many


def _common(choices: list[dict[str, str]]) -> dict[str, str]:
    first, *others = choices
    return {key: route for key, route in first.items() if all(other.get(key) == route for other in others)}


# --- differences -------------------------------------------------------------------------------------------


def first_difference(old: Document, new: Document) -> str | None:
    """Return one sentence that names the first difference of two contents; None where they are the same.

    Versions and the order of nodes do not count.
    """
    return next(_differences("", _content(old), _content(new)), None)


def _content(document: Document) -> JsonObject:
    value = document_to_json(document)
    del value["version"]
    nodes = {f"node {node['name']}": node for node in value.pop("nodes")}
    return {**value, **nodes}


def _differences(where: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            place = _place(where, key)
            if key not in new:
                yield f"{place} is gone"
            elif key not in old:
                yield f"{place} is new"
            else:
                yield from _differences(place, old[key], new[key])
    elif old != new:
        yield f"{where} is {new!r:.100}, was {old!r:.100}"


def _place(where: str, key: str) -> str:
    if not where:
        return key
    is_node = where.startswith("node ") and ":" not in where
    return f"{where}: {key}" if is_node else f"{where}.{key}"
