"""An event loop without threads, sockets or a clock of the machine: a seed can live it twice.

Time stands still while anything is ready, and skips to what is due next once nothing is. The order in which
callbacks run is asyncio's own. Each callback is a step, and a process may die before any of them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

#: Steps without any time passing after which something turns in circles.
BUSY = 50_000


class Standstill(AssertionError):
    """Nothing is ready, nothing is due, and somebody still waits."""


class SimLoop(asyncio.BaseEventLoop):
    """Runs callbacks until it is told to stop, or to die."""

    def __init__(self, began: float = 0.0) -> None:
        super().__init__()
        self.now = began
        self.steps = 0
        #: The step before which the process dies, and what is called then.
        self.dies_at: int | None = None
        self.die: Callable[[], object] = lambda: None
        #: Once it is dead, nothing more happens.
        self.dead = False
        #: Called each time before time passes.
        self.idle: Callable[[], object] = lambda: None
        #: Told of what nobody caught.
        self.complain: Callable[[dict[str, Any]], object] = lambda _: None
        self._busy = 0

    def time(self) -> float:
        """Return seconds since the world began."""
        return self.now

    def _run_once(self) -> None:
        if not self._ready:
            self._let_time_pass()
        if self._busy > BUSY:
            raise Standstill(f"{BUSY} steps and no time passes")
        for _ in range(len(self._ready)):
            if self.steps == self.dies_at and not self.dead:
                self.die()
            if self.dead:
                self.stop()
                return
            handle = self._ready.popleft()
            if not handle._cancelled:
                self.steps += 1
                self._busy += 1
                handle._run()

    def _let_time_pass(self) -> None:
        self._drop_cancelled()
        self.idle()
        if self._ready:
            return
        if not self._scheduled:
            raise Standstill("nothing is due any more")
        if self._scheduled[0]._when > self.now:
            self._busy, self.now = 0, self._scheduled[0]._when
        while self._scheduled and self._scheduled[0]._when <= self.now:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._ready.append(handle)
            self._drop_cancelled()

    def _drop_cancelled(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: it is dropped when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of what nobody caught; of the dead nobody is told."""
        if not self.dead:
            self.complain(context)

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Call a function at the next step; there is no thread that could."""
        done = self.create_future()
        self.call_soon(_settle, done, func, args)
        return done

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""


def _settle(done: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if done.cancelled():
        return
    try:
        done.set_result(func(*args))
    except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
        done.set_exception(error)
