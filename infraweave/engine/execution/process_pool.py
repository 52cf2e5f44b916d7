"""Processes for CPU-bound bodies: each is started when first needed, and again after it died.

A function cannot be sent to a process, so its file is loaded there and the function is found by its reference
(``process_worker``). What the body reports comes back with its output; ``ctx.cancelled`` stays False there. A
body that does not stop in time is killed, with all that it has started.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from infraweave.engine.execution.process_worker import initialize
from infraweave.engine.execution.thread_pool import ThreadPool

T = TypeVar("T")


class ProcessDied(Exception):
    """The process of a body ended before the body returned."""

    def __str__(self) -> str:
        return "the process of the body ended before the body returned (killed, or out of memory?)"


class KillSwitch:
    """Kills the process of one call, also if it is pulled before the call starts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        self.is_pulled = False

    def kill(self) -> None:
        """Kill the process of the call, with all that it has started; or prevent the call."""
        with self._lock:
            self.is_pulled = True
            if self._pid is not None:
                # PermissionError: on macOS, if only the remains of the process are left.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._pid, signal.SIGKILL)

    @contextmanager
    def armed(self, pid: int) -> Iterator[None]:
        """Let ``kill`` kill this process within the block.

        Raises:
            ProcessDied: ``kill`` was called before.
        """
        with self._lock:
            if self.is_pulled:
                raise ProcessDied
            self._pid = pid
        try:
            yield
        finally:
            with self._lock:
                self._pid = None


class _Process:
    def __init__(self) -> None:
        # Spawned: a forked process would inherit our threads' locks, sockets and database.
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(1, mp_context=context, initializer=initialize)
        self.pid = self.executor.submit(os.getpid).result()

    def call(self, function: Callable[..., T], /, *args: Any) -> T:
        return self.executor.submit(function, *args).result()


class ProcessPool:
    """One process for each processor, each with a thread that waits for it.

    A single ``ProcessPoolExecutor`` would fail all calls in it when any of its processes dies.
    """

    def __init__(self) -> None:
        self._threads = ThreadPool(os.cpu_count() or 1, 0, "infraweave-process")
        self._own = threading.local()
        self._all: set[_Process] = set()
        self._switches: set[KillSwitch] = set()

    def submit(self, tenant: str, work: Callable[[], T]) -> Future[T]:
        """Call ``work`` in a thread, where it may use ``process``."""
        return self._threads.submit(tenant, work)

    @contextmanager
    def process(self, kill_switch: KillSwitch) -> Iterator[Callable[..., Any]]:
        """Yield a function that calls functions in the process of the current thread.

        Raises:
            ProcessDied: the process ended before it returned.
        """
        self._switches.add(kill_switch)
        try:
            process = self._living()
            with kill_switch.armed(process.pid):
                yield process.call
        except BrokenExecutor as error:
            self._remove_own()
            raise ProcessDied from error
        finally:
            self._switches.discard(kill_switch)
            if kill_switch.is_pulled:
                self._remove_own()

    def _living(self) -> _Process:
        """Return the process of this thread; start it anew if it died while idle."""
        if hasattr(self._own, "process"):
            try:
                self._own.process.call(_nothing)
            except BrokenExecutor:
                self._remove_own()
        if not hasattr(self._own, "process"):
            self._own.process = _Process()
            self._all.add(self._own.process)
        process: _Process = self._own.process
        return process

    def _remove_own(self) -> None:
        process = getattr(self._own, "process", None)
        if process is not None:
            self._all.discard(process)
            del self._own.process
            process.executor.shutdown(wait=False, cancel_futures=True)

    def shutdown(self) -> None:
        """Accept no more work, and kill the bodies that still run."""
        self._threads.shutdown()
        for kill_switch in list(self._switches):
            kill_switch.kill()
        for process in list(self._all):
            process.executor.shutdown(wait=False, cancel_futures=True)


def _nothing() -> None:
    pass
