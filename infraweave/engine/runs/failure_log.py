"""What the server's log tells of failed attempts: one line each, once the failure is on disk.

The line names the run, the node and the place, and what kind of failure it was. What the exception said stays
out of it, for that may quote what a run was given, which is never logged; the run's history has it.
"""

from __future__ import annotations

import logging
from types import FrameType

from infraweave.core.data.values import rfc3339
from infraweave.core.run.events import NodeFailed
from infraweave.core.run.tracebacks import innermost_place
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.tracebacks import stack_of

log = logging.getLogger("infraweave.node")


def tell_failure(run_id: str, event: NodeFailed) -> None:
    """Log a failed attempt; one that was stopped is none."""
    if event.code == "cancelled" or not log.isEnabledFor(logging.WARNING):
        return
    place = event.traceback and innermost_place(event.traceback)
    log.warning(
        "%s %s attempt %d failed with %s%s; %s",
        run_id,
        event.address,
        event.attempt,
        _kind(event),
        f" at {place}" if place else "",
        "it is final" if event.retry_at is None else f"it is tried again at {rfc3339(event.retry_at)}",
        extra={"run_id": run_id, "node": str(event.address), "attempt": event.attempt, "seq": event.seq},
    )


def tell_lost(context: RunContext, frame: FrameType, *, replaced: bool) -> None:
    """Log that a sync body did not return after its attempt was over, and where its thread is."""
    log.error(
        "%s %s attempt %d has not returned though its time is over: its thread is lost%s; it is at %s",
        context.run_id,
        context.address,
        context.attempt,
        " and replaced" if replaced else ", and no more are replaced (lost_threads)",
        stack_of(frame),
        extra={"run_id": context.run_id, "node": str(context.address), "attempt": context.attempt},
    )


def _kind(event: NodeFailed) -> str:
    """Return the class of an exception, of which a message begins with it; else the code."""
    return event.message.partition(" ")[0].rstrip(":") if event.code == "error" else event.code
