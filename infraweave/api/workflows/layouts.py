"""The drawings of versions: each is made once, off the loop, and the latest are kept in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.layout.layout import layout
from infraweave.core.workflow.graph import Graph

#: Nodes of the drawings that are kept; 500 take about half a megabyte.
KEPT = 32_000


@attrs.frozen
class Drawing:
    """One drawing as JSON; None where there are too many edges."""

    json: dict[str, Any] | None


class Layouts:
    """Drawings by graph. One is made at a time, so that many requests for large ones cost one thread."""

    def __init__(self) -> None:
        self._made: BoundedCache[Graph, Drawing] = BoundedCache(KEPT)
        self._making = asyncio.Lock()

    async def of(self, graph: Graph) -> dict[str, Any] | None:
        """Return a graph's drawing as JSON; None where it has too many edges to be drawn."""
        return (self._made.get(graph) or await self._make(graph)).json

    async def _make(self, graph: Graph) -> Drawing:
        async with self._making:
            made = self._made.get(graph)
            if made is None:  # else it was made while this one waited
                made = await asyncio.to_thread(_drawn, graph)
                self._made.keep(graph, made, len(graph.nodes))
            return made


def _drawn(graph: Graph) -> Drawing:
    found = layout(graph)
    return Drawing(None if found is None else attrs.asdict(found))
