"""CPU-bound bodies in processes of their own: a pool that is made when first needed, and anew when it broke.

A function cannot be sent to a process, so its file is loaded there and the function is found by its
reference. What the body reports comes back with its output; ``ctx.cancelled`` stays False over there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from functools import cache
from typing import Any

from infraweave.authoring.compiler import Code


class Processes(Executor):
    """The pool of one host."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``work`` in a process."""
        try:
            return self._made().submit(work, *args, **kwargs)
        except BrokenExecutor:  # a process was killed, and took the pool with it
            self._pool = None
            return self._made().submit(work, *args, **kwargs)

    def _made(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned: a forked process would inherit our threads' locks, sockets and database.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_ignore_ctrl_c)
        return self._pool

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _ignore_ctrl_c() -> None:
    """Leave it to the server, which gives bodies time to end; a terminal interrupts all its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def codes_of(file: str) -> Mapping[str, Code]:
    """Return the code of a workflow file by reference, in the process that asks.

    Raises:
        LoadError: the file cannot be loaded.
    """
    from infraweave.authoring.loader import load

    return {reference: code for flow in load([file]) for reference, code in flow.codes().items()}
