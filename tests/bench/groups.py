"""The groups of rows, and how they are chosen and measured."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import (
    rows_bytes,
    rows_embedded,
    rows_growth,
    rows_http,
    rows_neighbour,
    rows_startup,
    rows_streams,
    rows_waiting,
)
from tests.bench.child import Tree
from tests.bench.results import Measured, Row
from tests.bench.scale import Scale

Measure = Callable[[Sequence[Tree], Collection[str], Scale, Path], Awaitable[list[Measured]]]


@dataclass(frozen=True)
class Group:
    """Rows that are measured together."""

    name: str
    rows: Callable[[Scale], list[Row]]
    measure: Measure


GROUPS = tuple(
    Group(name, module.rows, module.measure)
    for name, module in (
        ("http", rows_http),
        ("embedded", rows_embedded),
        ("bytes", rows_bytes),
        ("streams", rows_streams),
        ("waiting", rows_waiting),
        ("startup", rows_startup),
        ("neighbour", rows_neighbour),
        ("growth", rows_growth),
    )
)


def choose(wanted: Sequence[str], scale: Scale) -> list[str]:
    """Return the names of rows; each wanted name is one of a row or of a group. Nothing wanted: all.

    Raises:
        ValueError: no row and no group has the name.
    """
    names = {group.name: [row.name for row in group.rows(scale)] for group in GROUPS}
    every = [name for of_group in names.values() for name in of_group]
    for name in wanted:
        if name not in names and name not in every:
            raise ValueError(f"there is no row {name}; there are {', '.join(names)} and {', '.join(every)}")
    return [
        name
        for group, of_group in names.items()
        for name in of_group
        if not wanted or group in wanted or name in wanted
    ]


async def measure(
    trees: Sequence[Tree],
    names: Collection[str],
    scale: Scale,
    folder: Path | None,
    show: Callable[[Measured], None],
) -> list[Measured]:
    """Measure the chosen rows group by group, and show each group as soon as it is measured."""
    found: list[Measured] = []
    for group in GROUPS:
        chosen = [row.name for row in group.rows(scale) if row.name in names]
        if chosen:
            with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as own:
                measured = await group.measure(trees, chosen, scale, Path(own))
            found += measured
            for one in measured:
                show(one)
    return found
