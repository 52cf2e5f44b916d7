"""Readiness: which nodes are skipped and which can open, given the nodes that are settled.

A node is skipped when its router did not choose it, when data that it requires was skipped, or when all its
upstreams were skipped. It is ready when everything that it waits for is settled and it is not skipped. Nodes
outside a loop see the nodes inside it once the loop has ended. A race (``join="any"``) is ready when one of
its upstreams ran; the nodes that led only to it have then lost.

Everything here only reads a graph and a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from infraweave.core.run.address import Address, made
from infraweave.core.run.state import RunState
from infraweave.core.workflow.graph import Graph


class WhatIf:
    """The settled nodes as they would be if some more nodes were settled."""

    def __init__(self, graph: Graph, state: RunState, reset: Iterable[str] = ()) -> None:
        self._graph, self._state = graph, state
        #: The nodes that a repeating loop resets: their present state does not count.
        self._reset = frozenset(reset)
        self.settled: dict[str, bool] = {}
        self.chosen: dict[str, tuple[str, ...]] = {}

    def ran(self, source: str) -> bool | None:
        """Tell whether a node ran or was skipped; None while it is open."""
        if source in self.settled:
            return self.settled[source]
        return None if source in self._reset else self._state.settled.get(source)

    def seen(self, source: str, name: str) -> bool | None:
        """Return ``ran`` as ``name`` sees it: from outside, the nodes of a loop are open until it ends."""
        gates = self._graph.gated.get(name)
        if gates is not None and source in gates and self.ran(gates[source]) is None:
            return None
        return self.ran(source)

    def is_open(self, name: str) -> bool:
        """Tell whether a node is neither settled nor opened."""
        if self.ran(name) is not None:
            return False
        return name in self._reset or not _has_opened(self._state, name)

    def chose(self, router: str, name: str) -> bool | None:
        """Tell whether a router, or a wait that timed out, chose a node; None while it is open."""
        if self.seen(router, name) is None:
            return None
        chosen = self.chosen.get(router)
        return name in (self._state.routes.get(router, ()) if chosen is None else chosen)

    def is_skipped(self, name: str) -> bool:
        """Tell whether a node is to be skipped."""
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
    """Return the nodes that are skipped once ``closing`` has settled and chosen ``routes``.

    Only routers, ends and repetitions of loops, and races skip nodes.
    """
    if routes is None and closing not in graph.regions and not graph.races:
        return ()
    what_if = WhatIf(graph, state, repeats)
    work = list(repeats)
    if not repeats:
        what_if.settled[closing] = ran
        if routes is not None:
            what_if.chosen[closing] = routes
        work = _next(graph, closing)
    _spread(graph, what_if, work)
    return tuple(graph.in_order({n for n, done in what_if.settled.items() if not done and n != closing}))


def skipped_at_first(
    graph: Graph, settled: Mapping[str, bool], routes: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the nodes that are skipped in a run that begins with ``settled`` nodes."""
    what_if = WhatIf(graph, RunState(""))
    what_if.settled |= settled
    what_if.chosen |= {name: tuple(chosen) for name, chosen in routes.items()}
    _spread(graph, what_if, list(graph.nodes))
    return graph.in_order({name for name, ran in what_if.settled.items() if not ran})


def _spread(graph: Graph, what_if: WhatIf, work: list[str]) -> None:
    """Skip the nodes in ``work`` that are to be skipped, and then the nodes that this skips."""
    while work:
        name = work.pop()
        losers = graph.races.get(name, ())
        if losers and what_if.ran(name) is not False and what_if.is_decided(name):
            skipped = [loser for loser in losers if what_if.is_open(loser)]
        elif what_if.is_open(name) and what_if.is_skipped(name):
            skipped = [name]
        else:
            continue
        for other in skipped:
            what_if.settled[other] = False
            work += _next(graph, other)


def _next(graph: Graph, name: str) -> list[str]:
    """Return the nodes that depend on a node. A loop's condition also shows the nodes of the loop."""
    region = graph.regions.get(name)
    below = list(graph.downstream[name])
    return below if region is None else below + [n for s in region.nodes for n in graph.downstream[s]]


def _has_opened(state: RunState, name: str) -> bool:
    """Tell whether a node has opened: then it is not skipped any more."""
    node = state.nodes.get(name)
    return node is not None and node.state != "pending"


def ready(
    graph: Graph, state: RunState, newly_settled: Sequence[str], reset: Sequence[str] = ()
) -> list[str]:
    """Return the nodes that can open now, in the definition's order.

    Considers the nodes below ``newly_settled`` and the nodes that a repeating loop has ``reset``.
    """
    if len(newly_settled) == 1 and not reset:  # nearly always; ``downstream`` is in order already
        return [name for name in graph.downstream[newly_settled[0]] if is_ready(graph, state, name)]
    below = {name for source in newly_settled for name in graph.downstream[source]}
    below.update(reset)
    return graph.in_order({name for name in below if is_ready(graph, state, name)})


def all_ready(graph: Graph, state: RunState) -> list[str]:
    """Return every node that can open now."""
    return [name for name in graph.nodes if is_ready(graph, state, name)]


def is_ready(graph: Graph, state: RunState, name: str) -> bool:
    """Tell whether a node can open now."""
    settled, node = state.settled, state.nodes.get(name)
    if name in settled or (node is not None and node.state != "pending"):
        return False
    if name in graph.races:
        return WhatIf(graph, state).is_decided(name)
    waits = graph.waits[name]
    return len(settled) >= len(waits) and settled.keys() >= waits


def has_lost(graph: Graph, state: RunState, name: str) -> bool:
    """Tell whether a node leads only to a race that has its winner."""
    races = graph.races_of.get(name, ())
    return any(state.settled.get(race) is not False and _is_decided(graph, state, race) for race in races)


def _is_decided(graph: Graph, state: RunState, race: str) -> bool:
    return _has_opened(state, race) or WhatIf(graph, state).is_decided(race)


def is_abandoned(graph: Graph, state: RunState, address: Address) -> bool:
    """Tell whether an entry is being stopped, with its run or as the loser of a race."""
    if state.stopping is not None:
        return address.phase == "forward"
    return bool(graph.races) and has_lost(graph, state, address.node)


def entry_of(graph: Graph, state: RunState, name: str) -> Address:
    """Return the address of a node's entry in its present iteration."""
    iteration = state.iterations.get(name, 1) if name in graph.loop_of else None
    return made(Address, (name, iteration, None, "forward"))


def entries_of(graph: Graph, state: RunState, names: Iterable[str]) -> list[Address]:
    """Return the addresses of the entries of nodes in their present iteration."""
    if graph.loop_of:
        return [entry_of(graph, state, name) for name in names]
    return [made(Address, (name, None, None, "forward")) for name in names]


def may_open(graph: Graph, state: RunState, address: Address) -> bool:
    """Tell whether an entry may open, or be retried, after its preflight."""
    if state.stopping is not None or has_lost(graph, state, address.node):
        return False
    entry = state.entries.get(address)
    if entry is not None:
        return entry.status == "backoff"
    if address.index is None:
        return is_ready(graph, state, address.node) and entry_of(graph, state, address.node) == address
    items = state.maps.get(address.map_entry)
    return items is not None and address.index >= items.low and address.index not in items.above
