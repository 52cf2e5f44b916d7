"""What the code of an entry is given: the values of its parameters, a map's items, and the run's result.

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
    """Return the values of a node's parameters; without a value one is left out: its default applies.

    One whose pointer leads nowhere is left out too; where it is required, the attempt then fails.

    Raises:
        TooLarge: together they are larger than a node may be given; each parameter is a copy in the end.
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
        elif state.settled.get(param.source) and _is_shown(graph, state, name, param.source):
            _point(values, param, state.outputs[param.source])
    if len(values) > 1:  # one alone is no larger than what it is
        check_size(values.values())
    return values


def _point(values: dict[str, Json], param: Param, value: Json) -> None:
    """Set a parameter to what its pointer leads to, if there is such a thing."""
    if not param.pointer:  # as nearly all are
        values[param.name] = value
        return
    values.pop(param.name, None)
    with suppress(LookupError):
        values[param.name] = resolve_pointer(value, param.pointer)


def _is_shown(graph: Graph, state: RunState, name: str, source: str) -> bool:
    """Tell whether a node is shown what another gave: a race is not, of a loop that lost before its end."""
    if name not in graph.races:
        return True  # it has waited for the loop's end
    condition = graph.gated.get(name, {}).get(source)
    if condition is None or state.settled.get(condition):
        return True
    return WhatIf(graph, state).is_skipped(condition)


def bind_inputs(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return what the code of an entry is given."""
    node = graph.nodes[address.node]
    return bind_params(graph, state, node.name, node.params, _item(state, node, address.index))


def shared_inputs(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return what the code of a map is given whatever the item."""
    params = graph.nodes[address.node].params
    return bind_params(graph, state, address.node, [param for param in params if param.source != ITEM])


def item_inputs(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return what the code of a map is given for the sake of one item."""
    node = graph.nodes[address.node]
    params = [param for param in node.params if param.source == ITEM]
    return bind_params(graph, state, node.name, params, _item(state, node, address.index))


def bind_compensation(
    graph: Graph, state: RunState, address: Address, params: Iterable[Param]
) -> dict[str, Json]:
    """Return the values of a compensation's parameters: the node's output, and what the node was given."""
    node = graph.nodes[address.node]
    kept = state.kept.get(address.forward)
    values = bind_params(graph, state, address.node, params, _item(state, node, address.index, kept))
    if kept is None:
        return values
    # An iteration's and an item's own values; the state has moved on since.
    given = {} if starts_child(node) else kept.input
    sources = (
        {} if starts_child(node) else {param.source: param.name for param in node.params if not param.pointer}
    )
    for param in params:
        if param.source == address.node:
            _point(values, param, kept.output)
        elif param.source in sources:
            values.pop(param.name, None)
            if sources[param.source] in given:
                _point(values, param, given[sources[param.source]])
        elif param.source in graph.loop_of:
            values.pop(param.name, None)
            # What a node of a loop had given when what is undone was done.
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
    """Return the list that a map goes over, or whatever stands in its place."""
    return _list(node, state.input if node.over == INPUT else state.outputs.get(node.over))


def _list(node: Map, value: Json) -> Json:
    with suppress(LookupError):
        return resolve_pointer(value, node.pointer)
    return None


def result(graph: Graph, state: RunState) -> Json:
    """Return the run's result: the named output, the single sink's, or a dict of the sinks that ran.

    Raises:
        TooLarge: it would be larger than a run may yield.
    """
    named = graph.document.output
    if named is None and len(graph.sinks) == 1:
        named = graph.sinks[0]
    if named is not None:
        return state.outputs.get(named)
    result = {name: state.outputs[name] for name in graph.sinks if state.settled.get(name)}
    check_size(result.values())
    return result
