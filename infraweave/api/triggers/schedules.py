"""Handlers of schedules: list, create, change, pause, resume, trigger, delete.

The id of a schedule names its workflow, so the grant is checked before the schedule is looked up.
"""

from __future__ import annotations

from typing import Any

from attrs import fields

from infraweave.api.http.fields import present
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery, hide_details
from infraweave.api.runs.starts import idempotency_key, started
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
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.triggers import Schedule
from infraweave.engine.engine import Engine
from infraweave.errors import DefinitionInvalid, Fault, InputInvalid, MalformedRequest
from infraweave.store.schedules import ScheduleRow

#: Next times in a response.
_SHOWN = 5
#: Fields with the same value in the schedule and in the response.
_SAME = ("name", "cron", "timezone", "anchor", "input", "catch_up", "overlap")


@frozen(eq=False)
class ScheduleHandlers:
    """The handlers of schedules."""

    _engine: Engine

    async def list(self, request: ApiRequest[ScheduleQuery, None]) -> ApiResponse:
        """List the schedules of workflows that the principal may read."""
        who = request.principal
        rows = await self._engine.scheduler.schedules.list(who.tenant, request.query.workflow_id)
        shown = [self._shown(row) for row in rows if allows(who, "read", f"workflow:{row.workflow_id}")]
        return ApiResponse(ScheduleList(schedules=tuple(shown)))

    async def create(self, request: ApiRequest[NoQuery, CreateSchedule]) -> ApiResponse:
        """Create a schedule."""
        body = request.body
        schedule = _schedule(body.name, body)
        request.record.detail = f"schedule {body.name}"
        row = await self._engine.scheduler.create(
            request.principal.tenant, body.workflow_id, schedule, request.record
        )
        return ApiResponse(self._shown(row), 201, {"Location": f"/v1/schedules/{row.schedule_id}"})

    async def show(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Show a schedule and its next times."""
        return ApiResponse(self._shown(await self._row(request)))

    async def change(self, request: ApiRequest[NoQuery, ChangeSchedule]) -> ApiResponse:
        """Replace a schedule that was created through the API; its runs and its name remain."""
        row = await self._row(request)
        schedule = _schedule(row.schedule.name, request.body)
        return self._acted(request, await self._engine.scheduler.replace(*row.key, schedule, request.record))

    async def pause(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Pause a schedule; waiting times are dropped."""
        return self._acted(request, await self._engine.scheduler.pause(*_key(request), request.record))

    async def resume(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Resume a schedule from now on."""
        return self._acted(request, await self._engine.scheduler.resume(*_key(request), request.record))

    async def trigger(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Start a run of a schedule now."""
        row, key = await self._row(request), idempotency_key(request.headers)
        with hide_details(request, row.workflow_id, InputInvalid, DefinitionInvalid):
            done = await self._engine.scheduler.trigger(row, request.principal, request.record, key)
        return started(done)

    async def delete(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Delete a schedule that was created through the API; its runs remain."""
        await self._engine.scheduler.delete(*_key(request), request.record)
        return ApiResponse(status=204)

    async def _row(self, request: ApiRequest[Any, Any]) -> ScheduleRow:
        return await self._engine.scheduler.schedules.get(*_key(request))

    def _acted(self, request: ApiRequest[Any, Any], row: ScheduleRow) -> ApiResponse:
        if request.may_read(row.workflow_id):
            return ApiResponse(self._shown(row))
        return ApiResponse(ScheduleAcknowledged(schedule_id=row.schedule_id, paused=row.paused))

    def _shown(self, row: ScheduleRow) -> ScheduleShown:
        schedule = row.schedule
        return present(
            ScheduleShown,
            row,
            **{name: getattr(schedule, name) for name in _SAME},
            every=None if schedule.every is None else format_duration_exactly(schedule.every),
            next_fire_times=tuple(map(rfc3339, self._engine.scheduler.upcoming(row, _SHOWN))),
            last_fire_time=row.last_at,
            waiting=len(row.waiting),
        )


def _key(request: ApiRequest[Any, Any]) -> tuple[str, str]:
    return request.principal.tenant, request.path["schedule_id"]


def _schedule(name: str, body: ChangeSchedule) -> Schedule:
    given = {field.name: getattr(body, field.name) for field in fields(ChangeSchedule)}
    return Schedule(**{**given, "name": name, "every": duration("every", body.every)})


def duration(field: str, text: str | None) -> float | None:
    """Return a field of a body in seconds.

    Raises:
        MalformedRequest: it is not a duration.
    """
    if text is None:
        return None
    try:
        return to_seconds(text)
    except ValueError as error:
        raise MalformedRequest(
            f"{field}: {error}.", details=[Fault(f"/{field}", "format", str(error))]
        ) from error
