"""Write stalls: nothing can be written for a while, because another program holds a lock or the disk is full.

Submitted writes wait, in order, so nothing inside has to fail. Callers do not wait: their requests are
refused until the stall is over.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from infraweave.errors import StorageUnavailable

T = TypeVar("T")

log = logging.getLogger("infraweave.store")

_RETRY = {"Retry-After": "1"}
_WAITING = (
    "The database cannot be written at the moment. The request waits and may still be stored; repeat it with"
    " the same Idempotency-Key or request_id to find out."
)


class WriteStall:
    """Whether writes are stalled, and the callers who must not wait for the end of the stall."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def __bool__(self) -> bool:
        return self._since is not None

    def begin(self, cause: BaseException | None) -> None:
        """Note that a batch could not be written and will be retried."""
        if self._since is None:
            self._since = self._loop.time()
            log.error("The database cannot be written: %s. All writes wait and are retried.", _reason(cause))
            for waiter in self._waiters:
                _wake(waiter)

    def end(self) -> None:
        """Note that a batch was written."""
        if self._since is not None:
            log.warning("The database can be written again, after %.0f s.", self._loop.time() - self._since)
            self._since = None

    def raise_if_stalled(self) -> None:
        """Refuse a write during a stall.

        Raises:
            StorageUnavailable: writes are stalled.
        """
        if self:
            raise StorageUnavailable(headers=_RETRY)

    async def run_until_stalled(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; if a stall begins first, stop waiting for it.

        Raises:
            StorageUnavailable: a stall began. ``work`` goes on by itself, and may still be stored.
        """
        task, waiter = asyncio.create_task(work), self._loop.create_future()
        task.add_done_callback(partial(_wake, waiter))
        self._waiters.add(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_log_failure)
            raise
        finally:
            self._waiters.discard(waiter)
        if not task.done():
            task.add_done_callback(_log_failure)
            raise StorageUnavailable(_WAITING, headers=_RETRY)
        return task.result()


def _reason(cause: BaseException | None) -> str:
    is_full = getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return f"{'the disk is full' if is_full else 'another program holds a lock on the database'} ({cause})"


def _wake(waiter: asyncio.Future[None], _: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Log the error of a task that has no caller any more."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a request failed after its caller had stopped waiting: %r", error)
