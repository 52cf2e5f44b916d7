"""Writes the graph of a document for Mermaid and Graphviz.

Each kind has its shape. Data edges are solid, edges without data dotted. Routes, loop-carried values and the
way back of a loop are dashed and labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from infraweave.core.workflow.document import Document, Loop, Node, route_targets
from infraweave.core.workflow.regions import carried_sources, data_sources

#: kind → mermaid's brackets, dot's shape
_SHAPES = {
    "node": ("[", "]", "box"),
    "agent": ("([", "])", "ellipse"),
    "tool": ("[[", "]]", "component"),
    "llm": ("(", ")", "note"),
    "router": ("{", "}", "diamond"),
    "loop": ("{{", "}}", "hexagon"),
    "map": ("[[", "]]", "box3d"),
    "subworkflow": ("[[", "]]", "tab"),
    "human_input": ("[/", "/]", "parallelogram"),
    "signal": (">", "]", "cds"),
    "timer": ("((", "))", "circle"),
    "http": ("{{", "}}", "hexagon"),
}
_MERMAID_LINES = {
    "data": "-->",
    "route": "-. route .->",
    "after": "-.->",
    "carried": "-. carried .->",
    "repeat": "-. repeat .->",
}
#: Edges against the flow must not affect the layout (constraint=false).
_DOT_STYLES = {
    "data": "",
    "route": " [style=dashed, label=route]",
    "after": " [style=dotted]",
    "carried": " [style=dashed, label=carried, constraint=false]",
    "repeat": " [style=dashed, label=repeat, constraint=false]",
}
#: Mermaid has no backslash escapes, only names. ``#`` comes first, because names begin with it.
_MERMAID_NAMES = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "}


class Edge(NamedTuple):
    """One edge; ``carries`` is data, route, after, carried or repeat."""

    source: str
    target: str
    carries: str


def edges(document: Document) -> Iterator[Edge]:
    """Yield the edges of a document, in the order of its nodes."""
    for node in document.nodes:
        for source in dict.fromkeys(data_sources(node)):
            yield Edge(source, node.name, "data")
        for source in dict.fromkeys(carried_sources(node)):
            yield Edge(source, node.name, "carried")
        for source in dict.fromkeys(node.after):
            yield Edge(source, node.name, "after")
        for route in route_targets(node):
            yield Edge(node.name, route, "route")
        if isinstance(node, Loop):
            yield Edge(node.name, node.back_to, "repeat")


def mermaid(document: Document) -> str:
    """Return the graph for Mermaid, as GitHub renders it."""
    ids = {node.name: f"n{place}" for place, node in enumerate(document.nodes)}
    lines = ["flowchart TD"]
    lines += [f"  {ids[node.name]}{_mermaid_shape(node)}" for node in document.nodes]
    lines += [f"  {ids[e.source]} {_MERMAID_LINES[e.carries]} {ids[e.target]}" for e in edges(document)]
    return "\n".join(lines)


def dot(document: Document) -> str:
    """Return the graph for Graphviz."""
    lines = [f"digraph {_dot_text(document.workflow_id)} {{"]
    lines += [
        f"  {_dot_text(node.name)} [shape={_SHAPES[node.kind][2]}, label={_dot_text(_label(node))}];"
        for node in document.nodes
    ]
    lines += [
        f"  {_dot_text(e.source)} -> {_dot_text(e.target)}{_DOT_STYLES[e.carries]};" for e in edges(document)
    ]
    return "\n".join([*lines, "}"])


def _label(node: Node) -> str:
    return node.name if node.kind == "node" else f"{node.name} ({node.kind.replace('_', ' ')})"


def _mermaid_shape(node: Node) -> str:
    opening, closing, _ = _SHAPES[node.kind]
    text = "".join(_MERMAID_NAMES.get(character, character) for character in _label(node))
    return f'{opening}"{text}"{closing}'


def _dot_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
