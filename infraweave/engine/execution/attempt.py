"""Performs what is open: one Attempt for each body in flight.

An attempt delivers exactly one fact, unless the process is ending. It can be stopped because its time is
over, its run is stopping, or its run goes on without it: an async body is cancelled and may clean up, a sync
body is told through ``ctx.cancelled``; one that does not return within the grace period is left to itself,
and what it still does is ignored.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, TypeAlias

from infraweave.authoring.signatures import Code
from infraweave.core.data.values import MAX_DURATION, Json, format_duration, from_rfc3339, to_seconds
from infraweave.core.run.events import NodeStarted
from infraweave.core.run.facts import (
    AttemptFailed,
    AttemptSucceeded,
    Fact,
    PreflightFailed,
    PromptReady,
    TimerReady,
)
from infraweave.core.workflow.document import HumanInput, Map, Node, Subworkflow, Timer
from infraweave.engine.clock import Clock, TimerHandle, chance, sleep
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.invocation import AttemptError, Invocation, fault_of
from infraweave.engine.execution.process_pool import ProcessPool
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.engine.loop_watch import CURRENT_BODY
from infraweave.errors import StorageUnavailable
from infraweave.settings import Settings

Stop: TypeAlias = Literal["timeout", "cancelled", "lost"]
#: Seconds by which a body may be late: what a clock's rounding makes of them.
_SLACK = 0.001
_REASON: dict[Stop, str] = {"cancelled": "the run is stopping", "lost": "it lost a race"}


class Attempt:
    """One body in flight."""

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
        self._stopped: Stop | None = None
        self._begun = False
        self._ended_itself = False
        self._delivered = False
        self._timeout: float | None = None
        self._timers: list[TimerHandle] = []
        self._started_at = clock.elapsed()
        self._task: asyncio.Task[None] | None = None
        self._after: asyncio.Future[Any] | None = None

    def start(self, timeout: float | None, after: asyncio.Future[Any] | None) -> None:
        """Begin, once ``after`` (what is left of an earlier attempt) is done."""
        self._timeout, self._after = timeout, after
        # A context of its own: else it would have what another body, or a request, has set in its own.
        own = contextvars.Context()
        own.run(CURRENT_BODY.set, self.context)
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"{self.context.run_id} {self.address}", context=own
        )

    def stop(self, why: Stop) -> None:
        """Ask the body to stop; within the grace period it may still return."""
        if self._stopped is not None or self._delivered or self._task is None:
            return
        self._stopped = why
        self.context.cancelled = True
        if self._invocation.is_on_loop or why == "timeout" or self._invocation.cancel_unstarted():
            self._task.cancel()
        if not self._begun:
            self._leave()
            return
        self._timers.append(self._clock.call_later(self._grace, self._leave))
        self._watch_thread()

    def _watch_thread(self) -> None:
        """Give a thread or a process up that has not left the body once the grace period is over."""
        thread = self._invocation.thread
        if thread is not None and not thread.done():
            timer = self._clock.call_later(self._grace, self._invocation.give_up)
            thread.add_done_callback(lambda _: timer.cancel())

    def discard(self) -> None:
        """Stop without a fact: the process is ending, and the next one will find the attempt open."""
        self._close()
        self.context.cancelled = True
        if self._task is not None:
            self._task.cancel()

    def cancel_unstarted(self) -> bool:
        """Take the attempt back without a fact, if its body was not called; tell if so."""
        if self._delivered or (
            self._begun and not (self._invocation.waits and self._invocation.cancel_unstarted())
        ):
            return False
        self.discard()
        return True

    @property
    def waits_for(self) -> str | None:
        """What the body waits for before it is called; None once it has been, or is about to be."""
        if self._begun:
            return "a free thread or process" if self._invocation.waits else None
        if self._after is not None and not self._after.done():
            return "an earlier attempt, whose body has not returned"
        return "other requests to end" if self._room is not None and self._room.locked() else None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that runs the body."""
        return self._task

    def orphan(self) -> asyncio.Future[Any] | None:
        """Return what still runs of a body whose fact was delivered, or None."""
        thread = self._invocation.thread
        if not self._begun:
            return None
        if thread is not None and not thread.done():
            return thread
        return None if self._ended_itself or self._task is None or self._task.done() else self._task

    async def _run(self) -> None:
        try:
            if self._after is not None:
                await self._outlast(self._after)
            async with self._room or nullcontext():
                self._begun = True
                fact = await self._ended(await self._invocation.run(self._count_time))
        except AttemptError as error:
            fact = self._failed(error)
        except asyncio.CancelledError as error:
            fact = self._failed(self._cancelled(error))
        except StorageUnavailable:
            if self._delivered:
                return  # nobody waits for it: the process is ending, and has closed the file
            raise
        self._ended_itself = True
        self._conclude(fact)

    async def _outlast(self, earlier: asyncio.Future[Any]) -> None:
        """Wait until the body of an earlier attempt has returned.

        Raises:
            AttemptError: it does not; to call it a second time beside the first is not what was declared.
        """
        pause = asyncio.ensure_future(sleep(self._clock, self._stuck_after))
        try:
            await asyncio.wait({earlier, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
        if not earlier.done():
            message = (
                f"The body of an earlier attempt has not returned within {format_duration(self._stuck_after)}"
            )
            raise AttemptError("body_stuck", message, final=True)

    def _count_time(self) -> None:
        """Let the time of the attempt count from here: what it had to wait for is not its own doing."""
        if self._timeout is not None and not self._delivered:
            self._timers.append(self._clock.call_later(self._timeout, partial(self.stop, "timeout")))

    async def _ended(self, output: Json) -> Fact:
        # Where the loop was blocked, nobody could stop it in time.
        if (
            self._stopped is None
            and self._timeout is not None
            and self._invocation.seconds > self._timeout + _SLACK
        ):
            self._stopped = "timeout"
        if self._stopped == "timeout":
            return self._failed(AttemptError("timeout", "", final=False))
        return await self.conclude(output)

    def _is_late(self) -> bool:
        """Tell whether the body took longer than it may: while it blocked the loop, nobody could stop it."""
        return self._timeout is not None and self._invocation.seconds > self._timeout + _SLACK

    async def conclude(self, output: Json) -> Fact:
        """Return the fact of a body that returned, once all is known that it takes."""
        return self.succeeded(output)

    def _cancelled(self, error: asyncio.CancelledError) -> AttemptError:
        """Return the failure of a body that was cancelled: by us, or by something of its own."""
        if self._stopped is None and not self._delivered:
            return fault_of(error)
        return AttemptError("error", "CancelledError", final=False)

    def _failed(self, error: AttemptError) -> Fact:
        if self._stopped is None:
            return self.erred(error)
        if self._stopped == "timeout":
            return self.erred(
                AttemptError(
                    "timeout", f"No result within {format_duration(self._timeout or 0)}", final=False
                )
            )
        said = "" if error.message in ("CancelledError", "") else f" (it raised {error.message})"
        why = f"Stopped, because {_REASON[self._stopped]}{said}"
        return self.erred(AttemptError("cancelled", why, final=True, traceback=error.traceback))

    def _leave(self) -> None:
        self._conclude(self._failed(AttemptError("error", "", final=False)))

    def _conclude(self, fact: Fact) -> None:
        if not self._delivered:
            self._close()
            self._deliver(self, fact)

    def _close(self) -> None:
        self._delivered = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()  # one that rang calls this attempt, and would keep it

    def _latency(self) -> int:
        return round((self._clock.elapsed() - self._started_at) * 1000)

    def succeeded(self, output: Json) -> Fact:
        """Return the fact of a body that returned."""
        context = self.context
        return AttemptSucceeded(
            address=self.address,
            attempt=context.attempt,
            output=output,
            latency_ms=self._latency(),
            usage=context.usage,
        )

    def erred(self, error: AttemptError) -> Fact:
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


class Preflight(Attempt):
    """The code of a wait, called before the wait can open; it is not tried again."""

    def erred(self, error: AttemptError) -> Fact:
        """Return the fact of a wait that cannot open."""
        return PreflightFailed(
            address=self.address, code=error.code, message=error.message, traceback=error.traceback
        )


class PromptPreflight(Preflight):
    """A human node's code, which makes its prompt."""

    def succeeded(self, output: Json) -> Fact:
        """Return the fact of a request that can be made."""
        try:
            prompt, data = _prompt(output)
        except ValueError as error:
            return self.erred(AttemptError("output_invalid", str(error), final=True))
        return PromptReady(address=self.address, prompt=prompt, data=data)


class TimerPreflight(Preflight):
    """A timer's code, which chooses its delay or its time."""

    def succeeded(self, output: Json) -> Fact:
        """Return the fact of a timer that can begin."""
        try:
            wake_at = _wake_at(output, self._clock.now())
        except ValueError as error:
            return self.erred(AttemptError("output_invalid", str(error), final=True))
        return TimerReady(address=self.address, wake_at=wake_at)


class ChildPreflight(Preflight):
    """The code that makes a child's input; then its workflow is looked for."""

    #: Returns the fact of a child that may start, or raises AttemptError.
    find_child: Callable[[Json], Awaitable[Fact]]

    async def conclude(self, output: Json) -> Fact:
        """Return the fact of a child that may start."""
        return await self.find_child(output)


PREFLIGHTS: dict[type[Node], type[Preflight]] = {
    HumanInput: PromptPreflight,
    Timer: TimerPreflight,
    Subworkflow: ChildPreflight,
    Map: ChildPreflight,
}


def stopped_before_start(event: NodeStarted) -> AttemptFailed:
    """Return the fact of an attempt that was stopped before its body was called."""
    return AttemptFailed(
        address=event.address,
        attempt=event.attempt,
        code="cancelled",
        message="Stopped before it began",
        latency_ms=0,
    )


def _prompt(output: Json) -> tuple[str, Json]:
    if isinstance(output, str):
        return output, None
    if (
        isinstance(output, dict)
        and isinstance(output.get("prompt"), str)
        and output.keys() <= {"prompt", "data"}
    ):
        return output["prompt"], output.get("data")
    raise ValueError('a human node\'s code returns the prompt, or {"prompt": …, "data": …}')


def _wake_at(output: Json, now: int) -> int:
    """Return when a timer ends: a delay (seconds or text) from now, or an RFC 3339 time."""
    if not isinstance(output, str) or "T" not in output:
        return now + round(to_seconds(output) * 1000)
    wake_at = from_rfc3339(output)
    if wake_at > now + MAX_DURATION * 1000:
        raise ValueError(f"{output} is more than a hundred years away")
    return max(now, wake_at)
