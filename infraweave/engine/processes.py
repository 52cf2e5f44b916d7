"""CPU-bound bodies in processes of their own, each made when first needed, and anew when it died.

A function cannot be sent to a process, so its file is loaded there and the function is found by its
reference. What the body reports comes back with its output; ``ctx.cancelled`` stays False over there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from infraweave.authoring.compiler import Code

T = TypeVar("T")


class ProcessDied(Exception):
    """The process of a body ended before the body returned."""

    def __str__(self) -> str:
        return "the process of the body ended before the body returned (killed, or out of memory?)"


class Processes(Executor):
    """The processes of one host, each with a thread that waits for it.

    One pool for all would fail every call in it once any of its processes dies.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="infraweave-process")
        self._own = threading.local()
        self._all: set[ProcessPoolExecutor] = set()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``work`` in a thread, which may use a process of its own by ``call``."""
        return self._threads.submit(work, *args, **kwargs)

    def call(self, work: Callable[..., T], /, *args: Any) -> T:
        """Run ``work`` in the process of the thread that asks, and return its result.

        Raises:
            ProcessDied: the process ended before it returned.
        """
        process = self._process()
        try:
            return process.submit(work, *args).result()
        except BrokenExecutor as error:
            del self._own.process
            self._all.discard(process)
            raise ProcessDied from error

    def _process(self) -> ProcessPoolExecutor:
        if not hasattr(self._own, "process"):
            # Spawned: a forked process would inherit our threads' locks, sockets and database.
            context = multiprocessing.get_context("spawn")
            self._own.process = ProcessPoolExecutor(1, mp_context=context, initializer=_ignore_ctrl_c)
            self._all.add(self._own.process)
        process: ProcessPoolExecutor = self._own.process
        return process

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for process in list(self._all):
            process.shutdown(wait, cancel_futures=cancel_futures)


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
