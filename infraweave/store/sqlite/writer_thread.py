"""The thread of the writing connection: it performs calls in order, and the loop learns how each one ended.

aiosqlite would take two more turns of the loop for each commit, and has no public call for a transaction of
several statements. A run that is alone waits for every one of those turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
#: Called on the loop with the result of a call, or with its exception.
Outcome: TypeAlias = Callable[[Any, BaseException | None], object]
_Calls: TypeAlias = "SimpleQueue[tuple[Callable[[], Any], Outcome] | None]"


class WriterThread:
    """One thread, started at once; ``stop`` ends it."""

    def __init__(self) -> None:
        self._calls: _Calls = SimpleQueue()
        # A daemon, so that a loop that ended without ``stop`` does not keep the interpreter alive.
        serve = threading.Thread(
            target=_serve, args=(self._calls, asyncio.get_running_loop()), name="store writer", daemon=True
        )
        serve.start()

    def submit(self, work: Callable[[], Any], then: Outcome) -> None:
        """Call ``work`` after all that was submitted before. Nothing can cancel it."""
        self._calls.put((work, then))

    async def run(self, work: Callable[[], T]) -> T:
        """Call ``work`` and return its result, or raise its exception."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def then(result: T, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        self.submit(work, then)
        return await done

    def stop(self) -> None:
        """End the thread after all that was submitted before."""
        self._calls.put(None)


def _serve(calls: _Calls, loop: asyncio.AbstractEventLoop) -> None:
    while (call := calls.get()) is not None:
        work, then = call
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - raised where the outcome is awaited
            error = raised
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(then, result, error)
        del call, work, then, result, error  # an idle thread keeps no rows and no traceback
