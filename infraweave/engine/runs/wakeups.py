"""Loads runs that have something to do: when the process starts, when they are due, when resumed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from infraweave.core.run.facts import Recovered, TimerDue
from infraweave.engine.runs.alarm import Alarm
from infraweave.engine.runs.children import child_ended_fact
from infraweave.engine.runs.live_run import LiveRun
from infraweave.engine.runs.queued_runs import QueuedRuns
from infraweave.engine.runs.registry import RunRegistry
from infraweave.engine.runs.resources import RunResources
from infraweave.engine.runs.suspects import Suspects
from infraweave.engine.runs.turns import Turns
from infraweave.errors import RunNotFound, RunSetAside, StorageUnavailable
from infraweave.failpoints import reach
from infraweave.store.agenda import Agenda
from infraweave.store.journal import Journal, RunAppend
from infraweave.store.runs import RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord

log = logging.getLogger("infraweave.engine")

#: Runs that are loaded side by side.
LOADING = 16
#: No limit, in SQL.
ALL = -1
#: Milliseconds until the next attempt to load a due run that could not be loaded.
SOME_TIME = 60_000


class Wakeups:
    """The alarm of one engine, and what it wakes."""

    def __init__(
        self,
        resources: RunResources,
        registry: RunRegistry,
        queued: QueuedRuns,
        turns: Turns,
        suspects: Suspects,
        agenda: Agenda,
        journal: Journal,
        runs: Runs,
    ) -> None:
        self._resources, self._registry, self._queued, self._turns = resources, registry, queued, turns
        self._suspects, self._agenda, self._journal, self._runs = suspects, agenda, journal, runs
        self.alarm = Alarm(resources.clock, self._next_due, self._wake_due)
        #: Due times of runs for which the agenda has no time, mostly deferred runs.
        self._urgent: dict[int, int] = {}

    # --- the start of the process --------------------------------------------------------------------------

    async def recover(self) -> None:
        """Load the runs that an ended process had in flight, then enqueue queued runs."""
        # In one batch: otherwise the tenant that comes first in the file would come first, and queued runs
        # before loaded ones, which ask for slots once what they do next is on disk.
        resources = self._resources
        with resources.slots.batching():
            await self._suspects.find()
            urgent = await self._agenda.urgent()
            await self._each([key for key in urgent if key not in self._suspects], self._load)
            for live in list(self._registry.live.values()):
                await live.durable()
            # Suspects too: other runs must not overtake them.
            quarantine = resources.quarantine
            rows = [row for row in await self._runs.queued(ALL) if not quarantine.is_quarantined(row.run_id)]
            queued = [(row.run_key, await self._queued.request_for(row)) for row in rows]
            await resources.admission.prepare(wanted for _, wanted in queued)
            for run_key, wanted in queued:
                resources.admission.enqueue(run_key, wanted)

    async def load_suspects(self) -> None:
        """Load the suspects one by one, except those that are set aside."""
        for run_key in self._suspects.keys:
            row = await self._runs.get_by_key(run_key)
            if row is not None and self._resources.quarantine.is_quarantined(row.run_id):
                continue
            if row is not None:
                await self._load_suspect(row)
            withheld = self._suspects.clear(run_key)
            if row is not None and row.state == "queued":
                await self._each([run_key], self.wake)  # its time may have come meanwhile
            if withheld:
                self._queued.grant(run_key)

    async def _load_suspect(self, row: RunRow) -> None:
        said = "loading %s by itself, because %s processes in a row have died while they loaded it"
        log.warning(said, row.run_id, self._resources.quarantine.crashes(row.run_id))
        await self._each([row.run_key], self._load_quietly)
        live = self._registry.live.get(row.run_key)
        if live is not None and live.probation is not None:
            await live.probation.over.wait()

    async def _load(self, run_key: int) -> None:
        async with self._registry.pinned(run_key) as live:
            live.note_urgent()
            reach("recovery")

    async def _load_quietly(self, run_key: int) -> None:
        async with self._registry.pinned(run_key):
            reach("recovery")

    async def _each(self, run_keys: Sequence[int], act: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Act on runs side by side. A failure is logged and does not stop the others.

        Raises:
            StorageUnavailable: that stops all.
        """
        room = asyncio.Semaphore(LOADING)

        async def one(run_key: int) -> None:
            async with room:
                try:
                    await act(run_key)
                except RunNotFound:  # it ended and was removed since it was read
                    self._journal.remove_from_agenda(run_key)

        outcomes = await asyncio.gather(*(one(run_key) for run_key in run_keys), return_exceptions=True)
        for run_key, error in zip(run_keys, outcomes, strict=True):
            if isinstance(error, StorageUnavailable):
                raise error
            if error is not None and not isinstance(error, RunSetAside):  # which was logged
                log.error("the run with the key %s cannot be loaded", run_key, exc_info=error)

    # --- time ----------------------------------------------------------------------------------------------

    def unloaded(self, live: LiveRun) -> None:
        """Set the alarm for a run that has left memory."""
        due_at = live.next_due()
        if due_at is not None:
            if live.is_urgent:
                self._urgent[live.run_key] = due_at
            self.alarm.set(due_at)

    async def _wake_due(self, limit: int) -> int:
        now = self._resources.clock.now()
        run_keys = await self._agenda.due(now, limit)
        urgent = [run_key for run_key, due_at in self._urgent.items() if due_at <= now]
        for run_key in urgent:
            del self._urgent[run_key]
        await self._each([*run_keys, *urgent], self._wake_or_postpone)
        return len(run_keys)

    async def _next_due(self) -> int | None:
        stored = await self._agenda.next_due()
        return min((*self._urgent.values(), *(() if stored is None else (stored,))), default=None)

    async def _wake_or_postpone(self, run_key: int) -> None:
        try:
            await self.wake(run_key)
        except (RunNotFound, StorageUnavailable):
            raise
        except Exception:
            # At once: whoever loads the run meanwhile writes its time after this, and not before.
            postponed = self._resources.clock.now() + SOME_TIME
            self._journal.append([RunAppend(run_key, "", (), postponed)])
            raise

    async def wake(self, run_key: int) -> None:
        """Load a run and continue what is due.

        Raises:
            RunNotFound: there is no such run.
            RunSetAside: the run must not be loaded, or not yet.
            StorageUnavailable, Unstorable: the next events cannot be stored.
        """
        if run_key in self._suspects:
            raise RunSetAside
        async with self._registry.pinned(run_key) as live:
            live.apply(TimerDue())
            if live.state.state == "queued" and (live.origin.start_at or 0) <= self._resources.clock.now():
                await self._queued.enqueue(run_key)
            await live.durable()

    async def resume(self, live: LiveRun, record: AuditRecord | None = None) -> None:
        """Continue a run that was set aside, and tell it which children have ended meanwhile.

        ``record`` is the audit row of the act.

        Raises:
            StorageUnavailable, Unstorable: the next events cannot be stored.
        """
        live.released()
        self._turns.apply(live, Recovered(), record=record)
        for entry in [entry for entry in live.state.entries.values() if entry.child_run_id is not None]:
            row = await self._runs.get(entry.child_run_id or "")
            if row is None or row.finished_at is None:
                continue
            state = await self._journal.fold(row.run_key, row.run_id)
            live.apply(child_ended_fact(state, entry.address, entry.attempt))
        if live.state.state == "queued":  # it was not enqueued so far
            self._resources.tasks.spawn(self.wake(live.run_key), f"enqueue {live.run_key}")
