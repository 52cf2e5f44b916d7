"""Acceptances go before bodies: a burst of starts is accepted before it is worked off.

While starts are being accepted, runs that could begin bodies wait in line. All begin together, each tenant's
in turn, once no start has come for a few iterations of the event loop, in which the answers are sent; and in
any case when the line is full or its first run has waited long enough. So no stream of starts stops a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infraweave.engine.fair_queue import FairQueue

#: The longest line, and the longest wait in it, in seconds of the loop's time: nothing depends on it.
MOST_WAITING, LONGEST_WAIT = 256, 0.1
#: Iterations without a start after which all begin, and after which so many times as many runs do.
_CALM, _RUNS_PER_ITERATION = 8, 8


class StartPriority:
    """The starts that are being accepted, and the runs that wait for them."""

    def __init__(self) -> None:
        self._accepting = 0
        self._line: FairQueue[Callable[[], None]] = FairQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Accept a start within the block; its run is durable at the end."""
        self._accepting += 1
        try:
            yield
        finally:
            self._accepting -= 1
            if self._line and not self._accepting:
                asyncio.get_running_loop().call_soon(self._check, 1)

    @property
    def must_wait(self) -> bool:
        """True while a run that could begin bodies has to wait in line."""
        return bool(self._accepting or self._line) and not self._is_closed

    def enqueue(self, tenant: str, begin: Callable[[], None]) -> None:
        """Put a run in line; ``begin`` is called when its turn has come."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT, self._begin_all)
        self._line.put(tenant, begin)
        if len(self._line) >= MOST_WAITING:
            self._begin_all()

    def close(self) -> None:
        """Let all begin, and let none wait from now on: the process is ending."""
        self._is_closed = True
        self._begin_all()

    def _check(self, calm: int) -> None:
        """Let all begin unless the loop may still have answers to send, or the next starts to read."""
        if self._accepting or not self._line:
            return  # the last of the new starts checks again
        if calm >= _CALM or calm * _RUNS_PER_ITERATION >= len(self._line):
            self._begin_all()
        else:
            asyncio.get_running_loop().call_soon(self._check, calm + 1)

    def _begin_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        line, self._line = self._line, FairQueue()
        while (begin := line.pop(_always)) is not None:
            begin()


def _always(_: object) -> bool:
    return True
