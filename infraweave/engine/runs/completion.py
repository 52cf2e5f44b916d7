"""Notifies waiters of the end of a run once its terminal event is on disk. No query is needed."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

Waiter: TypeAlias = "asyncio.Future[bool]"


def expire(waiter: Waiter) -> None:
    """Tell a waiter that the run did not end in time."""
    if not waiter.done():
        waiter.set_result(False)


class CompletionWaiters:
    """The waiters of this process, by run."""

    def __init__(self) -> None:
        self._waiters: dict[int, set[Waiter]] = {}
        self._closed = False

    def wait(self, run_key: int) -> Waiter:
        """Return a future: True when the run has ended, False at shutdown. ``remove`` it afterwards."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(run_key, set()).add(waiter)
        if self._closed:
            expire(waiter)
        return waiter

    def remove(self, run_key: int, waiter: Waiter) -> None:
        """Remove a waiter."""
        waiters = self._waiters[run_key]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[run_key]

    def notify(self, run_key: int) -> None:
        """Tell all waiters of a run that it has ended."""
        for waiter in self._waiters.get(run_key, ()):
            if not waiter.done():
                waiter.set_result(True)

    def close(self) -> None:
        """Expire all waiters at shutdown."""
        self._closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                expire(waiter)
