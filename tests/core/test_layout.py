"""Drawings of graphs: what holds for each of them, and what makes them easy to read."""

from __future__ import annotations

import random
from time import perf_counter

import pytest

from infraweave.core.document import Activity, Document, HumanInput, Loop, Map, Param, Router
from infraweave.core.graph import Graph
from infraweave.core.layout import MAX_EDGES, layout
from infraweave.core.layout_boxes import Layout
from tests.core.graphs import random_document


def graph(*nodes) -> Graph:
    return Graph(Document(workflow_id="w", version="v1", nodes=nodes))


def step(name, *sources, after=()):
    return Activity(name=name, code="w:x", params=tuple(Param(s, s) for s in sources), after=after)


def again(name, back_to, *sources):
    params = tuple(Param(s, s) for s in sources)
    return Loop(name=name, code="w:x", params=params, back_to=back_to, max_iterations=3)


def overlap(one, other):
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def passes(start, end, box):
    """Whether a piece of a line passes through the inside of a box (Liang and Barsky)."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    low, high = 0.0, 1.0
    for by, room in (
        (-dx, x - box.x),
        (dx, box.x + box.width - x),
        (-dy, y - box.y),
        (dy, box.y + box.height - y),
    ):
        if by == 0:
            if room <= 0:
                return False
        elif by < 0:
            low = max(low, room / by)
        else:
            high = min(high, room / by)
    return low < high


def check(found: Layout, graph: Graph) -> None:
    boxes = found.nodes
    assert list(boxes) == list(graph.nodes)
    columns: dict[int, list] = {}
    for box in boxes.values():
        assert (box.width, box.height) == (184, 52)
        assert 0 <= box.x <= found.width - box.width
        assert 0 <= box.y <= found.height - box.height
        columns.setdefault(box.x, []).append(box.y)
    xs = sorted(columns)
    assert all(b - a >= 184 + 64 for a, b in zip(xs, xs[1:], strict=False))
    for ys in columns.values():
        ys.sort()
        assert all(b - a >= 52 + 24 for a, b in zip(ys, ys[1:], strict=False))
    for edge in found.edges:
        check_edge(edge, found)
    for region in found.regions:
        inside = {name for name, box in boxes.items() if overlap(box, region)}
        assert inside == graph.regions[region.node].nodes
        assert 0 <= region.x <= found.width - region.width
        assert 0 <= region.y <= found.height - region.height


def check_edge(edge, found):
    source, target = found.nodes[edge.source], found.nodes[edge.target]
    if edge.kind == "loop":
        ends = ((source.x + 92, source.y + 52), (target.x + 92, target.y + 52))
    else:
        ends = ((source.x + 184, source.y + 26), (target.x, target.y + 26))
        assert edge.points[0][0] < edge.points[-1][0]
    assert (edge.points[0], edge.points[-1]) == ends
    assert all(0 <= x <= found.width and 0 <= y <= found.height for x, y in edge.points)
    for start, end in zip(edge.points, edge.points[1:], strict=False):
        low, high = min(start[0], end[0]), max(start[0], end[0])
        for name, box in found.nodes.items():
            if box.x < high + 1 and box.x + 184 > low - 1:
                assert not passes(start, end, box), (edge, name)


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_boxes_and_lines_keep_clear_of_each_other_whatever_the_graph(first):
    for seed in range(first, first + 100):
        rng = random.Random(seed)
        made = Graph(random_document(rng, rng.choice([1, 4, 8, 12, 20])))
        check(layout(made), made)


def test_large_graphs_keep_clear_too():
    for seed in range(3):
        made = Graph(random_document(random.Random(seed), 120))
        check(layout(made), made)
