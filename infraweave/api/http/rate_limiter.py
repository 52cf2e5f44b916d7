"""The request rate of each token: a token bucket each, refilled as time passes."""

from __future__ import annotations

import math

from infraweave.engine.clock import Clock
from infraweave.errors import RateLimited
from infraweave.settings import Settings

#: Buckets in memory before full ones are dropped.
_MANY = 10_000


class RateLimiter:
    """The buckets of one server. A full bucket equals a missing one."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._rate, self._burst = settings.requests_per_second, float(max(1, settings.request_burst))
        #: For each token: the level of its bucket, and when that was, in seconds of the monotonic clock.
        self._left: dict[str, tuple[float, float]] = {}

    def consume(self, token_id: str) -> None:
        """Count a request.

        Raises:
            RateLimited: the bucket is empty.
        """
        now = self._clock.elapsed()
        left = self._now(token_id, now)
        if left < 1.0:
            wait = max(1, math.ceil((1.0 - left) / self._rate)) if self._rate > 0 else 60
            message = f"This token may make {self._rate:g} requests a second; try again in {wait}s."
            raise RateLimited(message, headers={"Retry-After": str(wait)})
        if len(self._left) >= _MANY and token_id not in self._left:
            self._left = {other: kept for other, kept in self._left.items() if not self._is_full(other, now)}
        self._left[token_id] = (left - 1.0, now)

    def _now(self, token_id: str, now: float) -> float:
        left, at = self._left.get(token_id, (self._burst, now))
        return min(self._burst, left + self._rate * (now - at))

    def _is_full(self, token_id: str, now: float) -> bool:
        return self._now(token_id, now) >= self._burst
