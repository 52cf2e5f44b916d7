"""A cache of folded histories: each inspection folds only the events that came since the last one.

An inspection shows what is on disk, so the events are folded; the live state is not shown. For a map of
50,000 items that takes a second, and clients that watch such a run inspect it again and again. A history that
the cache drops is folded from the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from attrs import field

from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.data.values import Json
from infraweave.core.records import define
from infraweave.core.run import readiness
from infraweave.core.run.address import Address
from infraweave.core.run.events import InputRequested, StatusChanged
from infraweave.core.run.rollback import next_compensation
from infraweave.core.run.state import RunState, evolve
from infraweave.core.workflow.graph import Graph
from infraweave.engine.catalog import Catalog
from infraweave.engine.runs.requests import Inspection
from infraweave.errors import RunNotFound
from infraweave.store.follow import Stored
from infraweave.store.journal import Journal
from infraweave.store.runs import RunRow

#: Shorter histories are not cached, because folding them is quick.
LONG = 200
#: The most bytes of the events of all cached histories, without payloads: about 150,000 events. The newest
#: history stays, however long it is.
MAX_BYTES = 32 << 20


@define(eq=False)
class _Cached:
    state: RunState
    #: Bytes of the events that were folded.
    size: int = 0
    #: Held while new events are folded.
    lock: asyncio.Lock = field(factory=asyncio.Lock)


class InspectionCache:
    """Folded histories by run, the last used at the end."""

    def __init__(self, journal: Journal, catalog: Catalog) -> None:
        self._journal, self._catalog = journal, catalog
        self._cached: BoundedCache[int, _Cached] = BoundedCache(MAX_BYTES)

    def __len__(self) -> int:
        return len(self._cached)

    async def inspect(self, run: RunRow) -> Inspection:
        """Return the state of a run on disk. Read it at once, because the next inspection changes its state.

        Raises:
            RunNotFound: the run has been removed.
        """
        if (
            self._cached.get(run.run_key) is None
            and (log := self._journal.short_log(run.run_key, payloads=False)) is not None
            and len(log) < LONG
        ):
            return await self._short(run, log)
        opening = await self._opening(run)
        graph = await self._catalog.graph(run.tenant, run.workflow_id, run.workflow_version)
        look = self._cached.get(run.run_key) or _Cached(RunState(run.run_id))
        self._cached.keep(run.run_key, look, look.size)
        async with look.lock:
            try:
                return await self._now(run, look, opening, graph)
            finally:
                self._bound(run.run_key, look)

    async def _opening(self, run: RunRow) -> StatusChanged:
        """Return the first event with its payload, the origin and input of the run."""
        return _opening_of(run, await self._journal.event_at(run.run_key, 1))

    async def _short(self, run: RunRow, log: Sequence[Stored]) -> Inspection:
        """Fold the log of a short run, which was read at once."""
        opening = _opening_of(run, log[0] if log else None)
        graph = await self._catalog.graph(run.tenant, run.workflow_id, run.workflow_version)
        state = RunState(run.run_id)
        for stored in log:
            evolve(state, stored.event(payloads=False))
        asked = {
            request.request_id: log[request.seq - 1].beside().get("data") for request in _requests(state)
        }
        return self._inspection(run, opening, state, graph, asked)

    async def _now(self, run: RunRow, look: _Cached, opening: StatusChanged, graph: Graph) -> Inspection:
        look.size += await self._journal.catch_up(run.run_key, look.state, payloads=False)
        asked = await self._asked(run, look.state)
        return self._inspection(run, opening, look.state, graph, asked)

    def _inspection(
        self, run: RunRow, opening: StatusChanged, state: RunState, graph: Graph, asked: dict[str, Json]
    ) -> Inspection:
        if opening.origin is None or (run.finished_at is not None and state.end is None):
            raise RunNotFound(f"No run {run.run_id}.")  # it is being removed
        return Inspection(
            origin=opening.origin,
            state=state,
            graph=graph,
            blocked=blocked_nodes(self._catalog, graph, state),
            input=opening.input,
            asked=asked,
        )

    async def _asked(self, run: RunRow, state: RunState) -> dict[str, Json]:
        """Return the data that people see with each open request, by request_id."""
        shown = {}
        for request in _requests(state):
            stored = await self._journal.event_at(run.run_key, request.seq)
            shown[request.request_id] = None if stored is None else stored.beside().get("data")
        return shown

    def _bound(self, run_key: int, look: _Cached) -> None:
        if self._cached.get(run_key) is not look:
            return  # the cache dropped it meanwhile
        if look.state.seq < LONG:
            self._cached.take(run_key)
        else:
            self._cached.keep(run_key, look, look.size)


def _opening_of(run: RunRow, first: Stored | None) -> StatusChanged:
    """Return the first event of a run.

    Raises:
        RunNotFound: there is none, because the run has been removed.
    """
    event = None if first is None else first.event()
    if not isinstance(event, StatusChanged):
        raise RunNotFound(f"No run {run.run_id}.")
    return event


def _requests(state: RunState) -> list[InputRequested]:
    """Return the open questions of a run to people."""
    return [entry.request for entry in state.entries.values() if entry.request is not None]


def blocked_nodes(catalog: Catalog, graph: Graph, state: RunState) -> list[str]:
    """Return the names of the nodes that wait only for their code to be loaded, sorted."""
    if state.end is not None or state.state == "queued":
        return []
    late = [e.address for e in state.entries.values() if e.status == "backoff" or e.address in state.maps]
    addresses = [*_openable(graph, state), *late]
    return sorted({a.node for a in addresses if catalog.lacks_code(graph, a)})


def _openable(graph: Graph, state: RunState) -> list[Address]:
    """Return the entries that can open next, or the next compensation."""
    if state.stopping is None:
        return [Address(name) for name in readiness.all_ready(graph, state)]
    undo = None if state.entries else next_compensation(graph, state)
    return [] if undo is None else [undo]
