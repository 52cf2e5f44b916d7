"""Queued runs: rows that wait until admission control grants them a slot."""

from __future__ import annotations

import logging

from infraweave.core.run.events import Origin
from infraweave.engine.admission.groups import AdmissionRequest
from infraweave.engine.runs.children import Children
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.suspects import Suspects
from infraweave.errors import RunNotFound
from infraweave.store.journal import Journal, RunAppend
from infraweave.store.runs import RunRow

log = logging.getLogger("infraweave.engine")


class QueuedRuns:
    """Enqueues runs and starts them."""

    def __init__(
        self,
        resources: RunResources,
        registry: RunRegistry,
        children: Children,
        suspects: Suspects,
        journal: Journal,
    ) -> None:
        self._resources, self._registry, self._children = resources, registry, children
        self._suspects, self._journal = suspects, journal

    async def request_for(self, run: RunRow | Origin) -> AdmissionRequest:
        """Return the admission request of a queued run."""
        graph = await self._resources.catalog.graph(run.tenant, run.workflow_id, run.workflow_version)
        limits = graph.document.concurrency
        held = await self._children.held_by_ancestors(run) if limits else ()
        return AdmissionRequest(run.tenant, run.workflow_id, run.lane, limits, held)

    def enqueue_child(self, child: LiveRun) -> None:
        """Enqueue a child that was appended and got no slot. A child is never refused."""
        if child.graph.document.concurrency:
            self._resources.tasks.spawn(self.enqueue(child.run_key), f"enqueue {child.run_key}")
        else:
            wanted = AdmissionRequest(child.origin.tenant, child.origin.workflow_id)
            self._resources.admission.enqueue(child.run_key, wanted)

    async def enqueue(self, run_key: int) -> None:
        """Enqueue a queued run. From then on the agenda has no time of it."""
        async with self._registry.pinned(run_key) as live:
            wanted = await self.request_for(live.origin)
            await self._resources.admission.prepare([wanted])
            if live.state.state == "queued":  # not cancelled meanwhile
                self._resources.admission.enqueue(run_key, wanted)
                if live.origin.start_at is not None:
                    live.note_enqueued()
                    await self._journal.append([RunAppend(run_key, live.state.run_id, (), None)])

    def grant(self, run_key: int) -> None:
        """Start a run that was granted a slot."""
        if self._resources.draining:
            return  # it stays queued, and the next process starts it
        if not self._suspects.withhold(run_key):
            self._resources.tasks.spawn(self._start(run_key), f"start {run_key}")

    async def _start(self, run_key: int) -> None:
        used = False
        try:
            async with self._registry.pinned(run_key) as live:
                if live.wants_slot:
                    used = True
                    live.start()
        except RunNotFound:
            log.info("run %s ended in the queue and was removed just as its turn came", run_key)
        finally:
            if not used:
                self._resources.admission.remove(run_key)
                self._resources.slots.release()
