"""The start of a schedule's run."""

from __future__ import annotations

from infraweave.core import trace_context
from infraweave.core.data.values import rfc3339
from infraweave.core.workflow import schedules
from infraweave.engine.clock import trace_id
from infraweave.engine.runs.requests import StartRequest
from infraweave.store.schedules import ScheduleRow

#: The tags of a scheduled run.
SCHEDULE_TAG, TIME_TAG = "schedule", "scheduled_at"


def scheduled_start(row: ScheduleRow, at: int, *, by: str, once: bool = False) -> StartRequest:
    """Return the start of a schedule's run; ``once``: of the only one of that time.

    Raises:
        TemplateError: its input cannot be made.
    """
    name = row.schedule.name
    return StartRequest(
        tenant=row.tenant,
        by=by,
        workflow_id=row.workflow_id,
        input=schedules.run_input(row.schedule, at),
        tags={SCHEDULE_TAG: name, TIME_TAG: rfc3339(at)},
        trigger="schedule",
        trace=trace_context.accept([], [], trace_id()),
        idempotency_key=idempotency_key_of(row, at) if once else None,
    )


def idempotency_key_of(row: ScheduleRow, at: int) -> str:
    """Return the key that lets a time make one run; no caller's key has a line break."""
    return f"schedule\n{row.schedule_id}\n{at}"
