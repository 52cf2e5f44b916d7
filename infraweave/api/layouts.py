"""The drawings of versions: each is made once, off the loop, and the latest are kept in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

import attrs

from infraweave.core.graph import Graph
from infraweave.core.layout import layout

#: Drawings that are kept; one of 500 nodes takes about half a megabyte.
KEPT = 64


class Layouts:
    """Drawings by graph. One is made at a time, so that many requests for large ones cost one thread."""

    def __init__(self) -> None:
        self._made: OrderedDict[Graph, dict[str, Any] | None] = OrderedDict()
        self._making = asyncio.Lock()

    async def of(self, graph: Graph) -> dict[str, Any] | None:
        """Return a graph's drawing as JSON; None where it has too many edges to be drawn."""
        if graph not in self._made:
            async with self._making:
                if graph not in self._made:  # else it was made while this one waited
                    self._made[graph] = await asyncio.to_thread(_drawn, graph)
                    while len(self._made) > KEPT:
                        self._made.popitem(last=False)
        self._made.move_to_end(graph)
        return self._made[graph]


def _drawn(graph: Graph) -> dict[str, Any] | None:
    found = layout(graph)
    return None if found is None else attrs.asdict(found)
