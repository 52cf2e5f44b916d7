"""A document's graph as text that draws itself: mermaid and dot.

A shape for each kind; data edges are solid, a router's edges dashed and named for the router's choice, edges
without data dotted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from infraweave.core.document import INPUT, Document, Node, Router

#: kind → mermaid's brackets, dot's shape
_SHAPES = {
    "router": ("{%s}", "diamond"),
    "human_input": ("[/%s/]", "parallelogram"),
    "timer": ("((%s))", "circle"),
    "node": ("[%s]", "box"),
}
_MERMAID_LINES = {"data": "-->", "route": "-. route .->", "after": "-.->"}
_DOT_STYLES = {"data": "", "route": " [style=dashed, label=route]", "after": " [style=dotted]"}


class Edge(NamedTuple):
    """One edge: where from, where to, and what it carries (data, route, after)."""

    source: str
    target: str
    carries: str


def edges(document: Document) -> Iterator[Edge]:
    """Yield the edges of a document, in the order of its nodes."""
    for node in document.nodes:
        for param in node.params:
            if param.source != INPUT:
                yield Edge(param.source, node.name, "data")
        for source in node.after:
            yield Edge(source, node.name, "after")
        if isinstance(node, Router):
            for route in node.routes:
                yield Edge(node.name, route, "route")


def mermaid(document: Document) -> str:
    """Return the graph for mermaid, as GitHub draws it."""
    ids = {node.name: f"n{place}" for place, node in enumerate(document.nodes)}
    lines = ["flowchart TD"]
    lines += [f"  {ids[node.name]}{_shape(node)[0] % _quoted(_label(node))}" for node in document.nodes]
    lines += [f"  {ids[e.source]} {_MERMAID_LINES[e.carries]} {ids[e.target]}" for e in edges(document)]
    return "\n".join(lines)


def dot(document: Document) -> str:
    """Return the graph for Graphviz."""
    lines = [f"digraph {_quoted(document.workflow_id)} {{"]
    lines += [
        f"  {_quoted(node.name)} [shape={_shape(node)[1]}, label={_quoted(_label(node))}];"
        for node in document.nodes
    ]
    lines += [
        f"  {_quoted(e.source)} -> {_quoted(e.target)}{_DOT_STYLES[e.carries]};" for e in edges(document)
    ]
    return "\n".join([*lines, "}"])


def _shape(node: Node) -> tuple[str, str]:
    return _SHAPES.get(node.kind, _SHAPES["node"])


def _label(node: Node) -> str:
    return node.name if node.kind == "node" else f"{node.name} ({node.kind.replace('_', ' ')})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
