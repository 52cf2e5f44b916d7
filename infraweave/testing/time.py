"""Moves virtual time around a real server, one due time after the other.

The clock moves only while the server is *settled*: the database is idle, no body runs, and the event loop has
turned so often without a change that nothing is in transit through a socket either.

Bodies take real time. An explicit advance waits up to ``PATIENCE`` seconds for each body; skipping time waits
for as long as a body runs. If time does not skip, a wait that only time can end raises ``Stuck``, unless
another task lets time pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from infraweave.core.data.values import format_duration, rfc3339
from infraweave.engine.execution.attempt import Attempt
from infraweave.testing.clock import VirtualClock

T = TypeVar("T")

#: Idle turns of the event loop after which nothing is in transit. A request and its response take about 20.
TURNS = 60
#: Seconds between checks of work in another thread.
LOOK = 0.0005
#: Seconds between checks of a wait.
NEXT_LOOK = 0.01
#: Real seconds that an advance waits for a body.
PATIENCE = 1.0
#: Real seconds after which a wait fails because nothing is due.
STUCK = 2.0
#: Real seconds after which a wait fails because time does not pass.
STANDSTILL = 5.0
#: Real seconds that a body may run while virtual time stands still.
STUCK_BODY = 20.0
#: Skips after which a wait fails, because something else recurs for ever.
MAX_SKIPS = 5_000
#: Milliseconds (fifty years). What is due later counts as never due.
HORIZON = 50 * 365 * 86_400_000

NOTHING_DUE = "Nothing is due any more. The run waits for an action of the test."


class Stuck(AssertionError):
    """The test waits for something that cannot happen by itself, however much time passes."""


class ServerActivity(Protocol):
    """Reports what the server is doing."""

    def is_storing(self) -> bool:
        """Tell whether the database is busy."""

    def in_flight(self) -> list[Attempt]:
        """Return the attempts whose bodies run, except those that wait for the clock."""


class TimeSkipper:
    """Moves a virtual clock while a server is settled."""

    def __init__(self, clock: VirtualClock, activity: ServerActivity, *, skips: bool) -> None:
        self.clock, self._activity = clock, activity
        #: Whether time skips by itself during a wait.
        self.skips = skips
        self._lock = asyncio.Lock()
        #: Attempts that an advance no longer waits for.
        self._waited_for: WeakSet[Attempt] = WeakSet()

    async def settle(self) -> None:
        """Wait until everything has happened that can happen without time passing."""
        await self._settle(lambda: False)

    async def _settle(self, enough: Callable[[], bool]) -> None:
        quiet, since = 0, asyncio.get_running_loop().time()
        while quiet < TURNS and not enough():
            storing, bodies = self._activity.is_storing(), set(self._activity.in_flight())
            impatient = bodies - set(self._waited_for)
            if storing or impatient:
                quiet = 0
                await asyncio.sleep(LOOK)
                if storing:
                    since = asyncio.get_running_loop().time()
                elif asyncio.get_running_loop().time() - since > PATIENCE:
                    self._waited_for.update(impatient)
            else:
                quiet += 1
                await asyncio.sleep(0)

    async def to(self, target: int) -> None:
        """Let time pass until ``target``, in milliseconds since the epoch, one due time after the other."""
        async with self._lock:
            await self.settle()
            while (due_at := self.clock.next_due()) is not None and due_at <= target:
                await self._step(due_at)
                await self.settle()
            await self.clock.advance(max(0, target - self.clock.now()) / 1000)
            await self.settle()

    async def _step(self, due_at: int) -> None:
        await self.clock.advance(max(0, due_at - self.clock.now()) / 1000)

    async def until(self, awaited: Awaitable[T]) -> T:
        """Wait, while time skips to each next due time, or another task lets it pass.

        Raises:
            Stuck: nothing is due any more, a body runs too long, or time does not pass.
        """
        task = asyncio.ensure_future(awaited)
        try:
            wait = _Wait(self, task)
            await (wait.skip() if self.skips else wait.stand_by())
            return await task
        finally:
            task.cancel()

    async def skip(self, task: asyncio.Future[Any]) -> bool | None:
        """Skip to the next due time; return False if there is none, None if a body runs."""
        async with self._lock:
            await self._settle(task.done)
            if task.done():
                return True
            if self._activity.in_flight():
                return None
            due_at = self.next_due()
            if due_at is None:
                return False
            await self._step(due_at)
            return True

    def next_due(self) -> int | None:
        """Return the next due time in milliseconds since the epoch, or None if there is none."""
        due_at = self.clock.next_due()
        return None if due_at is None or due_at > self.clock.now() + HORIZON else due_at

    def is_at_work(self) -> bool:
        """Tell whether something may still happen without the clock moving."""
        busy = self._activity.is_storing() or self._activity.in_flight()
        return bool(busy) or self._lock.locked()

    def working(self) -> list[str]:
        """Return the names of the nodes whose bodies run."""
        return sorted({attempt.context.node for attempt in self._activity.in_flight()})


class _Wait:
    """One wait. It raises ``Stuck`` if the wait can never end."""

    def __init__(self, time: TimeSkipper, task: asyncio.Future[Any]) -> None:
        self._time, self._task = time, task
        self._skips = 0
        self._since = asyncio.get_running_loop().time()

    async def skip(self) -> None:
        """Let time skip until the wait is over."""
        while not self._task.done():
            skipped = await self._time.skip(self._task)
            if skipped:
                self._skips += 1
                self._since = asyncio.get_running_loop().time()
                self._check_skips()
            else:
                self._check(working=skipped is None)
                await asyncio.wait({self._task}, timeout=NEXT_LOOK)

    async def stand_by(self) -> None:
        """Wait without skipping; other tasks may let time pass."""
        now = self._time.clock.now()
        while not self._task.done():
            if self._time.is_at_work() or now != self._time.clock.now():
                now, self._since = self._time.clock.now(), asyncio.get_running_loop().time()
            elif asyncio.get_running_loop().time() - self._since > STANDSTILL:
                raise Stuck(self._standstill(now))
            await asyncio.wait({self._task}, timeout=NEXT_LOOK)

    def _standstill(self, now: int) -> str:
        due_at = self._time.next_due()
        if due_at is None:
            return NOTHING_DUE
        at, wait = rfc3339(due_at), format_duration((due_at - now) / 1000)
        return (
            f"Time stands still, because iw.skips is False. The next due time is {at}, in {wait}:"
            f' go there with `await iw.advance(to="{at}")`.'
        )

    def _check_skips(self) -> None:
        if self._skips > MAX_SKIPS:
            raise Stuck(
                f"Time has skipped {MAX_SKIPS} times, but what the test waits for has not happened."
                " Something else recurs, such as a schedule."
            )

    def _check(self, *, working: bool) -> None:
        waited = asyncio.get_running_loop().time() - self._since
        if working and waited > STUCK_BODY:
            names = ", ".join(self._time.working())
            raise Stuck(
                f"{names}: the body has been running for {STUCK_BODY:g} s of real time, and virtual time"
                " stands still meanwhile. Let time pass with `await iw.advance(...)`, or replace the body:"
                ' `iw.replace("…", takes="1h")`.'
            )
        if not working and waited > STUCK:
            raise Stuck(NOTHING_DUE)
