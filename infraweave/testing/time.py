"""How virtual time passes around a real server: step by step, each step worked through before the next.

Nothing here looks at runs. *Settled* means: the database is quiet, no body is being called, and the event
loop has turned so often without any of that changing that nothing is on its way through a socket either.
Only then may the clock move on. Bodies take real time; whoever advances the clock by hand lets a body have
``PATIENCE`` seconds of it, and time that skips by itself stands still for as long as a body works. Where time
does not skip, whoever waits for what only time can bring is told so, unless another task lets it pass.
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

#: Quiet turns of the loop after which nothing is under way; a request to the server and back takes about 20.
TURNS = 60
#: Seconds between two looks at something that another thread does.
LOOK = 0.0005
#: The same between two looks at a wait.
NEXT_LOOK = 0.01
#: Real seconds that an advance waits for a body before it goes on without it.
PATIENCE = 1.0
#: Real seconds after which a wait in which nothing can happen is given up.
STUCK = 2.0
#: The same where time does not skip, and nobody else lets it pass.
STANDSTILL = 5.0
#: Real seconds that a body may work while somebody waits and virtual time stands still.
STUCK_BODY = 20.0
#: Skips within one wait after which it is given up: something else recurs for ever.
MOST_SKIPS = 5_000
#: Milliseconds: what is due later (fifty years) is due never.
HORIZON = 50 * 365 * 86_400_000

NOTHING_DUE = "Nothing is due any more: it waits for something that the test must do."


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
        """Wait, while time skips from one thing that is due to the next, or somebody else lets it pass.

        Raises:
            Stuck: nothing is due any more, a body works on and on, or time should pass and nobody lets it.
        """
        task = asyncio.ensure_future(awaited)
        try:
            wait = _Wait(self, task)
            await (wait.skip() if self.skips else wait.stand_by())
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
            due_at = self.next_due()
            if due_at is None:
                return False
            await self._step(due_at)
            return True

    def next_due(self) -> int | None:
        """Return when the next thing is due, milliseconds since the epoch; None: nothing ever is."""
        due_at = self.clock.next_due()
        return None if due_at is None or due_at > self.clock.now() + HORIZON else due_at

    def is_at_work(self) -> bool:
        """Tell whether something happens, or may happen, without this clock being turned once more."""
        busy = self._watched.is_storing() or self._watched.in_flight()
        return bool(busy) or self._one_at_a_time.locked()

    def working(self) -> list[str]:
        """Return the names of the nodes whose bodies are being called."""
        return sorted({attempt.context.node for attempt in self._watched.in_flight()})


class _Wait:
    """One wait: sees to it until it is over, and tells when it will never be."""

    def __init__(self, time: Passing, task: asyncio.Future[Any]) -> None:
        self._time, self._task = time, task
        self._skips = 0
        self._since = asyncio.get_running_loop().time()

    async def skip(self) -> None:
        """Let time skip until it is over."""
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
        """Leave time to others until it is over."""
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
            f"Time stands still, because iw.skips is False. What is due next is due at {at}, in {wait}:"
            f' let it come with `await iw.advance(to="{at}")`.'
        )

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
            raise Stuck(NOTHING_DUE)
