"""Calls a node's function: JSON in, JSON out, on the loop, in a thread or in a process.

The one place where a sync body meets a thread or a process. What goes wrong leaves as a ``AttemptError`` that
says whether trying again can help.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from infraweave.authoring.signatures import Code, CodeParam
from infraweave.core.data import json_codec, python_types
from infraweave.core.data.contracts import ContractViolation
from infraweave.core.data.redact import redact
from infraweave.core.data.values import Json
from infraweave.core.run.facts import Usage
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.exception_text import asked, describe, leaves, said
from infraweave.engine.execution.process_pool import ProcessPool, Seat, codes_of, load_file
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.engine.execution.tracebacks import traceback_of
from infraweave.engine.execution.unawaited import close_unawaited
from infraweave.engine.runs.failure_log import tell_lost
from infraweave.errors import NonRetryable
from infraweave.forks import ends_here

#: Bytes of values from which making classes of them is left to a thread.
_LARGE = 64 * 1024
#: Longer messages are cut: an event must stay a line that clients can read (64 kB).
MAX_MESSAGE = 2_000


class AttemptError(Exception):
    """A body failed. ``final``: trying again cannot help; else not before ``retry_after`` seconds.

    ``traceback``: where in the author's code, None where it was not there.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        final: bool,
        retry_after: float | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.final, self.retry_after, self.traceback = code, final, retry_after, traceback
        message = message.encode(errors="replace").decode()  # names of files may hold lone surrogates
        message = redact(message)
        self.message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how to make it anew where a process sends it: keywords are more than exceptions carry."""
        made = partial(AttemptError, final=self.final, retry_after=self.retry_after, traceback=self.traceback)
        return made, (self.code, self.message)


class Invocation:
    """One call of a function. ``thread`` resolves once its thread has left it, if it has one."""

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
        #: True while the loop runs it, so that it can be cancelled.
        self.is_on_loop = code.is_async
        self._work: Future[Any] | None = None
        self._seat = Seat()
        self._began_at: float | None = None
        self._ended_at: float | None = None

    @property
    def seconds(self) -> float:
        """How long the function took, once it has returned."""
        if self._began_at is None or self._ended_at is None:
            return 0.0
        return self._ended_at - self._began_at

    async def run(self, on_call: Callable[[], object]) -> Json:
        """Return what the function returned, as JSON. ``on_call`` is called once the function is.

        Raises:
            AttemptError: the function failed, its values do not fit, or its output is too large.
        """
        arguments = await self._prepared()
        task = asyncio.current_task()
        try:
            value = await self._invoke(arguments, on_call)
        except (
            AttemptError,
            asyncio.CancelledError,
        ):  # from code of our own or a process; it is being stopped
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not _is_current(task):
                raise  # Python closes what waited on a loop that has gone
            raise fault_of(error, tell=not self._code.reference.startswith("builtin:")) from error
        return _kept(self._code, value, self._max_output)

    async def _prepared(self) -> dict[str, Any]:
        """Return what the function is called with; of large values it is made while the loop turns."""
        data = json_codec.dumps(self._values)
        made = partial(_own_arguments, self._code, data, self._context)
        return made() if len(data) < _LARGE else await asyncio.to_thread(made)

    async def _invoke(self, arguments: dict[str, Any], on_call: Callable[[], object]) -> Any:
        if self._code.is_async:
            on_call()
            with self._timed():
                return await self._code.function(**arguments)
        tell = partial(asyncio.get_running_loop().call_soon_threadsafe, on_call)
        if isinstance(self._pool, ProcessPool):
            return await self._in_process(self._pool, tell)
        work = partial(self._in_thread, self._code.function, arguments, tell)
        value = await self._left(self._pool.submit(self._context.tenant, work))
        return await self._awaited(value) if inspect.isawaitable(value) else value

    def _in_thread(
        self, function: Callable[..., Any], arguments: dict[str, Any], tell: Callable[[], object]
    ) -> Any:
        tell()
        with self._timed(), ends_here():
            return in_own_context(function, arguments)

    async def _awaited(self, value: Awaitable[Any]) -> Any:
        """Wait for what a sync function returned: a wrapper around an async one."""
        self.is_on_loop = True
        try:
            return await value
        finally:
            self._ended_at = self._elapsed()

    async def _in_process(self, pool: ProcessPool, tell: Callable[[], object]) -> Json:
        file = inspect.unwrap(self._code.function).__code__.co_filename
        given = file, self._code.reference, json_codec.dumps(self._values), self._context, self._max_output

        def wait() -> tuple[Json, Usage]:
            with pool.seated(self._seat) as call:
                call(load_file, file)
                tell()
                with self._timed():
                    output, usage = call(call_in_process, *given)
            return output, usage

        output, self._context.usage = await self._left(pool.submit(self._context.tenant, wait))
        return output

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._began_at = self._elapsed()
        try:
            yield
        finally:
            self._ended_at = self._elapsed()

    async def _left(self, work: Future[Any]) -> Any:
        self._work, self.thread = work, asyncio.wrap_future(work)
        del work
        self.thread.add_done_callback(_hear)
        try:
            # Shielded: a thread cannot be stopped, and its end must still be known.
            return await asyncio.shield(self.thread)
        except BaseException as error:
            if self.thread.done():
                # It keeps the error, whose frames keep this call: a circle, unless it is cut.
                self._work = self.thread = None
            elif isinstance(error, asyncio.CancelledError):
                self.cancel_unstarted()
            raise

    @property
    def waits(self) -> bool:
        """True while no thread, or process, has begun it that is to."""
        return self._work is not None and not self._work.running() and not self._work.done()

    def cancel_unstarted(self) -> bool:
        """Take the call back where no thread has begun it yet; return whether that was so."""
        return self._work is None or self._work.cancel()

    def give_up(self) -> None:
        """Do without a function that did not stop: kill its process; count its thread as lost."""
        self._seat.kill()
        if self._work is not None and isinstance(self._pool, ThreadPool):
            frame = self._pool.mark_lost(self._work)
            if frame is not None:
                tell_lost(self._context, frame, replaced=self._pool.can_replace)


def _is_current(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs here
        return False


def _hear(thread: asyncio.Future[Any]) -> None:
    """Hear what a thread raised: where nobody waits for it any more, asyncio would log it as forgotten."""
    if not thread.cancelled():
        thread.exception()


def call_in_process(
    file: str, reference: str, values: bytes, context: RunContext, most: int
) -> tuple[Json, Usage]:
    """Invocation a function of a workflow file; return its output as JSON, and what it reported."""
    code = codes_of(file)[reference]
    try:
        with ends_here():
            output = in_own_context(code.function, _own_arguments(code, values, context))
        if inspect.isawaitable(output):
            output = asyncio.run(_awaiting(output))
    except (AttemptError, asyncio.CancelledError):
        raise
    except BaseException as error:
        # It stays here and its text goes: over there it has no frames, and perhaps not even its class.
        raise fault_of(error) from error
    return _kept(code, output, most), context.usage


async def _awaiting(value: Awaitable[Any]) -> Any:
    return await value


def in_own_context(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Invocation a sync function in a fresh context: what it sets there, decimal's too, is in no other call.

    A future cannot carry StopIteration, so that leaves as RuntimeError.
    """
    try:
        return contextvars.Context().run(function, **arguments)
    except StopIteration as error:
        raise RuntimeError(describe(error)) from error


