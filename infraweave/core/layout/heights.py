"""The height of each item, by the method of Brandes and Köpf (2001), turned on its side.

From each of the four corners of the drawing, items are aligned with the median of their neighbours and
packed. Each item gets the middle of its four heights. Borders of loops and long edges are aligned first, so
that they are straight.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from itertools import pairwise

from infraweave.core.layout.rows import Kind, Sketch
from infraweave.core.records import define

#: Half the height of a node.
HALF = 26
#: The distance between two nodes of a layer, a node and an edge, and two edges.
APART, PASSING, BESIDE = 24, 20, 16
#: The distance of a loop's upper border, or another loop's lower border, from its neighbour.
MARGIN = 18
#: The distance of a loop's lower border from its content. The edge back runs through the middle.
LANE = 36

_SPACE: dict[tuple[Kind, Kind], int] = {
    (Kind.NODE, Kind.NODE): 2 * HALF + APART,
    (Kind.NODE, Kind.BEND): HALF + PASSING,
    (Kind.NODE, Kind.TOP): HALF + MARGIN,
    (Kind.NODE, Kind.BOTTOM): HALF + LANE,
    (Kind.BEND, Kind.NODE): HALF + PASSING,
    (Kind.BEND, Kind.BEND): BESIDE,
    (Kind.BEND, Kind.TOP): MARGIN,
    (Kind.BEND, Kind.BOTTOM): LANE,
    (Kind.TOP, Kind.NODE): HALF + MARGIN,
    (Kind.TOP, Kind.BEND): MARGIN,
    (Kind.TOP, Kind.TOP): MARGIN,
    (Kind.TOP, Kind.BOTTOM): 2 * HALF,
    (Kind.BOTTOM, Kind.NODE): HALF + MARGIN,
    (Kind.BOTTOM, Kind.BEND): MARGIN,
    (Kind.BOTTOM, Kind.TOP): MARGIN,
    (Kind.BOTTOM, Kind.BOTTOM): LANE,
}
_Marks = set[tuple[int, int]]


def heights(made: Sketch) -> list[float]:
    """Return the height of each item's centre, in pixels from an arbitrary zero."""
    marked = _crossing(made, Kind.TOP) | _crossing(made, Kind.BEND)
    found = [
        _one_way(made, marked, downwards=downwards, topmost=topmost)
        for downwards in (True, False)
        for topmost in (True, False)
    ]
    return _balanced(found)


def space(made: Sketch, upper: int, lower: int) -> int:
    """Return the minimum distance between the centres of two neighbours in a layer."""
    return _SPACE[made.kind[upper], made.kind[lower]]


def _balanced(found: list[list[float]]) -> list[float]:
    """Return the middle of four assignments, aligned with the narrowest one."""
    narrowest = min(found, key=lambda heights: max(heights) - min(heights))
    low, high = min(narrowest), max(narrowest)
    moves = [(low - min(h)) if place % 2 == 0 else (high - max(h)) for place, h in enumerate(found)]
    middles = []
    for four in zip(*found, strict=True):
        ranked = sorted(height + move for height, move in zip(four, moves, strict=True))
        middles.append((ranked[1] + ranked[2]) / 2)
    return middles


# --- pairs that must not be aligned ------------------------------------------------------------------------


def _crossing(made: Sketch, least: Kind) -> _Marks:
    """Return the joined pairs that cross a straight segment, a segment between bends or borders."""
    marks: _Marks = set()
    for upper, lower in pairwise(made.rows):
        place = {item: index for index, item in enumerate(upper)}
        low, scanned = 0, 0
        for index, item in enumerate(lower):
            straight = next((n for n in made.up[item] if _straight(made, n, item, least)), None)
            if straight is None and index < len(lower) - 1:
                continue
            high = len(upper) if straight is None else place[straight]
            for passed in lower[scanned : index + 1]:
                for other in made.up[passed]:
                    inside = low <= place[other] <= high
                    if not inside and not _straight(made, other, passed, least):
                        marks.add((other, passed))
            low, scanned = high, index + 1
    return marks


def _straight(made: Sketch, one: int, other: int, least: Kind) -> bool:
    return min(made.kind[one], made.kind[other]) >= least


# --- one of the four corners -------------------------------------------------------------------------------


@define
class _Blocks:
    """Blocks of aligned items: the first item of each item's block, and the item that follows it."""

    root: list[int]
    following: list[int]


def _one_way(made: Sketch, marked: _Marks, *, downwards: bool, topmost: bool) -> list[float]:
    """Return the heights after aligning from one corner and packing towards it."""
    rows = made.rows if topmost else [row[::-1] for row in made.rows]
    blocks = _aligned(made, rows if downwards else rows[::-1], marked, made.up if downwards else made.down)
    found = _packed(made, rows, blocks, turned=not topmost)
    return found if topmost else [-height for height in found]


def _aligned(made: Sketch, rows: list[list[int]], marked: _Marks, near: list[list[int]]) -> _Blocks:
    place = [0] * len(made.kind)
    for row in rows:
        for index, item in enumerate(row):
            place[item] = index
    blocks = _Blocks(list(range(len(place))), list(range(len(place))))
    for row in rows:
        last = -1
        for item in row:
            for other in _medians(made, near[item], place):
                pair = (other, item) if made.layer[other] < made.layer[item] else (item, other)
                if blocks.following[item] == item and last < place[other] and pair not in marked:
                    blocks.following[other] = item
                    blocks.root[item] = blocks.root[other]
                    blocks.following[item] = blocks.root[item]
                    last = place[other]
    return blocks


def _medians(made: Sketch, near: list[int], place: list[int]) -> list[int]:
    """Return the one or two median neighbours. Nodes are preferred to bends."""
    if len(near) < 2:
        return near
    near = [other for other in near if made.kind[other] == Kind.NODE] or near
    ranked = sorted(near, key=place.__getitem__)
    return ranked[(len(ranked) - 1) // 2 : len(ranked) // 2 + 1]


def _packed(made: Sketch, rows: list[list[int]], blocks: _Blocks, *, turned: bool) -> list[float]:
    """Pack the blocks upwards, then move each down as far as the blocks below it allow."""
    root = blocks.root
    above: dict[int, dict[int, int]] = {item: {} for item in root}
    below: dict[int, dict[int, int]] = {item: {} for item in root}
    for row in rows:
        for one, other in pairwise(row):
            kinds = (made.kind[other], made.kind[one]) if turned else (made.kind[one], made.kind[other])
            space = max(_SPACE[kinds], above[root[other]].get(root[one], 0))
            above[root[other]][root[one]] = below[root[one]][root[other]] = space
    order = list(TopologicalSorter(above).static_order())
    found: dict[int, float] = {}
    for block in order:
        found[block] = max((found[other] + space for other, space in above[block].items()), default=0.0)
    for block in reversed(order):
        if below[block]:
            found[block] = min(found[other] - space for other, space in below[block].items())
    return [found[block] for block in root]
