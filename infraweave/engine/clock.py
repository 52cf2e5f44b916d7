"""Time, new ids and random numbers. No other module reads a clock or draws a random number."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from infraweave.core.access import ALPHABET, SECRET_LENGTH
from infraweave.core.data.values import format_duration, rfc3339
from infraweave.core.run import ids

log = logging.getLogger("infraweave.engine")

#: The clock was set if it differs from the elapsed time by more than this many milliseconds, plus this share
#: of the elapsed time.
STEP, DRIFT = 1_000, 0.001
_SET_BACK = (
    "the clock of the machine was set back by %s, to %s; timers that were set before may be late by as much"
)
_SET_FORWARD = (
    "the clock of the machine was set forward by %s, to %s, or the machine slept; due timers fire now"
)

#: For ids, which must be unique but are not secret; cheaper than a system call for each.
_IDS = random.Random()  # noqa: S311 - secrets come from `secrets`


class TimerHandle(Protocol):
    """A callback that will be called unless it is cancelled."""

    def cancel(self) -> None:
        """Cancel the callback."""


class Clock(Protocol):
    """Time as the engine sees it: real, or controlled by a test."""

    #: Seconds after which a waiting timer must read the clock again: it may have been set, or the machine
    #: may have slept.
    max_sleep: float

    def now(self) -> int:
        """Return milliseconds since the Unix epoch; less than before only if the clock was set back."""

    def until(self, due_at: int) -> float:
        """Return the seconds until ``due_at`` (Unix ms), at most ``max_sleep``; 0 if it has come."""

    def elapsed(self) -> float:
        """Return the seconds of a monotonic clock, for measuring durations."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> TimerHandle:
        """Call ``callback`` after a number of seconds."""


class SystemClock:
    """The machine's clock; logs when it was set.

    A step back of up to a second is hidden: this clock stands still that long. After a larger one it follows
    the corrected time at once, which is less than before.
    """

    max_sleep = 60.0

    def __init__(self) -> None:
        self._wall, self._elapsed = _wall(), time.monotonic()
        self._now = self._wall

    def now(self) -> int:
        """Return milliseconds since the Unix epoch."""
        wall, elapsed = time.time_ns() // 1_000_000, time.monotonic()
        passed = (elapsed - self._elapsed) * 1000
        step = wall - self._wall - passed
        self._wall, self._elapsed = wall, elapsed
        if -STEP <= step <= STEP and wall >= self._now:  # nearly always: each turn of a run reads the clock
            self._now = wall
            return wall
        most = STEP + passed * DRIFT
        if step < -most or wall < self._now - STEP:
            self._log_step(_SET_BACK, min(step, wall - self._now))
            self._now = wall
        elif step > most:
            self._log_step(_SET_FORWARD, step)
        self._now = max(self._now, wall)
        return self._now

    def _log_step(self, message: str, step: float) -> None:
        log.warning(message, format_duration(round(abs(step)) / 1000), rfc3339(self._wall))

    def until(self, due_at: int) -> float:
        """Return the seconds until ``due_at``, at most ``max_sleep``."""
        return min(max(0, due_at - self.now()) / 1000, self.max_sleep)

    def elapsed(self) -> float:
        """Return the seconds of the monotonic clock."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> TimerHandle:
        """Call ``callback`` on the running loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)


def _wall() -> int:
    return time.time_ns() // 1_000_000


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait for a number of seconds of a clock."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_later(seconds, partial(_set_done, done))
    try:
        await done
    finally:
        timer.cancel()


def _set_done(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def ulid(now: int) -> str:
    """Return a new ULID."""
    return ids.ulid(now, _IDS.getrandbits(80))


def run_id(now: int) -> str:
    """Return the id of a new run."""
    return f"run_{ulid(now)}"


def request_id(now: int) -> str:
    """Return the id of a request, or of a signal that was sent without one."""
    return f"req_{ulid(now)}"


def trace_id() -> str:
    """Return a new trace id, 32 hexadecimal digits, not all zero."""
    return f"{_IDS.getrandbits(128) or 1:032x}"


def span_id() -> str:
    """Return a new span id, 16 hexadecimal digits, not all zero."""
    return f"{_IDS.getrandbits(64) or 1:016x}"


def token_secret() -> str:
    """Return the secret part of a token: base62 characters from a CSPRNG."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def base64_secret() -> str:
    """Return 32 bytes from a CSPRNG in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def chance() -> float:
    """Return a number in [0, 1), for jitter."""
    return random.random()  # noqa: S311 - spreads retries, is not secret
