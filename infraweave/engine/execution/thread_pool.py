"""Threads for sync bodies: fair between tenants, and replaced while a body does not return.

A thread cannot be stopped. If its body still runs after its attempt and the grace period have ended, the
thread is *lost*: another one replaces it, up to a bound, until the body returns.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any, TypeVar

from infraweave.core.records import frozen
from infraweave.engine.fair_queue import FairQueue

T = TypeVar("T")


@frozen(eq=False)
class _Work:
    future: Future[Any]
    call: Callable[[], Any]


class ThreadPool:
    """At most ``count`` threads, and at most ``spare`` more that replace lost ones."""

    def __init__(self, count: int, spare: int, name: str) -> None:
        self.count, self._spare = max(1, count), spare
        self._names = (f"{name}_{number}" for number in itertools.count())
        self._queue: FairQueue[_Work] = FairQueue()
        self._changed = threading.Condition()
        self._alive = self._idle = 0
        #: The thread ids of running calls, and the calls among them that are lost.
        self._running: dict[Future[Any], int] = {}
        self._lost: set[Future[Any]] = set()
        self._closed = False

    @property
    def busy(self) -> int:
        """The number of running calls, lost ones included."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """The number of calls that wait for a thread."""
        return len(self._queue)

    @property
    def lost(self) -> int:
        """The number of lost threads."""
        return len(self._lost)

    @property
    def can_replace(self) -> bool:
        """Whether another lost thread would be replaced."""
        return len(self._lost) < self._spare

    def submit(self, tenant: str, call: Callable[[], T]) -> Future[T]:
        """Call a function in a thread as soon as it is its tenant's turn.

        Raises:
            RuntimeError: no thread can be started, or the pool was shut down.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the server has stopped and calls no more functions")
            self._queue.put(tenant, _Work(future, call))
            try:
                self._staff()
            except RuntimeError:
                future.cancel()
                raise
            self._changed.notify()
        return future

    def mark_lost(self, future: Future[Any]) -> FrameType | None:
        """Count a thread as lost and replace it; return its current frame, None if the call has ended."""
        with self._changed:
            thread = self._running.get(future)
            if thread is None or future in self._lost:
                return None
            self._lost.add(future)
            self._staff()
        return sys._current_frames().get(thread)  # noqa: SLF001 - the only way to another thread's stack

    def shutdown(self) -> None:
        """Accept no more work and cancel queued calls; running ones are not stopped."""
        with self._changed:
            self._closed = True
            while (work := self._queue.pop(lambda _: True)) is not None:
                work.future.cancel()
            self._changed.notify_all()

    @property
    def _wanted(self) -> int:
        """The number of threads that there may be."""
        return self.count + min(len(self._lost), self._spare)

    def _staff(self) -> None:
        """Start the threads that queued calls need."""
        while self._alive < self._wanted and len(self._queue) > self._idle:
            # Daemons, so that a body that never returns does not keep the interpreter alive.
            threading.Thread(target=self._serve, name=next(self._names), daemon=True).start()
            self._alive += 1
            self._idle += 1

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            self._do(work)
            del work  # an idle thread keeps no values of a run

    def _next(self) -> _Work | None:
        with self._changed:
            while not self._closed and self._alive <= self._wanted:
                work = self._queue.pop(lambda work: work.future.set_running_or_notify_cancel())
                if work is not None:
                    self._idle -= 1
                    self._running[work.future] = threading.get_ident()
                    return work
                self._changed.wait()
            self._alive -= 1
            self._idle -= 1
            self._changed.notify()  # wake another thread in place of this one
            return None

    def _do(self, work: _Work) -> None:
        result, error = None, None
        try:
            result = work.call()
        except BaseException as raised:  # noqa: BLE001 - raised where the future is awaited
            error = raised
        with self._changed:
            del self._running[work.future]
            self._lost.discard(work.future)
            self._idle += 1
        if error is None:
            work.future.set_result(result)
        else:
            work.future.set_exception(error)
            del error, work  # else this frame and its traceback would hold each other
