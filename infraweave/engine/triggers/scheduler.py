"""The scheduler: starts runs when their schedules say so. One timer, for the earliest next time of all.

When the timer rings, every time that has come is taken off at once and the timer is set anew; noting and
starting follow in a task per schedule. Noting moves the schedule on and lines the time up in one commit, and
a run's idempotency key is made of its schedule and its time, so whenever the process dies, each time that was
not missed makes exactly one run. After a downtime the first ring finds the old times and asks the schedule's
policy.

A clock that was wrongly ahead has let times come, and passed others over. Once it is right again, the next
time is the first by the right clock, and what waits early is taken out of the line: each comes again in its
time, and the key lets none make a second run.
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

from attrs import define, evolve, field, frozen

from infraweave.core.access import Principal
from infraweave.core.data.template import TemplateError
from infraweave.core.data.values import rfc3339
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

#: Seconds until a start is tried again that found the queue of runs full.
FULL = 5.0


@frozen
class DueBatch:
    """Times that have come of a schedule whose next time was ``expected``."""

    expected: int | None
    times: tuple[int, ...]
    next_at: int | None
    #: The clock was set back to this time: what waits for a later one has not come yet.
    set_back: int | None = None


@define(eq=False)
class ScheduleState:
    """A schedule in memory: how far the table has come, and what it has not been told yet."""

    row: ScheduleRow
    next_at: int | None = None
    come: deque[DueBatch] = field(factory=deque)
    #: What sees to it now; once more if ``again``.
    task: asyncio.Task[None] | None = None
    again: bool = False
    #: Runs whose end is waited for.
    watched: set[str] = field(factory=set)


class Scheduler:
    """The schedules of all tenants, and what may be asked of them."""

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
        #: Next times, the earliest first; one that is no plan's ``next_at`` any more does not count.
        self._times: list[tuple[int, tuple[str, str]]] = []
        self._timer: TimerHandle | None = None
        #: When it was last looked at the clock, by this one and by the one that nobody sets.
        self._looked = (self._clock.now(), self._clock.elapsed())
        self._closed = not enabled

    async def begin(self) -> None:
        """Take up all schedules, and from now on those of versions that become active."""
        rows = await self.schedules.list()
        for row in rows:
            self._keep(await self._with_its_run(row))
        for tenant, workflow_id in sorted({(row.tenant, row.workflow_id) for row in rows if not row.paused}):
            await self._tell_missing_code(tenant, workflow_id)
        self._ring()

    async def _tell_missing_code(self, tenant: str, workflow_id: str) -> None:
        """Say so where a schedule starts runs that will wait: its file may have been removed, or renamed."""
        if missing := await self._service.missing_code(tenant, workflow_id):
            told = "schedules of %s (tenant %s) start runs that wait, for no code is loaded for %s"
            log.warning(told, workflow_id, tenant, ", ".join(missing))

    async def _with_its_run(self, row: ScheduleRow) -> ScheduleRow:
        """Return a row that knows the run of its first waiting time, if the process died before it did.

        Or the next time, which may take the place of that one, would know of no run to wait for or to cancel.
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
        """Start nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    # --- what may be asked ---------------------------------------------------------------------------------

    async def create(
        self, tenant: str, workflow_id: str, schedule: Schedule, record: AuditRecord | None = None
    ) -> ScheduleRow:
        """Make a schedule.

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
        # A declared one is refused for that, whatever its input is.
        first = await self._checked(tenant, None if row.declared_in else row.workflow_id, schedule)
        return self._changed(await self.schedules.replace(tenant, schedule_id, schedule, first, record))

    async def pause(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> ScheduleRow:
        """Pause a schedule, which also forgets what waits; its open runs go on.

        Raises:
            ScheduleNotFound: there is none.
        """
        self._service.check_accepting()
        return self._changed(await self.schedules.pause(tenant, schedule_id, record))

    async def resume(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> ScheduleRow:
        """Let a schedule go on from now: what it missed meanwhile is not made up for.

        Raises:
            ScheduleNotFound: there is none.
        """
        self._service.check_accepting()
        return self._changed(await self.schedules.resume(tenant, schedule_id, self._first, record))

    async def delete(self, tenant: str, schedule_id: str, record: AuditRecord | None = None) -> None:
        """Forget a schedule; its runs stay.

        Raises:
            ScheduleNotFound, ScheduleDeclared: see ``Schedules.delete``.
        """
        self._service.check_accepting()
        await self.schedules.delete(tenant, schedule_id, record)
        self._states.pop((tenant, schedule_id), None)

    def upcoming(self, row: ScheduleRow, most: int) -> list[int]:
        """Return the next times of a schedule; none while it is paused."""
        state = self._states.get(row.key)
        if state is None or state.next_at is None:
            return []
        return list(islice(schedules.fire_times(state.row.schedule, state.next_at - 1), most))

    async def trigger(
        self, row: ScheduleRow, by: Principal, record: AuditRecord | None = None, key: str | None = None
    ) -> Started:
        """Start a run of a schedule now, paused or not, and whether or not one is open; once per ``key``.

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
            self._told(row.key, settled)
        return started

    def _first(self, schedule: Schedule) -> int | None:
        return schedules.next_fire(schedule, self._clock.now())

    async def _checked(self, tenant: str, workflow_id: str | None, schedule: Schedule) -> int | None:
        """Return the first time of a schedule that has no faults, and whose input the workflow takes."""
        self._service.check_accepting()
        faults = list(schedules.faults(schedule))
        if faults:
            raise DefinitionInvalid(f"The schedule is not valid: {faults[0].message}.", details=faults)
        if workflow_id is not None:
            await self._service.check_input(tenant, workflow_id, schedules.sample_input(schedule))
        return self._first(schedule)

    def _changed(self, row: ScheduleRow) -> ScheduleRow:
        self._keep(row)
        self._ring()
        return row

    async def refresh(self, tenant: str, workflow_id: str) -> None:
        """Take up the schedules of a workflow as they are in the table now."""
        rows = {row.key: row for row in await self.schedules.list(tenant, workflow_id)}
        for key, state in list(self._states.items()):
            if (key[0], state.row.workflow_id) == (tenant, workflow_id) and key not in rows:
                del self._states[key]
        for row in rows.values():
            self._keep(row)
        self._ring()

    async def settled(self) -> None:
        """Wait until all times that have come are written down, and their runs started or in line."""
        while tasks := [state.task for state in self._states.values() if state.task is not None]:
            await asyncio.wait(tasks)

    # --- time ----------------------------------------------------------------------------------------------

    def _keep(self, row: ScheduleRow) -> None:
        """Have a schedule in memory as it is in the table; times of which that knows nothing yet stay."""
        state = self._states.setdefault(row.key, ScheduleState(row))
        state.row = row
        if row.paused or row.next_at is None or not state.come or state.come[0].expected != row.next_at:
            state.come.clear()
            state.next_at = self._first_time(state)
            self._line_up(state)
        self._wake(state)

    def _first_time(self, state: ScheduleState) -> int | None:
        """Return the next time of a schedule; one that the table lacks is counted from now and put there."""
        row = state.row
        if row.paused:
            return None
        if wrong := list(schedules.faults(row.schedule)):  # a time zone that this machine does not know
            log.error(
                "schedule %s of tenant %s does not run: %s", row.schedule_id, row.tenant, wrong[0].message
            )
            return None
        first, now = self._first(row.schedule), self._clock.now()
        if row.next_at is None:
            state.come.append(DueBatch(None, (), first))
        elif _is_too_late(row.next_at, first):
            state.come.append(DueBatch(row.next_at, (), first, set_back=now))
        else:
            return row.next_at
        return first

    def _line_up(self, state: ScheduleState) -> None:
        if state.next_at is not None:
            heapq.heappush(self._times, (state.next_at, state.row.key))

    def _ring(self) -> None:
        """Take off every time that has come, and set the timer for the next one."""
        if self._closed:
            return
        now = self._clock.now()
        self._look_back(now)
        while self._times and self._times[0][0] <= now:
            at, key = heapq.heappop(self._times)
            state = self._states.get(key)
            if state is not None and state.next_at == at:
                self._has_come(state, at, now)
        if self._timer is not None:
            self._timer.cancel()
        if self._times:
            self._timer = self._clock.call_later(self._clock.until(self._times[0][0]), self._ring)

    def _look_back(self, now: int) -> None:
        """Have no schedule wait for a time of a clock that was ahead and was set back since the last look."""
        before, looked = self._looked
        self._looked = now, self._clock.elapsed()
        if now >= before:
            return
        since = now - round((self._looked[1] - looked) * 1000)
        for state in self._states.values():
            first = None if state.next_at is None else schedules.next_fire(state.row.schedule, since)
            if state.next_at is not None and _is_too_late(state.next_at, first):
                state.come.append(DueBatch(state.next_at, (), first, set_back=now))
                state.next_at = first
                self._line_up(state)
                self._wake(state)

    def _has_come(self, state: ScheduleState, at: int, now: int) -> None:
        due = schedules.due_times(state.row.schedule, at, now)
        state.come.append(DueBatch(at, due.times, due.next_at))
        state.next_at = due.next_at
        self._line_up(state)
        self._wake(state)

    # --- work ----------------------------------------------------------------------------------------------

    def _wake(self, state: ScheduleState) -> None:
        """See to a schedule, in one task at a time."""
        state.again = True
        if state.task is None and not self._closed:
            name = f"schedule {state.row.schedule_id}"
            state.task = self._spawn(self._work(state), name)

    async def _work(self, state: ScheduleState) -> None:
        try:
            while state.again and not self._closed:
                state.again = False
                await self._note(state)
                await self._start_waiting(state)
        except Draining:
            pass  # what is lined up is in the table, and the next start of the server goes on with it
        finally:
            state.task = None

    async def _note(self, state: ScheduleState) -> None:
        """Write down the times that have come, and start what may start before the next one is looked at."""
        while state.come:
            come = state.come[0]
            known, ended = state.row, await self._ended(state.row)
            row = await self.schedules.record_due(
                known, come.expected, come.times, come.next_at, ended=ended, set_back=come.set_back
            )
            if row is None:
                await self.refresh(known.tenant, known.workflow_id)
                return
            if state.come and state.come[0] is come:
                state.come.popleft()
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
        """Start the run of a time, all runs before it having ended; False: not now."""
        row, run_id, said = state.row, None, None
        try:
            run_id = (
                await self._service.start(
                    scheduled_start(row, at, by=f"schedule:{row.schedule.name}", once=True)
                )
            ).run.run_id
        except Capacity:
            self._clock.call_later(FULL, partial(self._wake, state))
            return False
        except (Draining, StorageUnavailable):
            raise
        except (RequestError, TemplateError) as error:
            said = str(error)
            told = "schedule %s of tenant %s made no run for %s: %s"
            log.warning(told, row.schedule_id, row.tenant, rfc3339(at), said)
        self._told(
            row.key,
            await self.schedules.record_outcome(row.key, at, run_id=run_id, error=said, ended=row.running),
        )
        return True

    def _told(self, key: tuple[str, str], row: ScheduleRow | None) -> None:
        """Have in memory what the table says now; without a row, nothing."""
        state = self._states.get(key)
        if row is None:
            self._states.pop(key, None)
        elif state is not None:
            state.row = row


def _is_too_late(next_at: int, first: int | None) -> bool:
    """Tell whether a schedule waits for a time though an earlier one comes first."""
    return first is not None and first < next_at
