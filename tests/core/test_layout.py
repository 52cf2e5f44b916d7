"""Drawings of graphs: what holds for each of them, and what makes them easy to read."""

from __future__ import annotations

import random
from itertools import pairwise
from time import process_time

import pytest

from infraweave.core.layout.boxes import Layout
from infraweave.core.layout.layout import MAX_EDGES, layout
from infraweave.core.workflow.document import ITEM, Activity, Document, HumanInput, Loop, Map, Param, Router
from infraweave.core.workflow.graph import Graph
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
    assert all(b - a >= 184 + 64 for a, b in pairwise(xs))
    for ys in columns.values():
        ys.sort()
        assert all(b - a >= 52 + 24 for a, b in pairwise(ys))
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
    for start, end in pairwise(edge.points):
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


# --- what a reader sees ------------------------------------------------------------------------------------


def edges(found: Layout) -> dict[tuple[str, str], str]:
    return {(edge.source, edge.target): edge.kind for edge in found.edges}


def line(found: Layout, source: str, target: str):
    return next(edge.points for edge in found.edges if (edge.source, edge.target) == (source, target))


def test_a_drawing_is_the_same_each_time():
    made = [layout(Graph(random_document(random.Random(7), 30))) for _ in range(2)]
    assert made[0] == made[1]


def test_a_single_node_has_a_frame_around_it():
    found = layout(graph(step("only")))
    assert (found.width, found.height) == (24 + 184 + 24, 24 + 52 + 24)
    assert (found.nodes["only"].x, found.nodes["only"].y) == (24, 24)


def test_each_pair_has_one_edge_of_the_strongest_kind_and_the_input_none():
    router = Router(name="choose", code="w:x", params=(Param("input", "input"),), routes=("go",))
    wait = HumanInput(name="ask", schema={}, timeout=1.0, on_timeout="route", timeout_route="late")
    work = Map(name="each", over="go", code="w:x", params=(Param("item", ITEM),), after=("go", "ask"))
    found = layout(graph(router, step("go", "choose", after=("choose",)), wait, step("late", "ask"), work))
    assert edges(found) == {
        ("choose", "go"): "route",
        ("ask", "late"): "timeout",
        ("go", "each"): "data",
        ("ask", "each"): "after",
    }


def test_what_a_loop_carries_over_is_no_edge_of_its_own():
    draft = Activity(
        name="draft", code="w:x", params=(Param("critic", "critic", required=False, carried=True),)
    )
    found = layout(graph(draft, step("critic", "draft"), again("more", "draft", "critic")))
    assert edges(found) == {
        ("draft", "critic"): "data",
        ("critic", "more"): "data",
        ("more", "draft"): "loop",
    }


def test_a_way_back_runs_beneath_all_that_it_repeats_and_within_the_loops_box():
    made = graph(
        step("a"), step("one", "a"), step("two", "a"), again("more", "a", "one", "two"), step("end", "one")
    )
    found = layout(made)
    box, lane = found.regions[0], max(y for _, y in line(found, "more", "a"))
    assert lane > max(found.nodes[name].y + 52 for name in ("a", "one", "two", "more"))
    assert box.y + box.height > lane
    assert found.nodes["end"].x > box.x + box.width
    check(found, made)


def test_a_chain_is_straight_and_what_skips_it_goes_around():
    found = layout(graph(step("a"), step("b", "a"), step("c", "b"), step("d", "c", "a")))
    assert len({box.y for box in found.nodes.values()}) == 1
    assert len(line(found, "a", "d")) == 4


def test_a_fan_is_balanced():
    names = [f"w{place}" for place in range(30)]
    found = layout(graph(step("plan"), *(step(name, "plan") for name in names), step("join", *names)))
    heights = sorted(found.nodes[name].y for name in names)
    assert found.nodes["plan"].y == found.nodes["join"].y == (heights[0] + heights[-1]) / 2


def test_edges_that_need_not_cross_do_not():
    made = graph(step("a"), step("b"), step("x", "b"), step("y", "a"), step("z", "x", "y"))
    found = layout(made)
    assert (found.nodes["a"].y < found.nodes["b"].y) == (found.nodes["y"].y < found.nodes["x"].y)


def test_what_nothing_joins_stands_apart():
    found = layout(graph(step("a"), step("lone"), step("b", "a")))
    assert found.nodes["lone"].y > found.nodes["a"].y + 52 + 24
    assert found.nodes["b"].y == found.nodes["a"].y


# --- large ones --------------------------------------------------------------------------------------------


def test_five_hundred_nodes_take_less_than_a_second():
    rng = random.Random(1)
    nodes = [step("n0")]
    for place in range(1, 500):
        near = {max(0, place - rng.randint(1, 25)) for _ in range(rng.choice([1, 1, 2]))}
        nodes.append(step(f"n{place}", *(f"n{other}" for other in sorted(near))))
    made = graph(*nodes)
    begun = process_time()
    found = layout(made)
    took = process_time() - begun
    print(f"500 nodes, {len(found.edges)} edges: {1000 * took:.0f} ms")
    assert took < 0.9  # a third of it where nothing else runs


def test_edges_that_would_bend_too_often_run_beneath_the_drawing():
    names = [f"n{place}" for place in range(60)]
    made = graph(*(step(name, *names[:place]) for place, name in enumerate(names)))
    found = layout(made)
    lowest = max(box.y + 52 for box in found.nodes.values())
    assert max(y for _, y in line(found, "n0", "n59")) > lowest
    check(found, made)


def test_many_loops_within_each_other_are_still_drawn():
    names = [f"n{place}" for place in range(80)]
    first = [step(name, *names[place - 1 : place]) for place, name in enumerate(names)]
    ends = [again(f"more{p}", names[79 - p], f"more{p - 1}" if p else "n79") for p in range(80)]
    found = layout(graph(*first, *ends))
    assert len(found.regions) == 80
    for edge in found.edges:
        check_edge(edge, found)


def test_what_nobody_could_read_is_not_drawn():
    names = [f"n{place}" for place in range(220)]
    made = graph(*(step(name, *names[:place]) for place, name in enumerate(names)))
    assert len(made.nodes) * (len(made.nodes) - 1) / 2 > MAX_EDGES
    assert layout(made) is None
