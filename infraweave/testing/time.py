"""How virtual time passes around a real server: step by step, each step worked through before the next.

Nothing here looks at runs. *Settled* means: the database is quiet, no body is being called, and the event
loop has turned so often without any of that changing that nothing is on its way through a socket either.
Only then may the clock move on. Bodies take real time; whoever advances the clock by hand lets a body have
``PATIENCE`` seconds of it, and time that skips by itself stands still for as long as a body works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from infraweave.engine.perform import Attempt
from infraweave.testing.clock import VirtualClock

T = TypeVar("T")

#: Quiet turns of the loop after which nothing is under way; a request to the server and back takes about 20.
TURNS = 60
#: Seconds between two looks at something that another thread does.
LOOK = 0.0005
#: Real seconds that an advance waits for a body before it goes on without it.
PATIENCE = 1.0
#: Real seconds after which a wait in which nothing can happen is given up.
STUCK = 2.0
#: Real seconds that a body may work while somebody waits and virtual time stands still.
STUCK_BODY = 20.0
#: Skips within one wait after which it is given up: something else recurs for ever.
MOST_SKIPS = 5_000
#: Milliseconds: what is due later (fifty years) is due never.
HORIZON = 50 * 365 * 86_400_000


class Stuck(AssertionError):
    """What a test waits for cannot happen by itself, however much time passes."""


class Watched(Protocol):
    """What is watched for being settled."""

    def is_storing(self) -> bool:
        """Tell whether the database is at work."""

    def in_flight(self) -> list[Attempt]:
        """Return the attempts whose bodies are being called, apart from those that wait for the clock."""


class Passing:
    """Lets the time of one clock pass around what is ``watched``."""

    def __init__(self, clock: VirtualClock, watched: Watched, *, skips: bool) -> None:
        self.clock, self._watched = clock, watched
        #: Whether time skips by itself while somebody waits.
        self.skips = skips
        self._one_at_a_time = asyncio.Lock()
        #: Bodies for which an advance has waited long enough.
        self._waited_for: WeakSet[Attempt] = WeakSet()

    async def settle(self) -> None:
        """Wait until all has happened that can happen without time passing."""
        await self._settle(lambda: False)

    async def _settle(self, enough: Callable[[], bool]) -> None:
        quiet, since = 0, asyncio.get_running_loop().time()
        while quiet < TURNS and not enough():
            storing, bodies = self._watched.is_storing(), set(self._watched.in_flight())
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
        """Let time pass until ``target``, milliseconds since the epoch; whatever falls due gets its turn."""
        async with self._one_at_a_time:
            await self.settle()
            while (due_at := self.clock.next_due()) is not None and due_at <= target:
                await self._step(due_at)
                await self.settle()
            await self.clock.advance(max(0, target - self.clock.now()) / 1000)
            await self.settle()

    async def _step(self, due_at: int) -> None:
        await self.clock.advance(max(0, due_at - self.clock.now()) / 1000)

    async def until(self, awaited: Awaitable[T]) -> T:
        """Wait, while time skips from one thing that is due to the next.

        Raises:
            Stuck: nothing is due any more, or a body works on and on.
        """
        task = asyncio.ensure_future(awaited)
        try:
            if self.skips:
                await _Wait(self, task).run()
            return await task
        finally:
            task.cancel()

    async def skip(self, task: asyncio.Future[Any]) -> bool | None:
        """Skip to what is due next; return False where nothing is, None where a body works."""
        async with self._one_at_a_time:
            await self._settle(task.done)
            if task.done():
                return True
            if self._watched.in_flight():
                return None
            due_at = self.clock.next_due()
            if due_at is None or due_at > self.clock.now() + HORIZON:
                return False
            await self._step(due_at)
            return True

    def working(self) -> list[str]:
        """Return the names of the nodes whose bodies are being called."""
        return sorted({attempt.context.node for attempt in self._watched.in_flight()})


class _Wait:
    """One wait: skips until it is over, and tells when it will never be."""

    def __init__(self, time: Passing, task: asyncio.Future[Any]) -> None:
        self._time, self._task = time, task
        self._skips = 0
        self._since = asyncio.get_running_loop().time()

    async def run(self) -> None:
        while not self._task.done():
            skipped = await self._time.skip(self._task)
            if skipped:
                self._skips += 1
                self._since = asyncio.get_running_loop().time()
                self._check_skips()
            else:
                self._check(working=skipped is None)
                await asyncio.wait({self._task}, timeout=0.01)

    def _check_skips(self) -> None:
        if self._skips > MOST_SKIPS:
            raise Stuck(
                f"Time has skipped {MOST_SKIPS} times, and what the test waits for has not happened:"
                " something else (a schedule?) recurs."
            )

    def _check(self, *, working: bool) -> None:
        waited = asyncio.get_running_loop().time() - self._since
        if working and waited > STUCK_BODY:
            names = ", ".join(self._time.working())
            raise Stuck(
                f"{names}: the body has been at work for {STUCK_BODY:g} s of real time, and virtual time"
                " stands still meanwhile. Let time pass with `await iw.advance(...)`, or replace the body:"
                ' `iw.replace("…", takes="1h")`.'
            )
        if not working and waited > STUCK:
            raise Stuck("Nothing is due any more: it waits for something that the test must do.")
