"""Calls the function of an attempt: JSON in, JSON out, on the loop, in a thread or in a process."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from infraweave.authoring.signatures import Code
from infraweave.core.data import json_codec
from infraweave.core.data.values import Json
from infraweave.core.run.facts import AttemptUsage
from infraweave.engine.execution.attempt_error import AttemptError, error_of
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.conversion import arguments_of, context_of, output_of
from infraweave.engine.execution.process_pool import KillSwitch, ProcessPool
from infraweave.engine.execution.process_worker import call_in_process, call_sync, load_file
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.engine.execution.tracebacks import stack_of

log = logging.getLogger("infraweave.node")

#: Bytes of JSON values from which their conversion is left to a thread.
_LARGE = 64 * 1024


class Invocation:
    """One call of a function. ``thread`` is done once the function has left its thread, if it has one."""

    def __init__(
        self,
        code: Code,
        values: Mapping[str, Json],
        context: RunContext,
        pool: ThreadPool | ProcessPool,
        *,
        max_output: int,
        elapsed: Callable[[], float],
    ) -> None:
        self._code, self._values, self._context, self._pool = code, values, context, pool
        self._max_output, self._elapsed = max_output, elapsed
        self.thread: asyncio.Future[Any] | None = None
        #: True while the function runs on the loop, where it can be cancelled.
        self.is_on_loop = code.is_async
        self._work: Future[Any] | None = None
        self._kill_switch: KillSwitch | None = None
        self._started_at: float | None = None
        self._ended_at: float | None = None

    @property
    def seconds(self) -> float:
        """How long the function took, once it has returned."""
        if self._started_at is None or self._ended_at is None:
            return 0.0
        return self._ended_at - self._started_at

    async def run(self, on_call: Callable[[], object]) -> Json:
        """Return the function's result as JSON; ``on_call`` is called when the function is.

        Raises:
            AttemptError: the function failed, its values do not fit, or its output is too large.
        """
        code = self._code
        arguments = await self._arguments() if code.params else context_of(code, self._context)
        task = asyncio.current_task()
        try:
            if code.is_async:
                on_call()
                self._started_at = self._elapsed()
                try:
                    value = await code.function(**arguments)
                finally:
                    self._ended_at = self._elapsed()
            else:
                value = await self._in_pool(arguments, on_call)
        except (AttemptError, asyncio.CancelledError):
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not _is_current(task):
                raise  # Python closes a coroutine whose loop has gone
            is_authors = not code.reference.startswith("builtin:")
            raise error_of(error, with_traceback=is_authors) from error
        return output_of(code, value, self._max_output)

    async def _arguments(self) -> dict[str, Any]:
        data = json_codec.dumps(self._values)
        if len(data) < _LARGE:
            return arguments_of(self._code, data, self._context)
        return await asyncio.to_thread(arguments_of, self._code, data, self._context)

    async def _in_pool(self, arguments: dict[str, Any], on_call: Callable[[], object]) -> Any:
        notify = partial(asyncio.get_running_loop().call_soon_threadsafe, on_call)
        if isinstance(self._pool, ProcessPool):
            return await self._in_process(self._pool, notify)
        work = partial(self._in_thread, self._code.function, arguments, notify)
        value = await self._result(self._pool.submit(self._context.tenant, work))
        return await self._awaited(value) if inspect.isawaitable(value) else value

    def _in_thread(
        self, function: Callable[..., Any], arguments: dict[str, Any], notify: Callable[[], object]
    ) -> Any:
        notify()
        with self._timed():
            return call_sync(function, arguments)

    async def _awaited(self, value: Awaitable[Any]) -> Any:
        """Await the result of a sync function that wraps an async one."""
        self.is_on_loop = True
        try:
            return await value
        finally:
            self._ended_at = self._elapsed()

    async def _in_process(self, pool: ProcessPool, notify: Callable[[], object]) -> Json:
        file = inspect.unwrap(self._code.function).__code__.co_filename
        values, switch = json_codec.dumps(self._values), KillSwitch()
        self._kill_switch = switch
        arguments = file, self._code.reference, values, self._context, self._max_output

        def work() -> tuple[Json, AttemptUsage]:
            with pool.process(switch) as call:
                call(load_file, file)
                notify()
                with self._timed():
                    output, usage = call(call_in_process, *arguments)
            return output, usage

        output, self._context.usage = await self._result(pool.submit(self._context.tenant, work))
        return output

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._started_at = self._elapsed()
        try:
            yield
        finally:
            self._ended_at = self._elapsed()

    async def _result(self, work: Future[Any]) -> Any:
        self._work, self.thread = work, asyncio.wrap_future(work)
        del work
        self.thread.add_done_callback(_retrieve_exception)
        try:
            # Shielded: a thread cannot be stopped, and its end must still be known.
            return await asyncio.shield(self.thread)
        except BaseException as error:
            if self.thread.done():
                # The future keeps the error, whose frames keep this object: a reference circle.
                self._work = self.thread = None
            elif isinstance(error, asyncio.CancelledError):
                self.cancel_unstarted()
            raise

    @property
    def is_queued(self) -> bool:
        """True while the call waits for a thread or process."""
        return self._work is not None and not self._work.running() and not self._work.done()

    def cancel_unstarted(self) -> bool:
        """Cancel the call unless a thread has started it; return whether that is so."""
        return self._work is None or self._work.cancel()

    def abandon(self) -> None:
        """Stop waiting for a function that did not stop: kill its process, or count its thread as lost."""
        if self._kill_switch is not None:
            self._kill_switch.kill()
        if self._work is not None and isinstance(self._pool, ThreadPool):
            frame = self._pool.mark_lost(self._work)
            if frame is not None:
                _log_lost(self._context, frame, replaced=self._pool.can_replace)


def _is_current(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs here
        return False


def _retrieve_exception(thread: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a thread, or asyncio would log that nobody did."""
    if not thread.cancelled():
        thread.exception()


def _log_lost(context: RunContext, frame: FrameType, *, replaced: bool) -> None:
    log.error(
        "%s %s attempt %d has not returned though its time is over: its thread is lost%s; it is at %s",
        context.run_id,
        context.address,
        context.attempt,
        " and replaced" if replaced else ", and no more are replaced (lost_threads)",
        stack_of(frame),
        extra={"run_id": context.run_id, "node": str(context.address), "attempt": context.attempt},
    )
