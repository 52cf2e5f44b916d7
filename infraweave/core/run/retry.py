"""How long to wait before a failed attempt is retried."""

from __future__ import annotations

import math

from infraweave.core.data.values import format_duration
from infraweave.core.workflow.document import Retry

#: A node that was interrupted by this many crashes in a row fails.
MAX_INTERRUPTIONS = 10
#: The longest wait, in seconds, that a called service can ask for.
MAX_RETRY_AFTER = 3600.0


def delay(retry: Retry, failures: int, chance: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure. ``chance``: a random number in [0, 1).

    ``retry_after``: the minimum wait that the called service asked for. It counts up to one hour, or up to
    ``retry.maximum`` if that is longer.
    """
    full = min(retry.maximum, retry.initial * _power(retry.factor, failures - 1)) if retry.initial else 0.0
    wait = full * (0.5 + chance / 2) if retry.jitter else full
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, max(retry.maximum, MAX_RETRY_AFTER)))


def _power(factor: float, exponent: int) -> float:
    try:
        return float(factor) ** exponent
    except OverflowError:
        return math.inf


def retry_message(message: str, wait: float, next_attempt: int, max_attempts: int) -> str:
    """Return the message of a failure that is retried."""
    return f"{message} — retrying in {format_duration(wait)} (attempt {next_attempt} of {max_attempts})"
