"""Binding: the values of a node's parameters, the items of a map, and the result of a run.

Everything here only reads a graph and a state.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from infraweave.core.data.sizes import check_size
from infraweave.core.data.values import Json, resolve_pointer
from infraweave.core.run.address import Address
from infraweave.core.run.entries import KeptValues
from infraweave.core.run.readiness import WhatIf
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import INPUT, ITEM, Map, Node, Param, starts_child
from infraweave.core.workflow.graph import Graph

_NO_ITEM: Any = object()


def bind_params(
    graph: Graph, state: RunState, name: str, params: Iterable[Param], item: Json = _NO_ITEM
) -> dict[str, Json]:
    """Return the values of a node's parameters.

    A parameter without a value, or with a pointer that leads nowhere, is left out: its default applies. If it
    has none, the attempt fails.

    Raises:
        TooLarge: together they exceed the size of an input; each parameter counts as a copy.
    """
    values: dict[str, Json] = {}
    for param in params:
        if param.source == INPUT:
            _point(values, param, state.input)
        elif param.carried:
            loop = graph.carrier(name, param.source)
            if loop is not None and state.repetitions.get(loop) and param.source in state.previous_outputs:
                _point(values, param, state.previous_outputs[param.source])
        elif param.source == ITEM:
            if item is not _NO_ITEM:
                _point(values, param, item)
        elif state.settled.get(param.source) and (
            name not in graph.races or _is_shown(graph, state, name, param.source)
        ):
            _point(values, param, state.outputs[param.source])
    if len(values) > 1:  # a single value is within the limit already
        check_size(values.values())
    return values


def _point(values: dict[str, Json], param: Param, value: Json) -> None:
    """Set a parameter to the value that its pointer leads to, if there is one."""
    if not param.pointer:
        values[param.name] = value
        return
    values.pop(param.name, None)
    with suppress(LookupError):
        values[param.name] = resolve_pointer(value, param.pointer)


def _is_shown(graph: Graph, state: RunState, name: str, source: str) -> bool:
    """Tell whether a race sees an output: not that of a loop that lost before its end.

    Other nodes have waited for the end of the loop.
    """
    condition = graph.gated.get(name, {}).get(source)
    if condition is None or state.settled.get(condition):
        return True
    return WhatIf(graph, state).is_skipped(condition)


def bind_inputs(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return the inputs of an entry."""
    node = graph.nodes[address.node]
    if not node.params:
        return {}
    item = _NO_ITEM if address.index is None else _item(state, node, address.index)
    return bind_params(graph, state, node.name, node.params, item)


def shared_inputs(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return the inputs that all items of a map share."""
    params = graph.nodes[address.node].params
    return bind_params(graph, state, address.node, [param for param in params if param.source != ITEM])


def item_inputs(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return the inputs that depend on the item of a map."""
    node = graph.nodes[address.node]
    params = [param for param in node.params if param.source == ITEM]
    return bind_params(graph, state, node.name, params, _item(state, node, address.index))


def bind_compensation(
    graph: Graph, state: RunState, address: Address, params: Iterable[Param]
) -> dict[str, Json]:
    """Return the values of a compensation's parameters: the output and the inputs of its node."""
    node = graph.nodes[address.node]
    kept = state.kept.get(address.forward)
    values = bind_params(graph, state, address.node, params, _item(state, node, address.index, kept))
    if kept is None:
        return values
    # The values of that iteration or item; the state has changed since.
    inputs = {} if starts_child(node) else kept.input
    sources = (
        {} if starts_child(node) else {param.source: param.name for param in node.params if not param.pointer}
    )
    for param in params:
        if param.source == address.node:
            _point(values, param, kept.output)
        elif param.source in sources:
            values.pop(param.name, None)
            if sources[param.source] in inputs:
                _point(values, param, inputs[sources[param.source]])
        elif param.source in graph.loop_of:
            values.pop(param.name, None)
            # The output of the loop's node in that iteration.
            source = state.kept.get(Address(param.source, kept.iterations.get(param.source, 1)))
            if source is not None:
                _point(values, param, source.output)
    check_size(values.values())
    return values


def _item(state: RunState, node: Node, index: int | None, kept: KeptValues | None = None) -> Json:
    if not isinstance(node, Map) or index is None:
        return _NO_ITEM
    then = None if kept is None else state.kept.get(Address(node.over, kept.iterations.get(node.over, 1)))
    items = items_of(state, node) if then is None else _list(node, then.output)
    return items[index] if isinstance(items, list) and index < len(items) else _NO_ITEM


def items_of(state: RunState, node: Map) -> Json:
    """Return the list that a map maps over, or the invalid value in its place."""
    return _list(node, state.input if node.over == INPUT else state.outputs.get(node.over))


def _list(node: Map, value: Json) -> Json:
    if not node.pointer:
        return value
    with suppress(LookupError):
        return resolve_pointer(value, node.pointer)
    return None


def run_result(graph: Graph, state: RunState) -> Json:
    """Return the result of a run: the named output, that of the single sink, or a dict of the sinks that ran.

    Raises:
        TooLarge: it exceeds the size of a result.
    """
    named = graph.document.output
    if named is None and len(graph.sinks) == 1:
        named = graph.sinks[0]
    if named is not None:
        return state.outputs.get(named)
    result = {name: state.outputs[name] for name in graph.sinks if state.settled.get(name)}
    check_size(result.values())
    return result