def fault_of(error: BaseException, *, tell: bool = True) -> AttemptError:
    """Return what an exception of a body means for its attempt; ``tell``: with where it happened."""
    where = _where(error) if tell else None
    # A TaskGroup raises what its tasks raised as a group.
    members = leaves(error)
    refusal = next((one for one in members if isinstance(one, NonRetryable)), None)
    if refusal is not None:
        message = said(refusal) or type(refusal).__name__
        message += f" (in a group: {describe(error)})" if len(members) > 1 else ""
        return AttemptError("non_retryable", message, final=True, traceback=where)
    return AttemptError("error", describe(error), final=False, traceback=where)


def _kept(code: Code, value: Any, most: int) -> Json:
    """Return what a function returned as it is kept, of ``most`` bytes.

    Raises:
        AttemptError: it is larger, JSON cannot carry it, or the annotation promises something else.
    """
    try:
        data = python_types.dump_author(value)
        if len(data) <= most:  # read only then: as objects it is many times as large
            output = json_codec.loads(data)
            json_codec.measured(output)
            return _held_to(code, output, value)
    except BaseException as error:
        raise _unfit_output(error, value) from error
    message = f"The output has {len(data):,} bytes as JSON; {most:,} are allowed"
    raise AttemptError("output_too_large", message, final=True)


def _held_to(code: Code, output: Json, value: Any) -> Json:
    """Return what a function returned as ``value`` in its JSON, held to the function's return annotation.

    Raises:
        ContractViolation: the annotation promises something else.
    """
    if (fault := code.result.output_fault(output, value)) is not None:
        raise ContractViolation(fault)
    return output


def _unfit_output(error: BaseException, value: Any) -> AttemptError:
    if isinstance(error, ContractViolation):
        return AttemptError("output_invalid", f"The output does not fit its annotation: {error}", final=True)
    found: list[str] = asked(lambda _: close_unawaited(value), error, [])
    reason = f"{found[0]} is a coroutine that was not awaited" if found else describe(error)
    message = f"The output cannot be kept as JSON: {reason}"
    return AttemptError("output_invalid", message, final=True, traceback=_where(error))


def _where(error: BaseException) -> str | None:
    return asked(traceback_of, error, None)


def _own_arguments(code: Code, values: bytes, context: RunContext) -> dict[str, Any]:
    """Return arguments that the body may change without changing the run's values."""
    return _arguments(code, json_codec.loads(values), context)


def _arguments(code: Code, values: Mapping[str, Json], context: RunContext) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for param in code.params:
        if param.name in values:
            arguments[param.name] = _structured(param, values[param.name])
        elif not param.has_default:
            message = f"{param.name} has no value: the pointer that binds it leads nowhere in its source"
            raise AttemptError("input_mismatch", message, final=True)
    if code.context_param is not None:
        arguments[code.context_param] = context
    return arguments


def _structured(param: CodeParam, value: Json) -> Any:
    if param.annotation is Any:
        return value
    try:
        if (fault := param.contract.fault(value)) is None:
            return param.contract.made(value)
    except BaseException as error:
        reason = str(error) if isinstance(error, ContractViolation) else describe(error)
        message = f"{param.name} does not fit its annotation: {reason}"
        where = _where(error.__cause__ or error if isinstance(error, ContractViolation) else error)
        raise AttemptError("input_mismatch", message, final=True, traceback=where) from error
    raise AttemptError("input_mismatch", f"{param.name} does not fit its annotation: {fault}", final=True)
