"""Schedules: list, make, change, pause, resume, trigger, delete.

A schedule's id tells its workflow, so the grant on that is asked for before the schedule is looked for.
"""

from __future__ import annotations

from typing import Any

from attrs import fields, frozen

from infraweave.api.http.routing import Answer, Call, NoQuery, veiled
from infraweave.api.runs import presenters
from infraweave.api.runs.starts import idempotency_key
from infraweave.api.triggers.schemas import (
    ChangeSchedule,
    CreateSchedule,
    ScheduleAcknowledged,
    ScheduleList,
    ScheduleQuery,
    ScheduleShown,
)
from infraweave.core.access import allows
from infraweave.core.data.values import format_duration_exactly, rfc3339, to_seconds
from infraweave.core.workflow.triggers import Schedule
from infraweave.engine.engine import Engine
from infraweave.errors import DefinitionInvalid, Fault, InputInvalid, MalformedRequest
from infraweave.store.schedules import ScheduleRow

#: Next times that are shown.
_SHOWN = 5


@frozen(eq=False)
class ScheduleRoutes:
    """The handlers of schedules."""

    _engine: Engine

    async def list(self, call: Call[ScheduleQuery, None]) -> Answer:
        """List the schedules of workflows that the principal may read."""
        who = call.principal
        rows = await self._engine.scheduler.schedules.list(who.tenant, call.query.workflow_id)
        shown = [self._shown(row) for row in rows if allows(who, "read", f"workflow:{row.workflow_id}")]
        return Answer(ScheduleList(schedules=tuple(shown)))

    async def create(self, call: Call[NoQuery, CreateSchedule]) -> Answer:
        """Make a schedule."""
        body = call.body
        schedule = _schedule(body.name, body)
        call.record.detail = f"schedule {body.name}"
        row = await self._engine.scheduler.create(
            call.principal.tenant, body.workflow_id, schedule, call.record
        )
        return Answer(self._shown(row), 201, {"Location": f"/v1/schedules/{row.schedule_id}"})

    async def show(self, call: Call[NoQuery, None]) -> Answer:
        """Show a schedule and its next times."""
        return Answer(self._shown(await self._row(call)))

    async def change(self, call: Call[NoQuery, ChangeSchedule]) -> Answer:
        """Let a schedule be another from now on; its runs and its name stay."""
        row = await self._row(call)
        schedule = _schedule(row.schedule.name, call.body)
        return self._acted(call, await self._engine.scheduler.replace(*row.key, schedule, call.record))

    async def pause(self, call: Call[NoQuery, None]) -> Answer:
        """Let a schedule start nothing until it is resumed."""
        return self._acted(call, await self._engine.scheduler.pause(*_key(call), call.record))

    async def resume(self, call: Call[NoQuery, None]) -> Answer:
        """Let a schedule go on from now."""
        return self._acted(call, await self._engine.scheduler.resume(*_key(call), call.record))

    async def trigger(self, call: Call[NoQuery, None]) -> Answer:
        """Start a run of a schedule now."""
        row, key = await self._row(call), idempotency_key(call.headers)
        with veiled(call, row.workflow_id, InputInvalid, DefinitionInvalid):
            done = await self._engine.scheduler.trigger(row, call.principal, call.record, key)
        headers = {"Location": f"/v1/runs/{done.run.run_id}"}
        if done.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Answer(presenters.started(done.run), 200 if done.replayed else 201, headers)

    async def delete(self, call: Call[NoQuery, None]) -> Answer:
        """Forget a schedule; its runs stay."""
        await self._engine.scheduler.delete(*_key(call), call.record)
        return Answer(status=204)

    async def _row(self, call: Call[Any, Any]) -> ScheduleRow:
        return await self._engine.scheduler.schedules.get(*_key(call))

    def _acted(self, call: Call[Any, Any], row: ScheduleRow) -> Answer:
        if call.may_read(row.workflow_id):
            return Answer(self._shown(row))
        return Answer(ScheduleAcknowledged(schedule_id=row.schedule_id, paused=row.paused))

    def _shown(self, row: ScheduleRow) -> ScheduleShown:
        schedule = row.schedule
        same = ("name", "cron", "timezone", "anchor", "input", "catch_up", "overlap")
        return ScheduleShown(
            schedule_id=row.schedule_id,
            workflow_id=row.workflow_id,
            declared_in=row.declared_in,
            every=None if schedule.every is None else format_duration_exactly(schedule.every),
            paused=row.paused,
            next_fire_times=tuple(map(rfc3339, self._engine.scheduler.upcoming(row, _SHOWN))),
            last_fire_time=presenters.time(row.last_at),
            last_run_id=row.last_run_id,
            last_error=row.last_error,
            waiting=len(row.waiting),
            skipped=row.skipped,
            **{name: getattr(schedule, name) for name in same},
        )


def _key(call: Call[Any, Any]) -> tuple[str, str]:
    return call.principal.tenant, call.path["schedule_id"]


def _schedule(name: str, body: ChangeSchedule) -> Schedule:
    given = {field.name: getattr(body, field.name) for field in fields(ChangeSchedule)}
    return Schedule(**{**given, "name": name, "every": duration("every", body.every)})


def duration(field: str, text: str | None) -> float | None:
    """Return the seconds of a body's field.

    Raises:
        MalformedRequest: it is no duration.
    """
    if text is None:
        return None
    try:
        return to_seconds(text)
    except ValueError as error:
        raise MalformedRequest(f"{field}: {error}.", details=[Fault(f"/{field}", str(error))]) from error
