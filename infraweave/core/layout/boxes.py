"""The parts of a drawing. All lengths are in pixels, from the upper left corner."""

from __future__ import annotations

from infraweave.core.layout.heights import HALF
from infraweave.core.layout.layers import EdgeKind
from infraweave.core.records import frozen

WIDTH, HEIGHT = 184, 2 * HALF


@frozen(kw_only=True)
class NodeBox:
    """The upper left corner and the size of a node."""

    x: int
    y: int
    width: int = WIDTH
    height: int = HEIGHT


@frozen(kw_only=True)
class EdgeLine:
    """An edge between two nodes. ``points``: its line with both ends."""

    source: str
    target: str
    kind: EdgeKind
    points: tuple[tuple[int, ...], ...]


@frozen(kw_only=True)
class LoopBox:
    """The box around the nodes of a loop. ``node``: its condition."""

    node: str
    x: int
    y: int
    width: int
    height: int


@frozen(kw_only=True)
class Layout:
    """A drawing of a graph, layered from left to right."""

    width: int
    height: int
    nodes: dict[str, NodeBox]
    edges: tuple[EdgeLine, ...]
    regions: tuple[LoopBox, ...]
