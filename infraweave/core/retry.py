"""When a failed attempt is tried again. Pure arithmetic; chance is handed in."""

from __future__ import annotations

from infraweave.core.document import Retry
from infraweave.core.values import spell

#: A node that took the process down ten times in a row is not tried an eleventh (design/model).
MAX_INTERRUPTIONS = 10


def delay(retry: Retry, failures: int, chance: float) -> float:
    """Return the seconds to wait after the ``failures``-th failure; ``chance`` is in [0, 1)."""
    # The exponent is capped so that a huge max_attempts cannot overflow a float.
    full = min(retry.maximum, retry.initial * retry.factor ** min(failures - 1, 64))
    return full * (0.5 + chance / 2) if retry.jitter else full


def retry_message(message: str, wait: float, next_attempt: int, max_attempts: int) -> str:
    """Return the factual sentence that the feed shows for a failure that is tried again."""
    return f"{message} — retrying in {spell(wait)} (attempt {next_attempt} of {max_attempts})"
