"""Checks the types along each edge: what a node returns against what the next parameter accepts.

Both ends become schemas: the return annotation, the schema of an answer or the workflow's input, and the
annotation of the parameter. An end without an annotation or a schema fits everything. After a router,
a node may accept only one member of a union, because the router may have excluded the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infraweave.authoring.signatures import Code, CodeParam
from infraweave.core.data.schema_compatibility import alternatives, find_mismatch, items, part
from infraweave.core.data.type_schema import schema_of
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import (
    INPUT,
    ITEM,
    Document,
    Map,
    Node,
    Param,
    Subworkflow,
    Timer,
    Wait,
    route_targets,
    starts_child,
)
from infraweave.errors import Fault


def edge_faults(document: Document, codes: Mapping[str, Code]) -> Iterator[Fault]:
    """Yield a fault for each parameter that does not accept every value of its source."""
    given = {INPUT: document.input_schema, **{node.name: _output(node, codes) for node in document.nodes}}
    routed = _routed(document)
    for place, node in enumerate(document.nodes):
        code, path, narrowed = (
            codes.get(getattr(node, "code", None) or ""),
            f"/nodes/{place}",
            node.name in routed,
        )
        if code is not None:
            sources = {**given, ITEM: _item(node, given)} if isinstance(node, Map) else given
            for fault in _faults(node.params, code, sources, narrowed=narrowed):
                yield fault.within(path, f"{node.name}: ")
        undo = getattr(node, "compensate", None)
        if undo is not None and undo.code in codes and not isinstance(node, Map):
            for fault in _faults(undo.params, codes[undo.code], given, narrowed=narrowed):
                yield fault.within(f"{path}/compensate", f"{node.name}.compensate: ")


def _routed(document: Document) -> set[str]:
    """Return the targets of routers and all nodes downstream of them."""
    below: dict[str, set[str]] = {}
    for node in document.nodes:
        for source in (*(param.source for param in node.params), *node.after):
            below.setdefault(source, set()).add(node.name)
    found: set[str] = set()
    waiting = [route for node in document.nodes for route in route_targets(node)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += below.get(name, ())
    return found


def _faults(
    params: Sequence[Param], code: Code, given: Mapping[str, Json], *, narrowed: bool
) -> Iterator[Fault]:
    taken = {param.name: param for param in code.params}
    for place, param in enumerate(params):
        wanted, source = _taken(taken.get(param.name)), given.get(param.source, {})
        fault = find_mismatch(source, wanted) if wanted else None
        if narrowed and any(find_mismatch(option, wanted) is None for option in alternatives(source)):
            continue
        if fault is not None:
            wanted = f"{fault.wanted} at {fault.path}" if fault.path else fault.wanted
            source = "the item" if param.source == ITEM else param.source
            message = f"parameter {param.name} takes {wanted}, and {source} gives {fault.given}"
            yield Fault(f"/params/{place}", "type", message)


def _taken(param: CodeParam | None) -> Json:
    return {} if param is None else _schema(param.annotation)


def _output(node: Node, codes: Mapping[str, Code]) -> Json:
    """Return the schema of a node's output, or ``{}`` if it is unknown."""
    if isinstance(node, Wait):
        return node.schema
    code = codes.get(getattr(node, "code", None) or "")
    if isinstance(node, Map | Subworkflow) and starts_child(node):
        one = node.schema or {}
    else:
        one = {} if code is None or isinstance(node, Timer) else _schema(code.returns)
    if not isinstance(node, Map):
        return one
    return _list_of({"anyOf": [one, {"type": "null"}]} if node.max_failures and one else one, one)


def _list_of(item: Json, one: Json) -> Json:
    definitions = {"$defs": one["$defs"]} if "$defs" in one else {}
    return {"type": "array", "items": item, **definitions}


def _item(node: Map, given: Mapping[str, Json]) -> Json:
    return items(part(given.get(node.over, {}), node.pointer.split("/")[1:]))


def _schema(annotation: Any) -> Json:
    try:
        return {} if annotation is Any else schema_of(annotation)
    except TypeError:
        return {}
