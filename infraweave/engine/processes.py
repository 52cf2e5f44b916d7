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
        try:
            running = self._process().submit(work, *args)
        except BrokenExecutor:  # it died while it had nothing to do
            self._forget()
            running = self._process().submit(work, *args)
        try:
            return running.result()
        except BrokenExecutor as error:
            self._forget()
            raise ProcessDied from error

    def _forget(self) -> None:
        self._all.discard(self._own.process)
        del self._own.process

    def _process(self) -> ProcessPoolExecutor:
        if not hasattr(self._own, "process"):
            # Spawned: a forked process would inherit our threads' locks, sockets and database.
            context = multiprocessing.get_context("spawn")
            self._own.process = ProcessPoolExecutor(1, mp_context=context, initializer=_settle_in)
            self._all.add(self._own.process)
        process: ProcessPoolExecutor = self._own.process
        return process

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for process in list(self._all):
            process.shutdown(wait, cancel_futures=cancel_futures)


def _settle_in() -> None:
    """Leave Ctrl-C to the server, which gives bodies time to end, and do not outlive it.

    A terminal interrupts all its processes. What a body does after the death of the server, nobody hears of;
    the next server calls it again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def load_file(file: str) -> None:
    """Load a workflow file ahead of a call of its code.

    Raises:
        LoadError: the file cannot be loaded.
    """
    codes_of(file)


@cache
def codes_of(file: str) -> Mapping[str, Code]:
    """Return the code of a workflow file by reference, in the process that asks.

    Raises:
        LoadError: the file cannot be loaded.
    """
    from infraweave.authoring.loader import load

    return {reference: code for flow in load([file]) for reference, code in flow.codes().items()}
