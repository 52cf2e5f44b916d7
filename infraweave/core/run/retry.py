"""When a failed attempt is tried again. Pure arithmetic; chance is handed in."""

from __future__ import annotations

import math

from infraweave.core.data.values import format_duration
from infraweave.core.workflow.document import Retry

#: A node that took the process down ten times in a row is not tried an eleventh (design/model).
MAX_INTERRUPTIONS = 10
#: The longest wait, in seconds, that another side may ask for.
MOST_ASKED = 3600.0


def delay(retry: Retry, failures: int, chance: float, asked: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure; ``chance`` is in [0, 1).

    ``asked``: the least wait that the other side asked for, heeded up to an hour, or up to the author's own
    ``maximum`` where that is longer.
    """
    full = min(retry.maximum, retry.initial * _grown(retry.factor, failures - 1)) if retry.initial else 0.0
    wait = full * (0.5 + chance / 2) if retry.jitter else full
    return wait if asked is None else max(wait, min(asked, max(retry.maximum, MOST_ASKED)))


def _grown(factor: float, times: int) -> float:
    """Return a factor to a power; any number beyond all waits where a float cannot hold it."""
    try:
        return float(factor) ** times
    except OverflowError:
        return math.inf


def retry_message(message: str, wait: float, next_attempt: int, max_attempts: int) -> str:
    """Return the factual sentence that the feed shows for a failure that is tried again."""
    return f"{message} — retrying in {format_duration(wait)} (attempt {next_attempt} of {max_attempts})"
