"""Keeps so many units of work in flight for a while, and measures each. Both sides of a row use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from tests.bench.results import round_of


async def in_flight(one: Callable[[], Awaitable[object]], inflight: int, seconds: float) -> dict[str, Any]:
    """Return the rate of ``one``, with this many of them at once; all that began are counted to their end."""
    taken: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    until = began + seconds

    async def slot() -> None:
        while (at := time.perf_counter()) < until:
            await one()
            taken.append(time.perf_counter() - at)

    await asyncio.gather(*(slot() for _ in range(inflight)))
    rate = len(taken) / (time.perf_counter() - began)
    return asdict(round_of(rate, taken, time.process_time() - cpu, len(taken)))


async def one_by_one(one: Callable[[], Awaitable[object]], times: int, units: int = 1) -> dict[str, Any]:
    """Return the mean milliseconds of a unit of ``one``, each of which has so many, alone in the process."""
    taken = []
    cpu = time.process_time()
    for _ in range(times):
        at = time.perf_counter()
        await one()
        taken.append((time.perf_counter() - at) / units)
    mean = sum(taken) / len(taken) * 1e3
    return asdict(round_of(mean, taken, time.process_time() - cpu, times * units))


async def units_per_second(
    one: Callable[[], Awaitable[object]], units: int, seconds: float
) -> dict[str, Any]:
    """Return how many units a second ``one`` does that has so many, one after the other."""
    taken: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    while not taken or time.perf_counter() < began + seconds:
        at = time.perf_counter()
        await one()
        taken.append(time.perf_counter() - at)
    elapsed = time.perf_counter() - began
    done = units * len(taken)
    return asdict(round_of(done / elapsed, taken, time.process_time() - cpu, done))
