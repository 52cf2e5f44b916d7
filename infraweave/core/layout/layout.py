"""The drawing of a graph, layered from left to right (Sugiyama's method).

The same document always has the same drawing. First the heights are computed for each connected part of the
graph. Then the layers are put side by side; the steeper the edges between two layers, the greater their
distance.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import floor

from attrs import field

from infraweave.core.layout.boxes import WIDTH, EdgeLine, Layout, LoopBox, NodeBox
from infraweave.core.layout.heights import HALF, LANE, heights
from infraweave.core.layout.layers import Drawn, EdgeKind, drawn_edges, layers, ways_back
from infraweave.core.layout.order import order
from infraweave.core.layout.rows import MAX_BENDS, Group, Kind, Sketch, sketch
from infraweave.core.layout.straight import straighten
from infraweave.core.records import define, frozen
from infraweave.core.workflow.graph import Graph
from infraweave.core.workflow.regions import Region

#: The margin of the drawing.
FRAME = 24
#: The minimum distance between two layers, and the most that steep edges add to it.
GAP, STEEP = 64, 64
#: The distance between a loop's box and its content.
PADDING = 16
#: The distance between unconnected parts.
PART = 48
#: A graph with more edges has no drawing, because it would not be readable.
MAX_EDGES = 20_000

Pair = tuple[str, str]


def layout(graph: Graph) -> Layout | None:
    """Return the drawing of a valid document's graph, or None if it has too many edges."""
    drawn = drawn_edges(graph)
    if len(drawn) > MAX_EDGES:
        return None
    layer = layers(graph, drawn)
    first = {condition: layer[region.back_to] for condition, region in graph.regions.items()}
    rising = _Heights(layer, first)
    for part in _parts(graph, drawn, _short(drawn, layer)):
        rising.add(part)
    return _Drawing(graph, rising, _columns(rising)).finished(drawn)


# --- parts -------------------------------------------------------------------------------------------------


@frozen
class _Part:
    """A connected part: nodes, edges with bends, and loops (the smallest first)."""

    names: list[str] = field(factory=list)
    edges: list[Pair] = field(factory=list)
    regions: list[Region] = field(factory=list)


def _short(drawn: Iterable[Pair], layer: dict[str, int]) -> list[Pair]:
    """Return the edges that get bends where they pass layers: all but the longest, if there are too many."""
    left, short = MAX_BENDS, set()
    for source, target in sorted(drawn, key=lambda edge: layer[edge[1]] - layer[edge[0]]):
        left -= layer[target] - layer[source] - 1
        if left < 0:
            break
        short.add((source, target))
    return [edge for edge in drawn if edge in short]


def _parts(graph: Graph, drawn: Iterable[Pair], short: list[Pair]) -> Iterable[_Part]:
    """Return the parts of a graph, in the order of their first nodes."""
    head = {name: name for name in graph.nodes}

    def find(name: str) -> str:
        while head[name] != name:
            head[name] = name = head[head[name]]
        return name

    for source, target in drawn:
        head[find(target)] = find(source)
    for region in graph.regions.values():
        for name in region.nodes:
            head[find(name)] = find(region.condition)
    parts: dict[str, _Part] = {}
    for name in graph.nodes:
        parts.setdefault(find(name), _Part()).names.append(name)
    for edge in short:
        parts[find(edge[0])].edges.append(edge)
    for region in graph.regions.values():
        parts[find(region.condition)].regions.append(region)
    return parts.values()


# --- heights -----------------------------------------------------------------------------------------------


