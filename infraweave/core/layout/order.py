"""The order of the items within each layer, so that few edges cross: barycentre sweeps, then exchanges.

The items of a loop stay together, and loops that share layers have the same order in all of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise

from infraweave.core.layout.rows import Kind, Sketch

#: The number of sweeps without improvement after which the best order is taken.
PATIENCE = 4
#: The maximum number of joined pairs that all sweeps visit; it bounds the time for large graphs.
WORK = 120_000
#: The maximum number of passes that exchange neighbours.
EXCHANGES = 6

Rows = list[list[int]]


def order(made: Sketch) -> None:
    """Order the rows of a sketch."""
    joined = sum(map(len, made.down)) or 1
    rows = _first(made)
    best, least = rows, crossings(made, rows)
    patience, sweeps = PATIENCE, max(2, min(24, WORK // joined))
    for turn in range(sweeps):
        if least == 0 or patience == 0:
            break
        rows = _sweep(made, rows, downwards=turn % 2 == 0, late=turn % 4 >= 2)
        found = crossings(made, rows)
        patience = PATIENCE if found < least else patience - 1
        if found < least:
            best, least = rows, found
    made.rows = [list(row) for row in best]
    if least:
        _exchange(made, min(EXCHANGES, 1 + WORK // (4 * joined)))


def _first(made: Sketch) -> Rows:
    """Return the initial order: depth first, so that connected items stand together."""
    rows: Rows = [[] for _ in made.rows]
    seen = [False] * len(made.kind)
    for start in (item for row in made.rows for item in row):
        stack = [start]
        while stack:
            item = stack.pop()
            if not seen[item]:
                seen[item] = True
                rows[made.layer[item]].append(item)
                stack += reversed(made.down[item])
    before: list[int] = []
    for at, row in enumerate(rows):
        keys = {item: float(place) for place, item in enumerate(row)}
        before = rows[at] = _arranged(made, row, keys, before)
    return rows


def _sweep(made: Sketch, rows: Rows, *, downwards: bool, late: bool) -> Rows:
    """Order each row by the middle of its neighbours in the row that was ordered before it."""
    found = list(rows)
    near = made.up if downwards else made.down
    through = range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1)
    for at in through:
        fixed = found[at - 1 if downwards else at + 1]
        place = {item: index for index, item in enumerate(fixed)}
        row = rows[at][::-1] if late else rows[at]
        found[at] = _arranged(made, row, _middles(row, near, place), fixed)
    return found


def _middles(row: list[int], near: list[list[int]], place: dict[int, int]) -> dict[int, float]:
    """Return the mean place of each item's neighbours. An item without any stays with the one before it."""
    keys: dict[int, float] = {}
    last = -1.0
    for item in row:
        others = near[item]
        if others:
            last = sum([place[other] for other in others]) / len(others)
        keys[item] = last
    return keys


# --- loops -------------------------------------------------------------------------------------------------


def _arranged(made: Sketch, row: list[int], keys: dict[int, float], fixed: Sequence[int]) -> list[int]:
    """Return a row sorted by key. Loops stay in one piece, in their order in ``fixed``."""
    if not made.groups:
        return sorted(row, key=keys.__getitem__)
    known: dict[int, int] = {}
    for item in fixed:
        for group in made.path[item]:
            known.setdefault(group, len(known))
    return _within(made, row, keys, known, 0)


def _within(
    made: Sketch, row: list[int], keys: dict[int, float], known: dict[int, int], depth: int
) -> list[int]:
    """Sort the items of one loop, or of the whole row, that lie at least ``depth`` loops deep."""
    parts: dict[int, list[int]] = {}
    for item in row:
        path = made.path[item]
        # An item in no deeper loop is a part of its own. Items have negative keys, groups positive ones.
        parts.setdefault(path[depth] if len(path) > depth else -1 - item, []).append(item)
    ranked = sorted(parts, key=lambda part: _mean(made, parts[part], keys))
    ranked = _as_before(ranked, known)
    done: list[int] = []
    for part in ranked:
        done += parts[part] if part < 0 else _bordered(made, parts[part], keys, known, depth)
    return done


def _bordered(
    made: Sketch, items: list[int], keys: dict[int, float], known: dict[int, int], depth: int
) -> list[int]:
    own = {made.kind[item]: item for item in items if _is_border(made, item, depth + 1)}
    inside = [item for item in items if item not in own.values()]
    return [own[Kind.TOP], *_within(made, inside, keys, known, depth + 1), own[Kind.BOTTOM]]


def _is_border(made: Sketch, item: int, depth: int) -> bool:
    return made.kind[item] >= Kind.TOP and len(made.path[item]) == depth


def _mean(made: Sketch, items: list[int], keys: dict[int, float]) -> float:
    inner = [keys[item] for item in items if made.kind[item] < Kind.TOP] or [keys[item] for item in items]
    return sum(inner) / len(inner)


def _as_before(ranked: list[int], known: dict[int, int]) -> list[int]:
    """Put the loops that continue from the fixed row into its order, in the places that they got."""
    going_on = iter(sorted((part for part in ranked if part in known), key=known.__getitem__))
    return [next(going_on) if part in known else part for part in ranked]


# --- crossings ---------------------------------------------------------------------------------------------


def crossings(made: Sketch, rows: Rows) -> int:
    """Return how many pairs of edges cross."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {item: index for index, item in enumerate(lower)}
        ends: list[int] = []
        for item in upper:
            ends += sorted([place[other] for other in made.down[item]])
        total += _inversions(ends)
    return total


def _inversions(ends: list[int]) -> int:
    seen: list[int] = []
    total = 0
    for count, end in enumerate(ends):
        at = len(seen) if not seen or seen[-1] <= end else _after(seen, end)
        total += count - at
        seen.insert(at, end)
    return total


def _after(seen: list[int], end: int) -> int:
    return bisect_left(seen, end + 1)


def _exchange(made: Sketch, passes: int) -> None:
    """Exchange neighbours in a row where this reduces the number of crossings."""
    place = [0] * len(made.kind)
    for row in made.rows:
        for index, item in enumerate(row):
            place[item] = index
    for _ in range(passes):
        better = [_exchanged(made, row, place) for row in made.rows]
        if not any(better):
            return


def _exchanged(made: Sketch, row: list[int], place: list[int]) -> bool:
    better = False
    for at in range(len(row) - 1):
        one, other = row[at], row[at + 1]
        if made.path[one] != made.path[other] or max(made.kind[one], made.kind[other]) >= Kind.TOP:
            continue
        if _gain(made, one, other, place) > 0:
            row[at], row[at + 1] = other, one
            place[one], place[other] = at + 1, at
            better = True
    return better


def _gain(made: Sketch, one: int, other: int, place: list[int]) -> int:
    """Return by how many crossings the exchange of two neighbours reduces their number."""
    gain = 0
    for near in (made.up, made.down):
        here, there = [place[n] for n in near[one]], [place[n] for n in near[other]]
        gain += _above(there, here) - _above(here, there)
    return gain


def _above(some: Iterable[int], others: list[int]) -> int:
    """Count the pairs with a first value less than the second."""
    ranked: list[int] = []
    for end in others:
        insort(ranked, end)
    return sum(len(ranked) - _after(ranked, end) for end in some)
