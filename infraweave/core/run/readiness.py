"""What follows from a node's settling: which nodes are skipped, which are ready, what their code is given.

One rule for skipping: a node is skipped when its router did not choose it, when data that it requires was
skipped, or when all its upstreams were. It is ready when all that it waits for is settled and it is not
skipped. What happens inside a loop is seen outside once the loop has ended. In a race (``join="any"``) one
upstream that ran is enough: then the node is ready, and what only led to it has lost.

Pure questions about a graph and a state; nothing here changes either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from infraweave.core.data.sizes import check_size
from infraweave.core.data.values import Json, resolve_pointer
from infraweave.core.run.address import Address
from infraweave.core.run.entries import Kept
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import INPUT, ITEM, Map, Node, Param, starts_child
from infraweave.core.workflow.graph import Graph


class Outlook:
    """The nodes' fates as they will be once ``closing`` has settled; they grow by ``skip``."""

    def __init__(self, graph: Graph, state: RunState, fresh: Iterable[str] = ()) -> None:
        self._graph, self._state = graph, state
        #: Nodes that begin anew: nothing is known of them.
        self._fresh = frozenset(fresh)
        self.settled: dict[str, bool] = {}
        self.chosen: dict[str, tuple[str, ...]] = {}

    def ran(self, source: str) -> bool | None:
        """Tell whether a node ran or was skipped; None while it is open."""
        if source in self.settled:
            return self.settled[source]
        return None if source in self._fresh else self._state.settled.get(source)

    def seen(self, source: str, name: str) -> bool | None:
        """Tell the same, as ``name`` sees it: a loop's nodes are seen from outside after its end."""
        gates = self._graph.gated.get(name)
        if gates is not None and source in gates and self.ran(gates[source]) is None:
            return None
        return self.ran(source)

    def is_open(self, name: str) -> bool:
        """Tell whether a node was neither settled nor opened."""
        if self.ran(name) is not None:
            return False
        return name in self._fresh or not _known(self._state, name)

    def chose(self, router: str, name: str) -> bool | None:
        """Tell whether a router, or a wait whose time ran out, chose a node; None while it is open."""
        if self.seen(router, name) is None:
            return None
        chosen = self.chosen.get(router)
        return name in (self._state.routes.get(router, ()) if chosen is None else chosen)

    def is_skipped(self, name: str) -> bool:
        """Tell whether the rule for skipping holds for a node."""
        graph = self._graph
        router = graph.router_of.get(name)
        chosen = None if router is None else self.chose(router, name)
        if chosen is False:
            return True
        if any(self.seen(source, name) is False for source in graph.required[name]):
            return True
        if chosen and name not in graph.races:
            return False
        ways = self._ways(name, router)
        return bool(ways) and all(self.seen(source, name) is False for source in ways)

    def _ways(self, name: str, router: str | None) -> Sequence[str]:
        sources = self._graph.upstream[name]
        if name in self._graph.races and len(sources) > 1:
            return [source for source in sources if source != router]
        return sources

    def is_decided(self, race: str) -> bool:
        """Tell whether a race has its winner."""
        router = self._graph.router_of.get(race)
        if router is not None and not self.chose(router, race):
            return False
        ways = [source for source in self._graph.upstream[race] if source != router]
        return not ways or any(self.seen(source, race) for source in ways)