@define
class _Heights:
    """The heights of all items. Parts are put below each other."""

    layer: dict[str, int]
    #: condition → the first layer of its loop
    first: dict[str, int]
    #: The centre of each node, and of each bend of an edge.
    middle: dict[str, int] = field(factory=dict)
    bends: dict[Pair, list[int]] = field(factory=dict)
    #: condition → the upper and the lower end of the loop's box
    boxes: dict[str, tuple[int, int]] = field(factory=dict)
    #: condition → how many boxes begin, and end, around the same layer within it, itself included
    nested: dict[str, tuple[int, int]] = field(factory=dict)
    #: The greatest rise of an edge from each layer to the next.
    steep: dict[int, int] = field(factory=dict)
    bottom: int = FRAME - PART

    def add(self, part: _Part) -> None:
        """Put a part below the others."""
        made = sketch(part.names, part.edges, self.layer, part.regions)
        order(made)
        found = [floor(height + 0.5) for height in heights(made)]
        straighten(made, found)
        ends = _ends(made, found)
        self._take(made, found, ends, self.bottom + PART - _extent(made, found, ends)[0])

    def _take(self, made: Sketch, found: list[int], ends: list[tuple[int, int]], move: int) -> None:
        for item, near in enumerate(made.down):
            at = made.layer[item]
            for other in near:
                self.steep[at] = max(self.steep.get(at, 0), abs(found[item] - found[other]))
        self.middle |= {name: found[item] + move for name, item in made.number.items()}
        self.bends |= {edge: [found[item] + move for item in items] for edge, items in made.bends.items()}
        for group, (low, high) in zip(made.groups, ends, strict=True):
            self.boxes[group.region.condition] = (low + move, high + move)
        self.nested |= _nested(made.groups)
        self.bottom = _extent(made, found, ends)[1] + move


