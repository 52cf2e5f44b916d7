"""Drawings of versions: computed once, in a thread, and cached."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import asdict

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.graph import Graph

#: Nodes of all cached drawings; 500 take about half a megabyte.
CACHED_NODES = 32_000


@frozen
class Drawing:
    """A drawing as JSON; None if there are too many edges."""

    json: dict[str, Any] | None


class Layouts:
    """Drawings by graph. One is computed at a time, so that many requests for large ones use one thread."""

    def __init__(self) -> None:
        self._cache: BoundedCache[Graph, Drawing] = BoundedCache(CACHED_NODES)
        self._lock = asyncio.Lock()

    async def of(self, graph: Graph) -> dict[str, Any] | None:
        """Return the drawing of a graph as JSON; None if it has too many edges."""
        return (self._cache.get(graph) or await self._make(graph)).json

    async def _make(self, graph: Graph) -> Drawing:
        async with self._lock:
            drawing = self._cache.get(graph)
            if drawing is None:  # it may have been computed during the wait
                drawing = await asyncio.to_thread(_draw, graph)
                self._cache.keep(graph, drawing, len(graph.nodes))
            return drawing


def _draw(graph: Graph) -> Drawing:
    from infraweave.core.layout.layout import layout  # few servers draw, and a start is faster without

    found = layout(graph)
    return Drawing(None if found is None else asdict(found))
