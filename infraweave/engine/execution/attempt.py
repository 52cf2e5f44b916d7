"""One attempt: calls the code of an open entry and delivers exactly one fact, unless the process is ending.

An attempt is stopped when its time is over, its run is stopping, or its run has gone on without it. An async
body is cancelled and may clean up; a sync body sees ``ctx.cancelled``. A body that has not returned within
the grace period becomes an orphan: the attempt delivers its fact, and what the body does later is ignored.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

from infraweave.authoring.signatures import Code
from infraweave.core.data.values import Json, format_duration
from infraweave.core.run.events import NodeStarted
from infraweave.core.run.facts import AttemptFailed, AttemptSucceeded, Fact
from infraweave.engine.clock import Clock, TimerHandle, chance, sleep
from infraweave.engine.execution.attempt_error import AttemptError, error_of
from infraweave.engine.execution.context import CURRENT_BODY, RunContext
from infraweave.engine.execution.invocation import Invocation
from infraweave.engine.execution.process_pool import ProcessPool
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.errors import StorageUnavailable
from infraweave.settings import Settings

StopReason: TypeAlias = Literal["timeout", "cancelled", "lost"]
#: Seconds by which a body may be late, for a clock's rounding.
_TOLERANCE = 0.001
_REASON: dict[StopReason, str] = {"cancelled": "the run is stopping", "lost": "it lost a race"}


class Attempt:
    """One call of the code of an entry."""

    def __init__(
        self,
        clock: Clock,
        pool: ThreadPool | ProcessPool,
        limits: Settings,
        context: RunContext,
        code: Code,
        values: Mapping[str, Json],
        deliver: Callable[[Attempt, Fact], None],
    ) -> None:
        self.context, self.address = context, context.address
        self._clock, self._grace, self._deliver = clock, limits.grace, deliver
        self._room, self._stuck_after = code.room, limits.stuck_after
        self._invocation = Invocation(
            code, values, context, pool, max_output=limits.max_output, elapsed=clock.elapsed
        )
        self._stopped: StopReason | None = None
        self._called = False
        self._returned = False
        self._delivered = False
        self._timeout: float | None = None
        self._timers: list[TimerHandle] = []
        self._started_at = clock.elapsed()
        self._task: asyncio.Task[None] | None = None
        self._after: asyncio.Future[Any] | None = None

    def start(self, timeout: float | None, after: asyncio.Future[Any] | None) -> None:
        """Start the attempt; ``timeout`` is in seconds, ``after`` the orphan of an earlier attempt."""
        self._timeout, self._after = timeout, after
        # A fresh context, or it would inherit what another body or a request has set.
        own = contextvars.Context()
        own.run(CURRENT_BODY.set, self.context)
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"{self.context.run_id} {self.address}", context=own
        )

    def stop(self, reason: StopReason) -> None:
        """Ask the body to stop; it may still return within the grace period."""
        if self._stopped is not None or self._delivered or self._task is None:
            return
        self._stopped = reason
        self.context.cancelled = True
        if self._invocation.is_on_loop or reason == "timeout" or self._invocation.cancel_unstarted():
            self._task.cancel()
        if not self._called:
            self._stop_waiting()
            return
        self._timers.append(self._clock.call_later(self._grace, self._stop_waiting))
        thread = self._invocation.thread
        if thread is not None and not thread.done():
            timer = self._clock.call_later(self._grace, self._invocation.abandon)
            thread.add_done_callback(lambda _: timer.cancel())

    def discard(self) -> None:
        """Stop without a fact: the process is ending, and the next one will find the entry open."""
        self._close()
        self.context.cancelled = True
        if self._task is not None:
            self._task.cancel()

    def cancel_unstarted(self) -> bool:
        """Discard the attempt if its body has not been called; return whether that is so."""
        if self._delivered:
            return False
        if self._called and not (self._invocation.is_queued and self._invocation.cancel_unstarted()):
            return False
        self.discard()
        return True

    @property
    def waits_for(self) -> str | None:
        """What the attempt waits for before it calls the body; None if it has called it or is about to."""
        if self._called:
            return "a free thread or process" if self._invocation.is_queued else None
        if self._after is not None and not self._after.done():
            return "an earlier attempt, whose body has not returned"
        return "other requests to end" if self._room is not None and self._room.locked() else None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that runs the attempt."""
        return self._task

    def orphan(self) -> asyncio.Future[Any] | None:
        """Return the body that still runs after the attempt has delivered its fact, or None."""
        thread = self._invocation.thread
        if not self._called:
            return None
        if thread is not None and not thread.done():
            return thread
        return None if self._returned or self._task is None or self._task.done() else self._task

    async def _run(self) -> None:
        try:
            if self._after is not None:
                await self._wait_for(self._after)
            if self._room is None:  # written out, because a nullcontext costs two coroutines
                fact = await self._call()
            else:
                async with self._room:
                    fact = await self._call()
        except AttemptError as error:
            fact = self._failure(error)
        except asyncio.CancelledError as error:
            fact = self._failure(self._cancellation(error))
        except StorageUnavailable:
            if self._delivered:
                return  # the process is ending and has closed the file
            raise
        self._returned = True
        self._finish(fact)

    async def _call(self) -> Fact:
        self._called = True
        output = await self._invocation.run(self._start_timeout)
        # No timer could stop a body that blocked the loop.
        late = self._timeout is not None and self._invocation.seconds > self._timeout + _TOLERANCE
        if self._stopped is None and late:
            self._stopped = "timeout"
        if self._stopped == "timeout":
            return self._failure(AttemptError("timeout", "", final=False))
        return await self.conclude(output)

    async def _wait_for(self, earlier: asyncio.Future[Any]) -> None:
        """Wait until the body of an earlier attempt has returned: two must not run at once.

        Raises:
            AttemptError: it does not return.
        """
        pause = asyncio.ensure_future(sleep(self._clock, self._stuck_after))
        try:
            await asyncio.wait({earlier, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
        if not earlier.done():
            within = format_duration(self._stuck_after)
            message = f"The body of an earlier attempt has not returned within {within}"
            raise AttemptError("body_stuck", message, final=True)

    def _start_timeout(self) -> None:
        """Let the timeout count from here: what the attempt had to wait for before is not its own time."""
        if self._timeout is not None and not self._delivered:
            self._timers.append(self._clock.call_later(self._timeout, partial(self.stop, "timeout")))

    def _cancellation(self, error: asyncio.CancelledError) -> AttemptError:
        """Return the failure of a cancelled body, which may have cancelled itself."""
        if self._stopped is None and not self._delivered:
            return error_of(error)
        return AttemptError("error", "CancelledError", final=False)

    def _failure(self, error: AttemptError) -> Fact:
        if self._stopped is None:
            return self.failed(error)
        if self._stopped == "timeout":
            message = f"No result within {format_duration(self._timeout or 0)}"
            return self.failed(AttemptError("timeout", message, final=False))
        raised = "" if error.message in ("CancelledError", "") else f" (it raised {error.message})"
        message = f"Stopped, because {_REASON[self._stopped]}{raised}"
        return self.failed(AttemptError("cancelled", message, final=True, traceback=error.traceback))

    def _stop_waiting(self) -> None:
        """Deliver the fact although the body has not returned."""
        self._finish(self._failure(AttemptError("error", "", final=False)))

    def _finish(self, fact: Fact) -> None:
        if not self._delivered:
            self._close()
            self._deliver(self, fact)

    def _close(self) -> None:
        self._delivered = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()  # a timer's callback refers to this attempt: a reference circle

    def _latency(self) -> int:
        return round((self._clock.elapsed() - self._started_at) * 1000)

    # --- what a kind of attempt decides itself -------------------------------------------------------------

    async def conclude(self, output: Json) -> Fact:
        """Return the fact of a body that returned ``output``."""
        return AttemptSucceeded(
            address=self.address,
            attempt=self.context.attempt,
            output=output,
            latency_ms=self._latency(),
            usage=self.context.usage,
        )

    def failed(self, error: AttemptError) -> Fact:
        """Return the fact of a body that failed."""
        return AttemptFailed(
            address=self.address,
            attempt=self.context.attempt,
            code=error.code,
            message=error.message,
            traceback=error.traceback,
            final=error.final,
            latency_ms=self._latency(),
            chance=chance(),
            retry_after=error.retry_after,
            usage=self.context.usage,
        )


def stopped_before_start(event: NodeStarted) -> AttemptFailed:
    """Return the fact of an attempt that was stopped before its body was called."""
    return AttemptFailed(
        address=event.address,
        attempt=event.attempt,
        code="cancelled",
        message="Stopped before it began",
        latency_ms=0,
    )
