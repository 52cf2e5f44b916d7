"""Calls sync author functions: in a thread of the server, or in a process of the pool."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import multiprocessing
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

from infraweave.authoring.signatures import Code
from infraweave.core.data.values import Json
from infraweave.core.run.facts import AttemptUsage
from infraweave.engine.execution.attempt_error import AttemptError, error_of
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.conversion import arguments_of, output_of
from infraweave.engine.execution.exception_text import describe
from infraweave.forks import ends_child


def call_sync(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a sync function in a fresh context, so that nothing that it sets there reaches another call.

    Raises:
        RuntimeError: it raised StopIteration, which a future cannot carry.
    """
    try:
        with ends_child():
            return contextvars.Context().run(function, **arguments)
    except StopIteration as error:
        raise RuntimeError(describe(error)) from error


# --- in a process of the pool ------------------------------------------------------------------------------


def initialize() -> None:
    """Prepare a process of the pool: it ignores Ctrl-C, and ends with the server.

    A terminal sends Ctrl-C to all processes of the server, which gives bodies time to end. After the server's
    death nobody would hear of the body, and the next server calls it again. The process leads a group of its
    own, so that what the body starts ends with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)


def load_file(file: str) -> None:
    """Load a workflow file ahead of a call of its code.

    Raises:
        LoadError: the file cannot be loaded.
    """
    _codes_of(file)


@cache
def _codes_of(file: str) -> Mapping[str, Code]:
    from infraweave.authoring.loader import load

    return {reference: code for flow in load([file]) for reference, code in flow.codes().items()}


def call_in_process(
    file: str, reference: str, values: bytes, context: RunContext, max_output: int
) -> tuple[Json, AttemptUsage]:
    """Call a function of a workflow file; return its output as JSON, and the usage that it reported.

    Raises:
        AttemptError: the function failed, its values do not fit, or its output is larger than ``max_output``.
    """
    code = _codes_of(file)[reference]
    try:
        output = call_sync(code.function, arguments_of(code, values, context))
        if inspect.isawaitable(output):
            output = asyncio.run(_awaited(output))
    except (AttemptError, asyncio.CancelledError):
        raise
    except BaseException as error:
        # Only its text is sent: the server has neither its frames nor perhaps its class.
        raise error_of(error) from error
    return output_of(code, output, max_output), context.usage


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value
