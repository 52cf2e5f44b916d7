"""A document, indexed for the questions that ``turn`` asks. Built once per document; holds no state."""

from __future__ import annotations

from functools import cached_property

from infraweave.core.document import INPUT, Activity, Compensation, Document, Http, Node, Router
from infraweave.core.schema import Validator


class Graph:
    """The edges of a document, both ways, in the order of its nodes."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes: dict[str, Node] = {node.name: node for node in document.nodes}
        self.order: dict[str, int] = {name: place for place, name in enumerate(self.nodes)}
        #: target → its router
        self.router_of: dict[str, str] = {
            route: node.name for node in document.nodes if isinstance(node, Router) for route in node.routes
        }
        self.upstream: dict[str, tuple[str, ...]] = {name: self._upstream(name) for name in self.nodes}
        self.upstream_set = {name: frozenset(sources) for name, sources in self.upstream.items()}
        self.required: dict[str, tuple[str, ...]] = {
            name: tuple(p.source for p in node.params if p.required and p.source != INPUT)
            for name, node in self.nodes.items()
        }
        below: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, sources in self.upstream.items():
            for source in sources:
                below.setdefault(source, []).append(name)
        self.downstream: dict[str, tuple[str, ...]] = {name: tuple(names) for name, names in below.items()}

    def _upstream(self, name: str) -> tuple[str, ...]:
        """Return all that must settle before ``name``: data, ``after``, and the router that chooses it."""
        node = self.nodes[name]
        sources = [p.source for p in node.params if p.source != INPUT]
        router = [self.router_of[name]] if name in self.router_of else []
        return tuple(dict.fromkeys((*sources, *node.after, *router)))

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Nodes that open when the run starts."""
        return tuple(name for name in self.nodes if not self.upstream[name])

    @cached_property
    def sinks(self) -> tuple[str, ...]:
        """Nodes that nothing waits for."""
        return tuple(name for name in self.nodes if not self.downstream[name])

    @cached_property
    def input_validator(self) -> Validator:
        """What checks the input of a start."""
        return Validator(self.document.input_schema)

    def in_order(self, names: set[str]) -> list[str]:
        """Return ``names`` in the order of the definition."""
        return sorted(names, key=self.order.__getitem__) if len(names) > 1 else list(names)

    def compensation(self, name: str) -> Compensation | None:
        """Return how ``name`` is undone, or None."""
        node = self.nodes[name]
        return node.compensate if isinstance(node, Activity | Http) else None
