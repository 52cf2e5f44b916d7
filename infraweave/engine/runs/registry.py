"""The live runs of one process: loads them, keeps them while they have something to do, unloads them.

An idle run is not here: it is a row with a wake-up time. Whatever arrives for it loads it again by
``pinned``: its events are folded, and ``Recovered`` closes what an ended process left in flight. There is no
other recovery. Long histories of runs that became idle a while ago are not folded again (``idle_cache``).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from infraweave.core.run.facts import AppendRejected
from infraweave.core.run.state import RunState, evolve
from infraweave.core.workflow.graph import Graph
from infraweave.engine.execution.attempt import Attempt
from infraweave.engine.runs.idle_cache import IdleRunCache
from infraweave.engine.runs.live_run import LiveRun, RunCallbacks
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.suspects import Suspects
from infraweave.engine.runs.unstorable import Turn, blamed, is_stored, rejected
from infraweave.errors import RunNotFound, StorageUnavailable, Unstorable
from infraweave.store.journal import Journal
from infraweave.store.runs import RunRow, Runs

log = logging.getLogger("infraweave.engine")


class RunRegistry:
    """The live runs by key."""

    def __init__(self, resources: RunResources, suspects: Suspects, journal: Journal, runs: Runs) -> None:
        self._resources, self._suspects, self._journal, self._runs = resources, suspects, journal, runs
        self.live: dict[int, LiveRun] = {}
        self.idle = IdleRunCache()
        #: Set whenever a run leaves memory.
        self.left = asyncio.Event()
        #: The next fact of each run with events that could not be stored.
        self._rejected: dict[int, AppendRejected] = {}
        self._pins: Counter[int] = Counter()
        self._loading: dict[int, asyncio.Task[LiveRun]] = {}

    def connect(
        self,
        callbacks: RunCallbacks,
        unloaded: Callable[[LiveRun], None],
        resume: Callable[[LiveRun], Awaitable[None]],
    ) -> None:
        """Set the callbacks: for live runs, for unloading, and for resuming runs that were set aside."""
        self._callbacks, self._unloaded, self._resume = callbacks, unloaded, resume

    @property
    def loading(self) -> list[asyncio.Task[LiveRun]]:
        """The tasks that load runs."""
        return list(self._loading.values())

    def create(
        self,
        graph: Graph,
        state: RunState,
        *,
        run_key: int | None = None,
        parent_key: int | None = None,
        has_slot: bool = False,
    ) -> LiveRun:
        """Add a run; it stays in memory until it is idle. Without ``run_key`` it is a new one."""
        run_key = self._journal.new_key() if run_key is None else run_key
        live = self.live[run_key] = LiveRun(
            self._resources,
            self._callbacks,
            run_key,
            graph,
            state,
            parent_key=parent_key,
            has_slot=has_slot,
        )
        return live

    # --- load ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def pinned(
        self, run_key: int, *, resuming: bool = False, payloads: bool = True
    ) -> AsyncIterator[LiveRun]:
        """Yield a run that stays in memory until the end of the block.

        ``resuming`` also loads a run that is set aside. That run continues at the end of the block, with the
        facts that it got in the block. Without ``payloads`` it must have ended by then.

        Raises:
            RunNotFound: there is no such run.
            RunSetAside: the run must not be loaded.
        """
        self._pins[run_key] += 1
        try:
            live = self.live.get(run_key) or self._from_idle(run_key)
            if live is None:
                live = await self._loaded(run_key, resuming=resuming, payloads=payloads)
            yield live
            if live.is_set_aside:
                await self._resume(live)
        finally:
            self._pins[run_key] -= 1
            if not self._pins[run_key]:
                del self._pins[run_key]
            if run_key in self.live:
                self.live[run_key].unload_if_idle()

    def _from_idle(self, run_key: int) -> LiveRun | None:
        live = self.idle.pop(run_key)
        if live is not None:
            self.live[run_key] = live
        return live

    async def _loaded(self, run_key: int, *, resuming: bool, payloads: bool) -> LiveRun:
        task = self._loading.get(run_key)
        if task is None:
            loading = self._load(run_key, resuming, payloads)
            task = self._loading[run_key] = asyncio.create_task(loading, name=f"load {run_key}")
            task.add_done_callback(lambda _: self._loading.pop(run_key, None))
        return await asyncio.shield(task)

    async def _load(self, run_key: int, resuming: bool, payloads: bool) -> LiveRun:
        row = await self._runs.get_by_key(run_key)
        if row is None:
            raise RunNotFound
        is_set_aside = resuming and self._suspects.release(run_key, row.run_id)
        self._suspects.check(row.run_id)
        quarantine = self._resources.quarantine
        quarantine.begin_load(row.run_id)
        try:
            return await self._fold(row, is_set_aside, payloads or not is_set_aside)
        except BaseException:
            quarantine.end_load(row.run_id)  # loading failed, but did not kill the process
            raise

    async def _fold(self, row: RunRow, is_set_aside: bool, payloads: bool) -> LiveRun:
        run_key = row.run_key
        if run_key in self._rejected:
            await self._journal.flush()  # events appended before the rejection belong to the run
        graph = await self._resources.catalog.graph(row.tenant, row.workflow_id, row.workflow_version)
        state = RunState(row.run_id, undoable=graph.undoable)
        if not payloads:  # except for the first event, which has the input and origin
            for first in await self._journal.read(run_key, 0, 1):
                evolve(state, first.event())
        size = await self._journal.catch_up(run_key, state, payloads=payloads)
        if row.finished_at is not None and state.end is None:
            raise RunNotFound(f"No run {row.run_id}.")  # it is being removed
        parent = None if row.parent_run_id is None else await self._runs.get(row.parent_run_id)
        # From here on other tasks see the run, so nothing is awaited until it is complete.
        parent_key = None if parent is None else parent.run_key
        live = self.create(graph, state, run_key=run_key, parent_key=parent_key)
        live.resume_after_load(size, is_set_aside=is_set_aside, rejected=self._rejected.pop(run_key, None))
        return live

    # --- unload --------------------------------------------------------------------------------------------

    def unload(self, live: LiveRun) -> None:
        """Remove an idle run from memory; the agenda knows when it is due."""
        if self._pins[live.run_key] or self.live.get(live.run_key) is not live:
            return
        del self.live[live.run_key]
        if live.state.end is None and not live.is_deferred and not self._resources.draining:
            self.idle.store(live)
        self._unloaded(live)
        self.left.set()

    def evict(self, live: LiveRun) -> None:
        """Remove a run after a failed commit. The disk has the true state, and the next process loads it."""
        if self.live.get(live.run_key) is live:
            log.error(
                "run %s: its events could not be stored; it is loaded after a restart", live.state.run_id
            )
            self._evict(live)

    def reject(self, error: Unstorable, turns: Sequence[Turn]) -> asyncio.Future[None]:
        """Remove runs with events that can never be stored, and load them again from disk.

        The run at fault then fails the step that caused those events. Return the failed commit.
        """
        commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        commit.set_exception(error)
        commit.exception()  # retrieved: it is logged here
        evicted = [turn for turn in turns if self.live.get(turn.live.run_key) is turn.live]
        if (turn := blamed(error, evicted)) is not None:
            self._rejected[turn.live.run_key] = rejected(error, turn.culprit)
            log.error("run %s: %s", turn.live.state.run_id, error.message, exc_info=error)
        for turn in evicted:
            self._evict(turn.live)
        for turn in turns:
            turn.live.reject(error, commit)
        run_keys = [turn.live.run_key for turn in evicted if is_stored(turn)]
        self._resources.tasks.spawn(self._reload(run_keys), "reload")
        return commit

    async def _reload(self, run_keys: Sequence[int]) -> None:
        # The run at fault comes first, so that the others see its failure when they are loaded.
        for run_key in sorted(run_keys, key=lambda key: key not in self._rejected):
            with suppress(RunNotFound, Unstorable):
                async with self.pinned(run_key):
                    pass

    def _evict(self, live: LiveRun) -> None:
        del self.live[live.run_key]
        self._resources.admission.remove(live.run_key)
        live.drop()
        live.performer.release_slot()
        self.left.set()

    def drop_all(self) -> None:
        """Abandon all live runs; their state on disk stays."""
        for live in list(self.live.values()):
            live.drop()
        self.live.clear()
        self.idle.clear()

    # --- all of them ---------------------------------------------------------------------------------------

    async def close_all(self, close: Callable[[LiveRun], None]) -> None:
        """Close something in all live runs, and wait until the changes are on disk."""
        with suppress(StorageUnavailable):
            for live in list(self.live.values()):
                close(live)
            for live in list(self.live.values()):
                await live.durable()

    def slots_of(self, tenant: str | None) -> int:
        """Return how many slots the runs of a tenant hold; None: of all."""
        if tenant is None:
            return self._resources.slots.used
        holders = (live for live in self.live.values() if live.performer.has_slot)
        return sum(live.origin.tenant == tenant for live in holders)

    def in_flight(self) -> list[Attempt]:
        """Return all attempts in flight."""
        return [attempt for live in self.live.values() for attempt in live.performer.attempts]
