"""The sketch of a drawing: the items of each layer, from top to bottom, without coordinates.

A layer holds its nodes, one *bend* for each edge that passes through it, and the *borders* of the loops that
span it. In every layer the items of a loop stay between its borders, so its box holds nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from attrs import field

from infraweave.core.records import define, frozen
from infraweave.core.workflow.regions import Region

#: The maximum numbers of bends and borders. Beyond them, long edges run beneath the drawing and large loops
#: get no borders.
MAX_BENDS = 8_000
MAX_BORDERS = 2_000
#: The maximum depth of nested loops with borders.
MAX_DEPTH = 24


class Kind(IntEnum):
    """The kind of an item."""

    NODE = 0
    BEND = 1
    TOP = 2
    BOTTOM = 3


@frozen
class Group:
    """A loop that is drawn with borders. ``place``: its index in the list of groups."""

    place: int
    region: Region
    first: int
    last: int
    #: The places of the groups around it and its own, the outermost first.
    path: tuple[int, ...]


@define
class Sketch:
    """The items, by number. ``rows``: the layers, each from top to bottom."""

    groups: list[Group]
    rows: list[list[int]]
    layer: list[int] = field(factory=list)
    kind: list[Kind] = field(factory=list)
    #: The places of the groups around each item, the outermost first. A border belongs to its own group.
    path: list[tuple[int, ...]] = field(factory=list)
    #: The neighbours of each item in the layer to its left, and in the layer to its right.
    up: list[list[int]] = field(factory=list)
    down: list[list[int]] = field(factory=list)
    number: dict[str, int] = field(factory=dict)
    bends: dict[tuple[str, str], list[int]] = field(factory=dict)

    def add(self, kind: Kind, layer: int, path: tuple[int, ...]) -> int:
        """Add an item at the bottom of a layer and return its number."""
        item = len(self.kind)
        self.kind.append(kind)
        self.layer.append(layer)
        self.path.append(path)
        self.up.append([])
        self.down.append([])
        self.rows[layer].append(item)
        return item

    def chain(self, items: Iterable[int]) -> None:
        """Join items of successive layers."""
        last = -1
        for item in items:
            if last >= 0:
                self.down[last].append(item)
                self.up[item].append(last)
            last = item


def sketch(
    names: list[str],
    edges: Iterable[tuple[str, str]],
    layer: Mapping[str, int],
    regions: Iterable[Region],
) -> Sketch:
    """Return the sketch of connected nodes, with bends for ``edges`` and borders for ``regions``.

    ``regions``: the smallest first.
    """
    groups = _groups(regions, layer)
    made = Sketch(groups, [[] for _ in range(1 + max(layer[name] for name in names))])
    around = {name: group.path for group in groups for name in group.region.nodes}
    for name in names:
        made.number[name] = made.add(Kind.NODE, layer[name], around.get(name, ()))
    for source, target in edges:
        _edge(made, source, target)
    for group in groups:
        for kind in (Kind.TOP, Kind.BOTTOM):
            made.chain([made.add(kind, at, group.path) for at in range(group.first, group.last + 1)])
    return made


def _groups(regions: Iterable[Region], layer: Mapping[str, int]) -> list[Group]:
    """Return the loops that get borders, the outermost first."""
    left, held = MAX_BORDERS, []
    for region in regions:
        left -= 2 * (1 + layer[region.condition] - layer[region.back_to])
        if left >= 0:
            held.append(region)
    groups: list[Group] = []
    for region in reversed(held):
        around = [g for g in groups if region.condition in g.region.nodes]
        path = max((g.path for g in around), key=len, default=())
        if len(path) < MAX_DEPTH:
            place, first, last = len(groups), layer[region.back_to], layer[region.condition]
            groups.append(Group(place, region, first, last, (*path, place)))
    return groups


def _edge(made: Sketch, source: str, target: str) -> None:
    start, end = made.number[source], made.number[target]
    bends = [
        made.add(Kind.BEND, at, _passing(made, at, start, end))
        for at in range(made.layer[start] + 1, made.layer[end])
    ]
    made.bends[source, target] = bends
    made.chain([start, *bends, end])


def _passing(made: Sketch, at: int, start: int, end: int) -> tuple[int, ...]:
    """Return the groups around an edge in a layer: those of its ends that extend to this layer."""
    leaving = [g for g in made.path[start] if at <= made.groups[g].last]
    coming = [g for g in made.path[end] if at >= made.groups[g].first]
    return tuple(leaving if len(leaving) > len(coming) else coming)
