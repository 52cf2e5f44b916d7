"""The scheduler: starts the runs of schedules, with one timer for the earliest due time of all.

When the timer fires, all due times are collected at once and the timer is set again. A task for each schedule
then records them and starts runs. Recording moves the schedule on and queues the due times in one commit. The
idempotency key of a run is made of its schedule and its time. So each due time makes exactly one run,
whenever the process dies. After a downtime the first timer finds the old times, and the schedule's policy
decides.

A clock that was wrongly ahead has made times due too early and skipped others. Once it is set back, the next
time is the first one by the corrected clock, and times that are queued too early are removed: each becomes
due again in its time, and its key prevents a second run.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import islice
from typing import Any

from attrs import evolve, field

from infraweave.core.access import Principal
from infraweave.core.data.template import TemplateError
from infraweave.core.data.values import rfc3339
from infraweave.core.records import define, frozen
from infraweave.core.workflow import schedules
from infraweave.core.workflow.triggers import Schedule
from infraweave.engine.clock import TimerHandle
from infraweave.engine.runs.requests import Started
from infraweave.engine.runs.service import RunService
from infraweave.engine.triggers.scheduled_start import idempotency_key_of, scheduled_start
from infraweave.errors import Capacity, DefinitionInvalid, Draining, RequestError, StorageUnavailable
from infraweave.store.runs import RunRow, Runs
from infraweave.store.schedules import ScheduleRow, Schedules
from infraweave.store.sqlite.audit_record import AuditRecord

log = logging.getLogger("infraweave.engine")

#: Seconds until a start is tried again after the queue of runs was full.
RETRY_DELAY = 5.0


@frozen
class DueBatch:
    """Due times of a schedule whose next time in the table is ``expected``."""

    expected: int | None
    times: tuple[int, ...]
    next_at: int | None
    #: The clock was set back to this time: later queued times are not due yet.
    set_back: int | None = None


@define(eq=False)
class ScheduleState:
    """A schedule in memory: its row, and the due times that are not recorded in it yet."""

    row: ScheduleRow
    next_at: int | None = None
    due: deque[DueBatch] = field(factory=deque)
    #: Records and starts; repeats if ``again``.
    task: asyncio.Task[None] | None = None
    again: bool = False
    #: Runs whose end is awaited.
    watched: set[str] = field(factory=set)


class Scheduler:
    """The schedules of all tenants."""

    def __init__(
        self,
        service: RunService,
        schedules: Schedules,
        runs: Runs,
        *,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        enabled: bool,
    ) -> None:
        self._service, self._clock, self._runs = service, service.clock, runs
        self._spawn, self.schedules = spawn, schedules
        self._states: dict[tuple[str, str], ScheduleState] = {}
        #: A heap of next times; one that is not the state's ``next_at`` any more is ignored.
        self._times: list[tuple[int, tuple[str, str]]] = []
        self._timer: TimerHandle | None = None
        #: The last reading of the clock, and of the monotonic clock.
        self._last_reading = (self._clock.now(), self._clock.elapsed())
        self._closed = not enabled

    async def begin(self) -> None:
        """Load all schedules and start the timer."""
        rows = await self.schedules.list()
        for row in rows:
            self._load(await self._with_its_run(row))
        for tenant, workflow_id in sorted({(row.tenant, row.workflow_id) for row in rows if not row.paused}):
            await self._warn_missing_code(tenant, workflow_id)
        self._collect_due()

    async def _warn_missing_code(self, tenant: str, workflow_id: str) -> None:
        """Warn of schedules whose runs will wait for code: its file may have been removed or renamed."""
        if missing := await self._service.missing_code(tenant, workflow_id):
            message = "schedules of %s (tenant %s) start runs that wait, for no code is loaded for %s"
            log.warning(message, workflow_id, tenant, ", ".join(missing))

    async def _with_its_run(self, row: ScheduleRow) -> ScheduleRow:
        """Record the run of the first queued time, if the process died before that; return the row.

        Otherwise the next time would know of no run to wait for or to cancel.
        """
        if self._closed or not row.waiting:
            return row
        at = row.waiting[0]
        run = await self._runs.by_idempotency_key(row.tenant, idempotency_key_of(row, at))
        if run is None:
            return row
        settled = await self.schedules.record_outcome(
            row.key, at, run_id=run.run_id, ended=await self._ended(row)
        )
        return settled or row

    def close(self) -> None:
        """Start no more runs."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    # --- requests ------------------------------------------------------------------------------------------

    async def create(
        self, tenant: str, workflow_id: str, schedule: Schedule, record: AuditRecord | None = None
    ) -> ScheduleRow:
        """Create a schedule.

        Raises:
            DefinitionInvalid: it has faults.
            InputInvalid: the workflow's active version does not take its input.
            WorkflowNotFound, ScheduleConflict: see ``Schedules.create``.
        """
        first = await self._checked(tenant, workflow_id, schedule)
        return self._changed(await self.schedules.create(tenant, workflow_id, schedule, first, record))

    async def replace(
        self, tenant: str, schedule_id: str, schedule: Schedule, record: AuditRecord | None = None
    ) -> ScheduleRow:
        """Change a schedule.

        Raises:
            DefinitionInvalid: it has faults.
            InputInvalid: the workflow's active version does not take its input.
            ScheduleNotFound, ScheduleDeclared: see ``Schedules.replace``.
        """
        row = await self.schedules.get(tenant, schedule_id)
        # A declared schedule is refused as such, whatever its input is.
        first = await self._checked(tenant, None if row.declared_in else row.workflow_id, schedule)
        return self._changed(await self.schedules.replace(tenant, schedule_id, schedule, first, record))

    async def pause(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> ScheduleRow:
        """Pause a schedule and drop its queued times; its open runs continue.

        Raises:
            ScheduleNotFound: there is none.
        """
        self._service.check_accepting()
        return self._changed(await self.schedules.pause(tenant, schedule_id, record))

    async def resume(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> ScheduleRow:
        """Continue a schedule from now; the times that it missed are not made up for.

        Raises:
            ScheduleNotFound: there is none.
        """
        self._service.check_accepting()
        return self._changed(await self.schedules.resume(tenant, schedule_id, self._next_fire, record))

    async def delete(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> None:
        """Delete a schedule; its runs stay.

        Raises:
            ScheduleNotFound, ScheduleDeclared: see ``Schedules.delete``.
        """
        self._service.check_accepting()
        await self.schedules.delete(tenant, schedule_id, record)
        self._states.pop((tenant, schedule_id), None)

    def upcoming(self, row: ScheduleRow, limit: int) -> list[int]:
        """Return up to ``limit`` next times of a schedule (Unix ms); none while it is paused."""
        state = self._states.get(row.key)
        if state is None or state.next_at is None:
            return []
        return list(islice(schedules.fire_times(state.row.schedule, state.next_at - 1), limit))

    async def trigger(
        self, row: ScheduleRow, by: Principal, record: AuditRecord | None = None, key: str | None = None
    ) -> Started:
        """Start a run of a schedule now, even if it is paused or a run is open; once per ``key``.

        Raises:
            DefinitionInvalid: its input cannot be made.
            RequestError: see ``RunService.start``.
        """
        now = self._clock.now()
        try:
            request = evolve(scheduled_start(row, now, by=by.name), record=record, idempotency_key=key)
            started = await self._service.start(evolve(request, body_digest=key and row.schedule_id))
        except TemplateError as error:
            raise DefinitionInvalid(f"The schedule's input cannot be made: {error}") from error
        if not started.replayed:
            run_id, ended = started.run.run_id, await self._ended(row)
            settled = await self.schedules.record_outcome(
                row.key, now, run_id=run_id, ended=ended, in_line=False
            )
            self._update(row.key, settled)
        return started

    def _next_fire(self, schedule: Schedule) -> int | None:
        return schedules.next_fire(schedule, self._clock.now())

    async def _checked(self, tenant: str, workflow_id: str | None, schedule: Schedule) -> int | None:
        """Check a schedule and its input; return its first time."""
        self._service.check_accepting()
        faults = list(schedules.faults(schedule))
        if faults:
            raise DefinitionInvalid(f"The schedule is not valid: {faults[0].message}.", details=faults)
        if workflow_id is not None:
            await self._service.check_input(tenant, workflow_id, schedules.sample_input(schedule))
        return self._next_fire(schedule)

    def _changed(self, row: ScheduleRow) -> ScheduleRow:
        self._load(row)
        self._collect_due()
        return row

    async def refresh(self, tenant: str, workflow_id: str) -> None:
        """Reload the schedules of a workflow from the table."""
        rows = {row.key: row for row in await self.schedules.list(tenant, workflow_id)}
        for key, state in list(self._states.items()):
            if (key[0], state.row.workflow_id) == (tenant, workflow_id) and key not in rows:
                del self._states[key]
        for row in rows.values():
            self._load(row)
        self._collect_due()

    async def settled(self) -> None:
        """Wait until all due times are recorded, and their runs are started or queued."""
        while tasks := [state.task for state in self._states.values() if state.task is not None]:
            await asyncio.wait(tasks)

    # --- time ----------------------------------------------------------------------------------------------

    def _load(self, row: ScheduleRow) -> None:
        """Update a schedule in memory from the table, and keep due times that are not recorded yet."""
        state = self._states.setdefault(row.key, ScheduleState(row))
        state.row = row
        if row.paused or row.next_at is None or not state.due or state.due[0].expected != row.next_at:
            state.due.clear()
            state.next_at = self._next_time(state)
            self._push(state)
        self._wake(state)

    def _next_time(self, state: ScheduleState) -> int | None:
        """Return the next time of a schedule; if the table has none, record the next from now."""
        row = state.row
        if row.paused:
            return None
        if faults := list(schedules.faults(row.schedule)):  # a time zone that this machine does not know
            log.error(
                "schedule %s of tenant %s does not run: %s", row.schedule_id, row.tenant, faults[0].message
            )
            return None
        first, now = self._next_fire(row.schedule), self._clock.now()
        if row.next_at is None:
            state.due.append(DueBatch(None, (), first))
        elif _is_too_late(row.next_at, first):
            state.due.append(DueBatch(row.next_at, (), first, set_back=now))
        else:
            return row.next_at
        return first

    def _push(self, state: ScheduleState) -> None:
        if state.next_at is not None:
            heapq.heappush(self._times, (state.next_at, state.row.key))

    def _collect_due(self) -> None:
        """Collect all due times, and set the timer for the next one."""
        if self._closed:
            return
        now = self._clock.now()
        self._check_clock(now)
        while self._times and self._times[0][0] <= now:
            at, key = heapq.heappop(self._times)
            state = self._states.get(key)
            if state is not None and state.next_at == at:
                self._add_due(state, at, now)
        if self._timer is not None:
            self._timer.cancel()
        if self._times:
            self._timer = self._clock.call_later(self._clock.until(self._times[0][0]), self._collect_due)

    def _check_clock(self, now: int) -> None:
        """Recompute the next times if a clock that was ahead was set back since the last reading."""
        before, looked = self._last_reading
        self._last_reading = now, self._clock.elapsed()
        if now >= before:
            return
        since = now - round((self._last_reading[1] - looked) * 1000)
        for state in self._states.values():
            first = None if state.next_at is None else schedules.next_fire(state.row.schedule, since)
            if state.next_at is not None and _is_too_late(state.next_at, first):
                state.due.append(DueBatch(state.next_at, (), first, set_back=now))
                state.next_at = first
                self._push(state)
                self._wake(state)

    def _add_due(self, state: ScheduleState, at: int, now: int) -> None:
        due = schedules.due_times(state.row.schedule, at, now)
        state.due.append(DueBatch(at, due.times, due.next_at))
        state.next_at = due.next_at
        self._push(state)
        self._wake(state)

    # --- work ----------------------------------------------------------------------------------------------

    def _wake(self, state: ScheduleState) -> None:
        """Work on a schedule, in one task at a time."""
        state.again = True
        if state.task is None and not self._closed:
            name = f"schedule {state.row.schedule_id}"
            state.task = self._spawn(self._work(state), name)

    async def _work(self, state: ScheduleState) -> None:
        try:
            while state.again and not self._closed:
                state.again = False
                await self._record_due(state)
                await self._start_waiting(state)
        except Draining:
            pass  # queued times are in the table, and the next start of the server continues with them
        finally:
            state.task = None

    async def _record_due(self, state: ScheduleState) -> None:
        """Record the due times; after each batch, start the runs that may start."""
        while state.due:
            batch = state.due[0]
            known, ended = state.row, await self._ended(state.row)
            row = await self.schedules.record_due(
                known, batch.expected, batch.times, batch.next_at, ended=ended, set_back=batch.set_back
            )
            if row is None:
                await self.refresh(known.tenant, known.workflow_id)
                return
            if state.due and state.due[0] is batch:
                state.due.popleft()
            state.row = row
            await self._start_waiting(state)

    async def _start_waiting(self, state: ScheduleState) -> None:
        while state.row.waiting and not state.row.paused and self._states.get(state.row.key) is state:
            row = state.row
            runs = [run for run_id in row.running if (run := await self._open_run(run_id))]
            if state.row is not row:
                continue  # it was paused or changed meanwhile
            if runs:
                await self._await_ends(state, runs)
            if runs or not await self._start(state, row.waiting[0]):
                return

    async def _ended(self, row: ScheduleRow) -> list[str]:
        return [run_id for run_id in row.running if await self._open_run(run_id) is None]

    async def _open_run(self, run_id: str) -> RunRow | None:
        run = await self._runs.get(run_id)
        return None if run is None or run.finished_at is not None else run

    async def _await_ends(self, state: ScheduleState, runs: list[RunRow]) -> None:
        name = state.row.schedule.name
        for run in runs:
            if state.row.schedule.overlap == "cancel_running" and not run.cancel_requested:
                await self._service.cancel(
                    run, by=f"schedule:{name}", reason="its schedule's next time has come"
                )
            if run.run_id not in state.watched:
                state.watched.add(run.run_id)
                self._spawn(self._watch(state, run), f"end of {run.run_id}")

    async def _watch(self, state: ScheduleState, run: RunRow) -> None:
        try:
            ended = await self._service.wait_end(run.run_key)
        finally:
            state.watched.discard(run.run_id)
        if ended:
            self._wake(state)

    async def _start(self, state: ScheduleState, at: int) -> bool:
        """Start the run of a time, all earlier ones having ended; return False to try again later."""
        row, run_id, reason = state.row, None, None
        try:
            run_id = (
                await self._service.start(
                    scheduled_start(row, at, by=f"schedule:{row.schedule.name}", once=True)
                )
            ).run.run_id
        except Capacity:
            self._clock.call_later(RETRY_DELAY, partial(self._wake, state))
            return False
        except (Draining, StorageUnavailable):
            raise
        except (RequestError, TemplateError) as error:
            reason = str(error)
            message = "schedule %s of tenant %s made no run for %s: %s"
            log.warning(message, row.schedule_id, row.tenant, rfc3339(at), reason)
        self._update(
            row.key,
            await self.schedules.record_outcome(row.key, at, run_id=run_id, error=reason, ended=row.running),
        )
        return True

    def _update(self, key: tuple[str, str], row: ScheduleRow | None) -> None:
        """Update a schedule in memory from its row; drop it if there is none."""
        state = self._states.get(key)
        if row is None:
            self._states.pop(key, None)
        elif state is not None:
            state.row = row


def _is_too_late(next_at: int, first: int | None) -> bool:
    """Tell whether a schedule waits for ``next_at`` although ``first`` is earlier."""
    return first is not None and first < next_at
