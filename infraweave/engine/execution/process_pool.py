"""CPU-bound bodies in processes of their own, each made when first needed, and anew when it died.

A function cannot be sent to a process, so its file is loaded there and the function is found by its
reference. What the body reports comes back with its output; ``ctx.cancelled`` stays False over there. A body
that does not stop in time is killed, with all that it has started.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any, TypeVar

from infraweave.authoring.signatures import Code
from infraweave.engine.execution.thread_pool import ThreadPool

T = TypeVar("T")


class ProcessDied(Exception):
    """The process of a body ended before the body returned."""

    def __str__(self) -> str:
        return "the process of the body ended before the body returned (killed, or out of memory?)"


class Seat:
    """The place of one call: knows in which process it is, to end it there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid: int | None = None
        #: Nothing else may be sent to its process.
        self.is_killed = False

    def kill(self) -> None:
        """Kill the process of the call, with all that it has started; or let the call not begin."""
        with self._lock:
            self.is_killed = True
            if self._pid is not None:
                _kill(self._pid)

    @contextmanager
    def taken_by(self, pid: int) -> Iterator[None]:
        """Let ``kill`` mean this process for the length of the block.

        Raises:
            ProcessDied: the call was to be killed before.
        """
        with self._lock:
            if self.is_killed:
                raise ProcessDied
            self._pid = pid
        try:
            yield
        finally:
            with self._lock:
                self._pid = None


def _kill(pid: int) -> None:
    """Kill a process of ours and its group; PermissionError: on macOS, where only its remains are left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _Process:
    """A process with one thread that waits for it."""

    def __init__(self) -> None:
        # Spawned: a forked process would inherit our threads' locks, sockets and database.
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(1, mp_context=context, initializer=_settle_in)
        self.pid = self.executor.submit(os.getpid).result()


class ProcessPool:
    """The processes of one host, each with a thread that waits for it.

    One pool for all would fail every call in it once any of its processes dies.
    """

    def __init__(self) -> None:
        self._threads = ThreadPool(os.cpu_count() or 1, 0, "infraweave-process")
        self._own = threading.local()
        self._all: set[_Process] = set()
        self._seats: set[Seat] = set()

    def submit(self, tenant: str, call: Callable[[], T]) -> Future[T]:
        """Invocation a function in a thread, which may use a process of its own by ``seated``."""
        return self._threads.submit(tenant, call)

    @contextmanager
    def seated(self, seat: Seat) -> Iterator[Callable[..., Any]]:
        """Give what runs functions in the process of the thread that asks, and lets ``seat`` end it.

        Raises:
            ProcessDied: the process ended before it returned.
        """
        self._seats.add(seat)
        try:
            process = self._living()
            with seat.taken_by(process.pid):
                yield partial(_result, process)
        except BrokenExecutor as error:
            self._forget()
            raise ProcessDied from error
        finally:
            self._seats.discard(seat)
            if seat.is_killed:
                self._forget()

    def _living(self) -> _Process:
        """Return the process of this thread, made anew where it died while it had nothing to do."""
        if hasattr(self._own, "process"):
            try:
                self._own.process.executor.submit(_nothing).result()
            except BrokenExecutor:
                self._forget()
        if not hasattr(self._own, "process"):
            self._own.process = _Process()
            self._all.add(self._own.process)
        process: _Process = self._own.process
        return process

    def _forget(self) -> None:
        process = getattr(self._own, "process", None)
        if process is not None:
            self._all.discard(process)
            del self._own.process
            process.executor.shutdown(wait=False, cancel_futures=True)

    def shutdown(self) -> None:
        """Take no more work, and kill what is still at work: nobody waits for it any more."""
        self._threads.shutdown()
        for seat in list(self._seats):
            seat.kill()
        for process in list(self._all):
            process.executor.shutdown(wait=False, cancel_futures=True)


def _result(process: _Process, work: Callable[..., T], /, *args: Any) -> T:
    return process.executor.submit(work, *args).result()


def _nothing() -> None:
    pass


def _settle_in() -> None:
    """Leave Ctrl-C to the server, which gives bodies time to end, and do not outlive it.

    A terminal interrupts all its processes. What a body does after the death of the server, nobody hears of;
    the next server calls it again. A group of its own lets what the body starts end with it.
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
    codes_of(file)


@cache
def codes_of(file: str) -> Mapping[str, Code]:
    """Return the code of a workflow file by reference, in the process that asks.

    Raises:
        LoadError: the file cannot be loaded.
    """
    from infraweave.authoring.loader import load

    return {reference: code for flow in load([file]) for reference, code in flow.codes().items()}