def skipped_by(
    graph: Graph,
    state: RunState,
    closing: str,
    *,
    ran: bool = True,
    routes: tuple[str, ...] | None = None,
    repeats: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Return the nodes that are skipped once ``closing`` has settled (and chosen ``routes``).

    Only a choice skips: a router's, the end or the repetition of a loop, a race. A node that ran gives data.
    """
    if routes is None and closing not in graph.regions and not graph.races:
        return ()
    outlook = Outlook(graph, state, repeats)
    work = list(repeats)
    if not repeats:
        outlook.settled[closing] = ran
        if routes is not None:
            outlook.chosen[closing] = routes
        work = _next(graph, closing)
    _spread(graph, outlook, work)
    return tuple(graph.in_order({n for n, done in outlook.settled.items() if not done and n != closing}))


def skipped_at_first(
    graph: Graph, settled: Mapping[str, bool], routes: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the nodes that are skipped where a run begins with nodes that are ``settled`` already."""
    outlook = Outlook(graph, RunState(""))
    outlook.settled |= settled
    outlook.chosen |= {name: tuple(chosen) for name, chosen in routes.items()}
    _spread(graph, outlook, list(graph.nodes))
    return graph.in_order({name for name, ran in outlook.settled.items() if not ran})


def _spread(graph: Graph, outlook: Outlook, work: list[str]) -> None:
    """Settle what is skipped, and then what that skips, beginning with the nodes in ``work``."""
    while work:
        name = work.pop()
        losers = graph.races.get(name, ())
        if losers and outlook.ran(name) is not False and outlook.is_decided(name):
            skipped = [loser for loser in losers if outlook.is_open(loser)]
        elif outlook.is_open(name) and outlook.is_skipped(name):
            skipped = [name]
        else:
            continue
        for other in skipped:
            outlook.settled[other] = False
            work += _next(graph, other)


def _next(graph: Graph, name: str) -> list[str]:
    """Return the nodes whose fate may depend on a node; the end of a loop shows all that is in it."""
    region = graph.regions.get(name)
    below = list(graph.downstream[name])
    return below if region is None else below + [n for s in region.nodes for n in graph.downstream[s]]


def _known(state: RunState, name: str) -> bool:
    """Tell whether the node has been opened: then it is not skipped any more."""
    node = state.nodes.get(name)
    return node is not None and node.state != "pending"


def ready(graph: Graph, state: RunState, touched: Iterable[str], fresh: Iterable[str] = ()) -> list[str]:
    """Return the nodes that can open now, in the definition's order.

    Looked at are the nodes below ``touched`` (settled nodes), and the ``fresh`` ones of a loop that repeats.
    """
    below = {name for source in touched for name in graph.downstream[source]}
    below.update(fresh)
    return graph.in_order({name for name in below if is_ready(graph, state, name)})


def all_ready(graph: Graph, state: RunState) -> list[str]:
    """Return every node that can open now."""
    return [name for name in graph.nodes if is_ready(graph, state, name)]


def is_ready(graph: Graph, state: RunState, name: str) -> bool:
    """Tell whether a node can open now."""
    settled = state.settled
    if name in settled or _known(state, name):
        return False
    if name in graph.races:
        return Outlook(graph, state).is_decided(name)
    return settled.keys() >= graph.waits[name]


def has_lost(graph: Graph, state: RunState, name: str) -> bool:
    """Tell whether a node only leads to a race that has its winner."""
    races = graph.races_of.get(name, ())
    return any(state.settled.get(race) is not False and _is_decided(graph, state, race) for race in races)


def _is_decided(graph: Graph, state: RunState, race: str) -> bool:
    return _known(state, race) or Outlook(graph, state).is_decided(race)


def is_given_up(graph: Graph, state: RunState, address: Address) -> bool:
    """Tell whether an entry belongs to what is being stopped: the run, or the losers of a race."""
    if state.stopping is not None:
        return address.phase == "forward"
    return bool(graph.races) and has_lost(graph, state, address.node)


def iteration(graph: Graph, state: RunState, name: str) -> int | None:
    """Return the iteration that a node is in; None outside of loops."""
    return state.iterations.get(name, 1) if name in graph.loop_of else None


def entry_of(graph: Graph, state: RunState, name: str) -> Address:
    """Return the address under which a node opens now."""
    return Address(name, iteration(graph, state, name)) if graph.loop_of else Address(name)


_NO_ITEM: Any = object()


def bind(
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
            if loop is not None and state.repeated.get(loop) and param.source in state.previous:
                _point(values, param, state.previous[param.source])
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
    return Outlook(graph, state).is_skipped(condition)


def given(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return what the code of an entry is given."""
    node = graph.nodes[address.node]
    return bind(graph, state, node.name, node.params, _item(state, node, address.index))


def given_to_all(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return what the code of a map is given whatever the item."""
    params = graph.nodes[address.node].params
    return bind(graph, state, address.node, [param for param in params if param.source != ITEM])


def given_to_one(graph: Graph, state: RunState, address: Address) -> dict[str, Json]:
    """Return what the code of a map is given for the sake of one item."""
    node = graph.nodes[address.node]
    params = [param for param in node.params if param.source == ITEM]
    return bind(graph, state, node.name, params, _item(state, node, address.index))


def bind_undo(graph: Graph, state: RunState, address: Address, params: Iterable[Param]) -> dict[str, Json]:
    """Return the values of a compensation's parameters: the node's output, and what the node was given."""
    node = graph.nodes[address.node]
    kept = state.kept.get(address._replace(phase="forward"))
    values = bind(graph, state, address.node, params, _item(state, node, address.index, kept))
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


def _item(state: RunState, node: Node, index: int | None, kept: Kept | None = None) -> Json:
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


def may_open(graph: Graph, state: RunState, address: Address) -> bool:
    """Tell whether an entry may open, or be tried again, now: asked once it has been prepared."""
    if state.stopping is not None or has_lost(graph, state, address.node):
        return False
    entry = state.entries.get(address)
    if entry is not None:
        return entry.status == "backoff"
    if address.index is None:
        return is_ready(graph, state, address.node) and entry_of(graph, state, address.node) == address
    items = state.maps.get(address._replace(index=None))
    return items is not None and address.index >= items.low and address.index not in items.above


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
