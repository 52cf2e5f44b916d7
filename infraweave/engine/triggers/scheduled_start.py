"""The start request of a schedule's run."""

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
    """Return the start request of a schedule's run for the time ``at``; ``once``: with a key for that time.

    Raises:
        TemplateError: its input cannot be rendered.
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
    """Return the idempotency key of a due time; keys of callers have no line breaks."""
    return f"schedule\n{row.schedule_id}\n{at}"
