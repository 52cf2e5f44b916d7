"""A document with indexes of its edges. Built once per document; has no state.

``upstream`` decides whether a node is skipped: its data sources in the same iteration, ``after``, and the
router that chooses it. ``waits`` must be settled before the node opens: ``upstream`` and the ends of loops.
A node outside a loop with a source inside waits for the end of the loop; a condition waits for its region.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from infraweave.core.data.json_schema import Validator
from infraweave.core.data.model_libraries import faults_of
from infraweave.core.data.schema_defaults import Defaults, defaults_of
from infraweave.core.data.values import Json
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
    Router,
    Subworkflow,
    route_targets,
    starts_child,
)
from infraweave.core.workflow.regions import Region, data_sources, regions
from infraweave.errors import Fault


class Graph:
    """The edges of a document, both ways, in the order of its nodes."""

    def __init__(self, document: Document, models: Mapping[str, Any] | None = None) -> None:
        self.document = document
        #: Models of a library that the author declared, by ``input`` and by the name of a signal node.
        self._models = models or {}
        self.nodes: dict[str, Node] = {node.name: node for node in document.nodes}
        self.order: dict[str, int] = {name: place for place, name in enumerate(self.nodes)}
        #: target → the router, or the wait, that chooses it
        self.router_of: dict[str, str] = {
            route: node.name for node in document.nodes for route in route_targets(node)
        }
        self.upstream: dict[str, tuple[str, ...]] = {name: self._upstream(name) for name in self.nodes}
        self.required: dict[str, tuple[str, ...]] = {
            name: _required(node) for name, node in self.nodes.items()
        }
        #: Nodes that may skip others when they end, apart from the sources of races.
        self.choosers: frozenset[str] = frozenset(
            node.name for node in document.nodes if route_targets(node) or isinstance(node, Loop | Router)
        )
        #: The loops' regions by condition, the smallest first.
        self.regions: dict[str, Region] = {r.condition: r for r in regions(document, self.upstream)}
        #: node → the condition of the smallest loop around it
        self.loop_of: dict[str, str] = {}
        for region in self.regions.values():
            for name in region.nodes:
                self.loop_of.setdefault(name, region.condition)
        #: node → source → the condition after which the source can be seen
        self.gated: dict[str, dict[str, str]] = self._gated() if self.regions else {}
        self.waits: dict[str, frozenset[str]] = {name: self._waits(name) for name in self.nodes}
        below: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name in self.nodes:
            for source in self.waits[name]:
                below.setdefault(source, []).append(name)
        self.downstream: dict[str, tuple[str, ...]] = {name: tuple(names) for name, names in below.items()}
        #: node with ``join="any"`` → the nodes that lead only to it and are stopped once it opens
        self.races: dict[str, frozenset[str]] = self._races()
        #: node → the races that it can lose
        self.races_of: dict[str, tuple[str, ...]] = {
            name: tuple(race for race, feeders in self.races.items() if name in feeders)
            for name in {name for feeders in self.races.values() for name in feeders}
        }

    def model_faults(self, name: str, value: Json) -> list[Fault]:
        """Return what the model of the input or of a signal rejects; nothing without a model."""
        return faults_of(value, self._models[name]) if name in self._models else []

    def _upstream(self, name: str) -> tuple[str, ...]:
        """Return all that must settle before ``name``: data, ``after``, and the router that chooses it."""
        node = self.nodes[name]
        router = [self.router_of[name]] if name in self.router_of else []
        return tuple(dict.fromkeys((*data_sources(node), *node.after, *router)))

    def _gated(self) -> dict[str, dict[str, str]]:
        gated: dict[str, dict[str, str]] = {}
        for name, sources in self.upstream.items():
            for source in sources:
                # The largest region that holds the source and not the node comes last.
                for condition, region in self.regions.items():
                    if source in region.nodes and name not in region.nodes:
                        gated.setdefault(name, {})[source] = condition
        return gated

    def _waits(self, name: str) -> frozenset[str]:
        waits = {*self.upstream[name], *self.gated.get(name, {}).values()}
        if name in self.regions:
            waits |= self.regions[name].nodes
        return frozenset(waits - {name})

    def _races(self) -> dict[str, frozenset[str]]:
        races = [node.name for node in self.document.nodes if node.join == "any"]
        below: dict[str, set[str]] = {name: set() for name in self.nodes}
        for name in self.nodes if races else ():
            for source in (*self.upstream[name], *self.gated.get(name, {}).values()):
                below.setdefault(source, set()).add(name)
        return {race: self._feeders(race, below) for race in races}

    def _feeders(self, race: str, below: Mapping[str, set[str]]) -> frozenset[str]:
        """Return the nodes that lead only to ``race``."""
        feeders: set[str] = {race}
        work = list(self.upstream[race])
        while work:
            name = work.pop()
            if name not in feeders and name in self.nodes and below[name] <= feeders:
                feeders.add(name)
                work += self.waits[name]
        router = self.router_of.get(race)
        return frozenset(feeders - {race, router})

    @cached_property
    def starts_children(self) -> bool:
        """Whether a node starts child runs."""
        return any(map(starts_child, self.document.nodes))

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Nodes that open when the run starts."""
        return tuple(name for name in self.nodes if not self.upstream[name])

    @cached_property
    def sinks(self) -> tuple[str, ...]:
        """Nodes without a consumer. A loop condition has no result, but a node that only it uses may."""
        work = [name for name in self.nodes if name not in self.regions]
        named = {source for sources in self.upstream.values() for source in sources}
        by_work = {source for name in work for source in self.upstream[name]}
        return tuple(
            [name for name in work if name not in named] or [name for name in work if name not in by_work]
        )

    @cached_property
    def input_validator(self) -> Validator:
        """The validator of the input."""
        return Validator(self.document.input_schema)

    @cached_property
    def input_defaults(self) -> Defaults:
        """The defaults of the input."""
        return defaults_of(self.document.input_schema)

    def in_order(self, names: set[str]) -> list[str]:
        """Return ``names`` in the order of the definition."""
        return sorted(names, key=self.order.__getitem__) if len(names) > 1 else list(names)

    def repeated(self, condition: str) -> tuple[str, ...]:
        """Return the nodes that a loop repeats, in the order of the definition."""
        return tuple(self.in_order(set(self.regions[condition].nodes)))

    def carrier(self, name: str, source: str) -> str | None:
        """Return the condition of the loop that carries ``source`` to ``name``: the smallest around both."""
        around = (r.condition for r in self.regions.values() if name in r.nodes and source in r.nodes)
        return next(around, None)

    @cached_property
    def undoable(self) -> frozenset[str]:
        """Nodes whose iterations and items a compensation may ask for: its own, and those it takes."""
        found = set()
        for name, node in self.nodes.items():
            if (undo := self.compensation(name)) is not None:
                found |= {name, *(param.source for param in undo.params)}
                found |= {node.over} if isinstance(node, Map) else set()
        return frozenset(found)

    def compensation(self, name: str) -> Compensation | None:
        """Return how ``name`` is undone, or None."""
        node = self.nodes[name]
        return node.compensate if isinstance(node, Activity | Map | Subworkflow | Http) else None


def _required(node: Node) -> tuple[str, ...]:
    """Return the nodes whose output a node requires; a race requires none."""
    if node.join == "any":
        return ()
    over = [node.over] if isinstance(node, Map) and node.over != INPUT else []
    params = [p.source for p in node.params if p.required and p.source not in (INPUT, ITEM) and not p.carried]
    return tuple(dict.fromkeys((*over, *params)))
