"""Straighten lines: items that stand a little higher or lower than their neighbours are put in line.

First whole lines move, then single items. A line moves only if there is room, only to the height of a
neighbour, and only if the total rise of its edges shrinks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from infraweave.core.layout.heights import HALF, space
from infraweave.core.layout.rows import Kind, Sketch

#: The greatest step that is straightened: less than the distance between two nodes.
STEP = HALF + 12
#: The weight of the rise of an edge between two nodes, relative to that of a segment of a long edge.
WEIGHT = 4
PASSES = 3


def straighten(made: Sketch, found: list[int]) -> None:
    """Move items into line. ``found``: their heights, which this changes."""
    above, below = _next(made)
    for turn in range(PASSES):
        lines = _lines(made, found, whole=turn < PASSES - 1)
        moved = [_moved(made, found, line, above, below) for line in lines]
        if not any(moved) and turn > 0:
            return


def _next(made: Sketch) -> tuple[dict[int, int], dict[int, int]]:
    """Return the item above, and the item below, each item in its layer."""
    pairs = [pair for row in made.rows for pair in pairwise(row)]
    return {lower: upper for upper, lower in pairs}, dict(pairs)


def _lines(made: Sketch, found: list[int], *, whole: bool) -> Iterator[list[int]]:
    """Yield lines of items at the same height: ``whole`` lines, or single nodes and single long edges."""
    seen: set[int] = set()
    for start in (item for row in made.rows for item in row):
        if start in seen or made.kind[start] >= Kind.TOP:
            continue
        line = [start]
        seen.add(start)
        for item in line:
            for other in (*made.down[item], *made.up[item]):
                alike = whole or made.kind[item] == made.kind[other] == Kind.BEND
                if alike and found[other] == found[item] and other not in seen:
                    seen.add(other)
                    line.append(other)
        yield line


def _moved(
    made: Sketch, found: list[int], line: list[int], above: dict[int, int], below: dict[int, int]
) -> bool:
    """Move a line to the height with the least rise of its edges. Return whether it moved."""
    inside = set(line)
    rises = [
        (found[other] - found[item], WEIGHT if made.kind[item] == made.kind[other] == Kind.NODE else 1)
        for item in line
        for other in (*made.up[item], *made.down[item])
        if other not in inside
    ]
    steps = {rise for rise, _ in rises if 0 < abs(rise) <= STEP}
    if not steps:
        return False
    room = _room(made, found, inside, above, below)
    fitting = [step for step in sorted(steps) if room[0] <= step <= room[1]]
    best = min((0, *fitting), key=lambda step: sum(weight * abs(rise - step) for rise, weight in rises))
    for item in line:
        found[item] += best
    return best != 0


def _room(
    made: Sketch, found: list[int], inside: set[int], above: dict[int, int], below: dict[int, int]
) -> tuple[int, int]:
    """Return how far a line can move up (negative) and down."""
    up, down = -STEP, STEP
    for item in inside:
        upper, lower = above.get(item, -1), below.get(item, -1)
        if upper >= 0 and upper not in inside:
            up = max(up, found[upper] + space(made, upper, item) - found[item])
        if lower >= 0 and lower not in inside:
            down = min(down, found[lower] - space(made, item, lower) - found[item])
    return up, down