def _ends(made: Sketch, found: list[int]) -> list[tuple[int, int]]:
    """Return the upper and the lower end of each group's box, around its content."""
    ends: list[tuple[int, int]] = [(0, 0)] * len(made.groups)
    spans: list[list[int]] = [[] for _ in made.groups]
    for item, height in enumerate(found):
        if made.kind[item] < Kind.TOP and made.path[item]:
            half = HALF if made.kind[item] == Kind.NODE else 0
            spans[made.path[item][-1]] += [height - half, height + half]
    for group in reversed(made.groups):  # the inner ones first
        inside = spans[group.place]
        ends[group.place] = (min(inside) - PADDING, max(inside) + LANE // 2 + PADDING)
        if len(group.path) > 1:
            spans[group.path[-2]] += ends[group.place]
    return ends


def _extent(made: Sketch, found: list[int], ends: list[tuple[int, int]]) -> tuple[int, int]:
    nodes = [found[item] for item in made.number.values()]
    bends = [found[item] for items in made.bends.values() for item in items]
    tops = [low for low, _ in ends]
    bottoms = [high for _, high in ends]
    return min([min(nodes) - HALF, *bends, *tops]), max([max(nodes) + HALF, *bends, *bottoms])


def _nested(groups: list[Group]) -> dict[str, tuple[int, int]]:
    """Return for each loop how many boxes begin, and end, at the same layer in it, itself included."""
    found: dict[int, tuple[int, int]] = {}
    for group in reversed(groups):
        inner = [g for g in groups[group.place + 1 :] if group.place in g.path]
        begin = max((found[g.place][0] for g in inner if g.first == group.first), default=0)
        end = max((found[g.place][1] for g in inner if g.last == group.last), default=0)
        found[group.place] = (begin + 1, end + 1)
    return {groups[place].region.condition: counts for place, counts in found.items()}


# --- columns -----------------------------------------------------------------------------------------------


def _columns(rising: _Heights) -> list[int]:
    """Return the left edge of each layer, and last the width of the drawing."""
    count = 1 + max(rising.layer.values())
    before, behind = _paddings(rising, count)
    columns = [FRAME + before[0]]
    for at in range(count - 1):
        steep = min(STEEP, rising.steep.get(at, 0) // 8)
        boxes = max(0, behind[at] + before[at + 1] - 2 * PADDING)
        columns.append(columns[-1] + WIDTH + GAP + steep + boxes)
    return [*columns, columns[-1] + WIDTH + behind[-1] + FRAME]


def _paddings(rising: _Heights, count: int) -> tuple[list[int], list[int]]:
    """Return the space that the boxes of loops take to the left and to the right of each layer."""
    before, behind = [0] * count, [0] * count
    for condition, (begin, end) in rising.nested.items():
        first, last = rising.first[condition], rising.layer[condition]
        before[first] = max(before[first], PADDING * begin)
        behind[last] = max(behind[last], PADDING * end)
    return before, behind


# --- the drawing -------------------------------------------------------------------------------------------


@define
class _Drawing:
    """Makes the drawing from its layers and heights."""

    graph: Graph
    rising: _Heights
    columns: list[int]

    def finished(self, drawn: Drawn) -> Layout:
        """Return the finished drawing."""
        lines = [self._forward(edge, kind) for edge, kind in drawn.items()]
        lines += [self._back(condition, target) for condition, target in ways_back(self.graph)]
        lowest = max((point[1] for line in lines for point in line.points), default=0)
        return Layout(
            width=self.columns[-1],
            height=max(self.rising.bottom, lowest) + FRAME,
            nodes={name: NodeBox(x=self._x(name), y=self._y(name) - HALF) for name in self.graph.nodes},
            edges=tuple(lines),
            regions=tuple(self._box(condition) for condition in self.graph.regions),
        )

    def _x(self, name: str) -> int:
        return self.columns[self.rising.layer[name]]

    def _y(self, name: str) -> int:
        return self.rising.middle[name]

    def _under(self) -> int:
        """Return the height of the lines beneath the drawing."""
        return self.rising.bottom + PART // 2

    def _forward(self, edge: Pair, kind: EdgeKind) -> EdgeLine:
        source, target = edge
        start, end = (self._x(source) + WIDTH, self._y(source)), (self._x(target), self._y(target))
        if edge in self.rising.bends:
            first = self.rising.layer[source] + 1
            columns = self.columns[first:]
            between = [
                point
                for x, y in zip(columns, self.rising.bends[edge], strict=False)
                for point in ((x, y), (x + WIDTH, y))
            ]
        else:
            out, back, under = start[0] + FRAME // 2, end[0] - FRAME // 2, self._under()
            between = [(out, start[1]), (out, under), (back, under), (back, end[1])]
        return EdgeLine(source=source, target=target, kind=kind, points=_bent([start, *between, end]))

    def _back(self, condition: str, target: str) -> EdgeLine:
        start = (self._x(condition) + WIDTH // 2, self._y(condition) + HALF)
        end = (self._x(target) + WIDTH // 2, self._y(target) + HALF)
        if condition in self.rising.boxes:
            lane = self.rising.boxes[condition][1] - PADDING
            between = [(start[0], lane), (end[0], lane)]
        else:
            between = self._beneath(condition, start, target, end)
        return EdgeLine(source=condition, target=target, kind="loop", points=_bent([start, *between, end]))

    def _beneath(
        self, condition: str, start: tuple[int, int], target: str, end: tuple[int, int]
    ) -> list[tuple[int, int]]:
        """Lead an edge back around the nodes below its ends and beneath the drawing."""
        out, back, under = (
            self._x(condition) + WIDTH + FRAME // 2,
            self._x(target) - FRAME // 2,
            self._under(),
        )
        low, high = start[1] + PADDING // 2, end[1] + PADDING // 2
        return [(start[0], low), (out, low), (out, under), (back, under), (back, high), (end[0], high)]

    def _box(self, condition: str) -> LoopBox:
        region, rising = self.graph.regions[condition], self.rising
        begin, end = rising.nested.get(condition, (1, 1))
        known = [self._y(name) for name in region.nodes]
        around = (min(known) - HALF - PADDING, max(known) + HALF + PADDING)
        top, bottom = rising.boxes.get(condition, around)
        left, right = self._x(region.back_to) - PADDING * begin, self._x(condition) + WIDTH + PADDING * end
        return LoopBox(node=condition, x=left, y=top, width=right - left, height=bottom - top)


def _bent(points: list[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Return a line without the points at which it does not bend."""
    kept = points[:1]
    for place in range(1, len(points) - 1):
        before, here, after = kept[-1], points[place], points[place + 1]
        if not (before[1] == here[1] == after[1] or before[0] == here[0] == after[0]):
            kept.append(here)
    return (*kept, points[-1])
