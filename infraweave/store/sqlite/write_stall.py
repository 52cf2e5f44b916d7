"""Times when nothing can be written, and nothing is lost: another program holds a lock, or the disk is full.

What waits to be written goes on waiting, in its order, so that nothing inside has to fail. But callers are
not kept, and send no more: whoever asks for a write is told to come again.
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
    "The database cannot be written just now. What you asked for waits, and may be stored yet; repeat it with"
    " the same Idempotency-Key or request_id to know."
)


class WriteStall:
    """Whether writing stands still, and who waits for that to be over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def __bool__(self) -> bool:
        return self._since is not None

    def begin(self, cause: BaseException | None) -> None:
        """Take in that a batch could not be written, and will be tried again."""
        if self._since is None:
            self._since = self._loop.time()
            log.error(
                "Nothing can be written now: %s. All writes wait, and go on when it is over.", _told(cause)
            )
            for waiter in self._waiters:
                _wake(waiter)

    def end(self) -> None:
        """Take in that a batch was written."""
        if self._since is not None:
            log.warning("Writes go on, after %.0f s.", self._loop.time() - self._since)
            self._since = None

    def raise_if_stalled(self) -> None:
        """Send off who asks for a write while nothing can be written.

        Raises:
            StorageUnavailable: that is so.
        """
        if self:
            raise StorageUnavailable(headers=_RETRY)

    async def run_until_stalled(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; if writing comes to stand still before that, leave it to itself.

        Raises:
            StorageUnavailable: it was left; it goes on by itself, and may still be stored.
        """
        task, waiter = asyncio.create_task(work), self._loop.create_future()
        task.add_done_callback(partial(_wake, waiter))
        self._waiters.add(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_hear)
            raise
        finally:
            self._waiters.discard(waiter)
        if not task.done():
            task.add_done_callback(_hear)
            raise StorageUnavailable(_WAITING, headers=_RETRY)
        return task.result()


def _told(cause: BaseException | None) -> str:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    who = (
        "the disk is full" if code == sqlite3.SQLITE_FULL else "another program holds a lock on the database"
    )
    return f"{who} ({cause})"


def _wake(waiter: asyncio.Future[None], _: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _hear(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more; an error of its own is told in the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a request failed whose caller no longer waited: %r", error)
