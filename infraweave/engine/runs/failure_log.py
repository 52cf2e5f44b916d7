"""Logs failed attempts, one line each, once the failure is on disk.

The line names the run, the node, the place and the kind of failure. It leaves out the message of the
exception, which may quote the data of the run; that is never logged. The history of the run has the message.
"""

from __future__ import annotations

import logging

from infraweave.core.data.values import rfc3339
from infraweave.core.run.events import NodeFailed
from infraweave.core.run.tracebacks import innermost_place

log = logging.getLogger("infraweave.node")


def log_failure(run_id: str, event: NodeFailed) -> None:
    """Log a failed attempt. A cancelled attempt is not logged."""
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
        "it is final" if event.retry_at is None else f"it will be retried at {rfc3339(event.retry_at)}",
        extra={"run_id": run_id, "node": str(event.address), "attempt": event.attempt, "seq": event.seq},
    )


def _kind(event: NodeFailed) -> str:
    """Return the class of the exception, which begins the message; without an exception, the error code."""
    return event.message.partition(" ")[0].rstrip(":") if event.code == "error" else event.code
